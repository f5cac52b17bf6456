//! The machine that all this is measured on.

use std::fs;
use std::path::Path;

use crate::python::Python;
use crate::{Fallible, table};

/// Prints what matters about the machine and about the disk below `dir`.
pub(crate) fn describe(dir: &Path, python: Option<&Python>) -> Fallible<()> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let kib: u64 = value(&memory, "MemTotal")
        .and_then(|text| text.trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let uname = rustix::system::uname();
    let mount = mount_of(dir)?;
    let rows = [
        ("CPU", format!("{}, {cores} cores", value(&cpus, "model name").unwrap_or_default())),
        ("memory", table::tenths(kib, 1 << 20) + " GiB" + reporting()),
        (
            "kernel",
            format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy()),
        ),
        (
            "working file system",
            format!("{}{}, mounted {}", mount.kind, mount.journal(), mount.options),
        ),
        ("disk", disk(&mount.device)),
        ("versions", versions(python)?),
    ];
    let rows = rows.map(|(what, how)| vec![what.to_owned(), how]);
    table::print("The machine", &["what", ""], &rows);
    Ok(())
}

fn versions(python: Option<&Python>) -> Fallible<String> {
    let npyd = concat!("npyd ", env!("CARGO_PKG_VERSION"));
    Ok(match python {
        Some(python) => format!("{npyd}, {}", python.versions()?),
        None => npyd.to_owned(),
    })
}

/// Whether free memory goes back to a host: then what is touched first costs a fault there, and
/// times spread more.
fn reporting() -> &'static str {
    /// `VIRTIO_BALLOON_F_REPORTING`, the place in the list of features.
    const REPORTING: usize = 5;
    let devices = fs::read_dir("/sys/bus/virtio/drivers/virtio_balloon").into_iter().flatten();
    let mut features =
        devices.flatten().filter_map(|it| fs::read_to_string(it.path().join("features")).ok());
    if features.any(|text| text.as_bytes().get(REPORTING) == Some(&b'1')) {
        ", which a host takes back whenever it is free"
    } else {
        ""
    }
}

struct Mount {
    kind: String,
    options: String,
    device: String,
}

impl Mount {
    /// Whether an ext4 is one that was made without a journal, which syncs in another way.
    fn journal(&self) -> &'static str {
        let name = format!("{}-", self.device.trim_start_matches("/dev/"));
        let mut journals = fs::read_dir("/proc/fs/jbd2").into_iter().flatten().flatten();
        let has_one =
            journals.any(|journal| journal.file_name().to_string_lossy().starts_with(&name));
        if self.kind == "ext4" && !has_one { " without a journal" } else { "" }
    }
}

/// The mount that a directory is on: the last one whose place is the longest part of its path.
fn mount_of(dir: &Path) -> Fallible<Mount> {
    let dir = dir.canonicalize()?;
    let mut found = None;
    let mut longest = 0;
    for line in fs::read_to_string("/proc/self/mounts")?.lines() {
        let mut words = line.split(' ').map(str::to_owned);
        if let (Some(device), Some(place), Some(kind), Some(options)) =
            (words.next(), words.next(), words.next(), words.next())
            && dir.starts_with(&place)
            && place.len() >= longest
        {
            longest = place.len();
            found = Some(Mount { kind, options, device });
        }
    }
    found.ok_or_else(|| format!("no mount holds `{}`", dir.display()).into())
}

/// What the kernel knows of a block device.
fn disk(device: &str) -> String {
    let name = device.trim_start_matches("/dev/");
    let read = |what: &str| {
        let text = fs::read_to_string(format!("/sys/class/block/{name}/{what}"));
        text.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let sectors: u64 = read("size").and_then(|text| text.parse().ok()).unwrap_or_default();
    let model = read("device/model").or_else(|| {
        let driver = fs::read_link(format!("/sys/class/block/{name}/device/driver")).ok()?;
        Some(driver.file_name()?.to_string_lossy().into_owned())
    });
    format!(
        "{name} ({}), {} GiB, cache: {}, scheduler: {}",
        model.unwrap_or_else(|| "unknown".to_owned()),
        sectors >> 21,
        read("queue/write_cache").unwrap_or_default(),
        read("queue/scheduler").unwrap_or_default(),
    )
}
