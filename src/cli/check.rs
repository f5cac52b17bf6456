//! `npyd check`: the configuration, and whether the machine allows what it asks for.

use std::path::Path;

use indicatif::BinaryBytes;

use super::{CannotRun, ConfigArgs, End, print};
use crate::config::{Disposition, Inbox, Watch};
use crate::disk::{self, Dir, LeaseRight};
use crate::finalize::{Backups, count_backups, terms_of_dirs};
use crate::ledger::Ledger;
use crate::patrol::DEPTH_MAX;
use crate::plan::{Plan, Route, Terms};
use crate::pressure::{Pressure, UNMEASURED};
use crate::recognize::{FileName, Manifest};

/// Manifests of large dumps, and what they stand for.
const SPECIMENS: &[(&str, &str)] = &[
    ("raw data", "dtype = '|u1'\nshape = [1073741824]"),
    ("with room", "dtype = '|u1'\nshape = [1073741824]\nreserved = 128"),
];

pub(super) fn run(args: &ConfigArgs) -> Result<End, CannotRun> {
    let config = args.read()?;
    print(&format!("configuration  {}: ok", args.config.display()));
    let mut end = match Ledger::open(&config.state_dir) {
        Ok(_) => {
            print(&format!("ledger         {}: ok", config.state_dir.display()));
            End::Well
        }
        Err(error) => {
            print(&format!("ledger         {error}"));
            End::Badly
        }
    };
    let lease_right = LeaseRight::probe(&config.state_dir);
    print(&format!("rights         npyd may take {lease_right}"));
    if config.max_pressure.is_some_and(|limit| Pressure::new(limit).is_none()) {
        end = End::Badly;
        print(&format!("max_pressure   {UNMEASURED}"));
    }
    for (at, inbox) in config.inboxes.iter().enumerate() {
        if check_inbox(inbox) == End::Badly {
            end = End::Badly;
        }
        if let Some(other) = config.inboxes[..at].iter().find(|other| share_files(inbox, other)) {
            end = End::Badly;
            let other = other.path.display();
            print(&format!(
                "  data         it has files of the drop `{other}`, by another name: each must have one owner"
            ));
        }
    }
    print_limits();
    Ok(end)
}

fn check_inbox(inbox: &Inbox) -> End {
    print(&format!("drop           {}", inbox.path.display()));
    let roles = [
        ("data", Some(&inbox.path)),
        ("output", inbox.output.as_ref()),
        ("archive", inbox.archive.as_ref()),
        ("rejects", inbox.rejects.as_ref()),
    ];
    let mut end = End::Well;
    for (role, path) in roles {
        let Some(path) = path else { continue };
        if is_inside_by_another_name(path, &inbox.path) {
            end = End::Badly;
            print(&format!(
                "  {role:<12} {}: it lies inside the drop directory: name it by that one's path, for no link is followed then",
                path.display()
            ));
        }
        let checked = if role == "data" && is_only_read(inbox) {
            check_readable(path)
        } else {
            check_dir(path, inbox)
        };
        match checked {
            Ok(told) => print(&format!("  {role:<12} {}: {told}", path.display())),
            Err(error) => {
                end = End::Badly;
                print(&format!("  {role:<12} {error}"));
            }
        }
    }
    print(&format!("  ignore       {}", ignore_rules(inbox)));
    match routes(inbox) {
        Ok(routes) => routes.iter().for_each(|line| print(line)),
        // Whatever hinders it was told above.
        Err(_) => end = End::Badly,
    }
    match backups(inbox) {
        Ok(Backups { count: 0, .. }) | Err(_) => {} // the directory's error was reported above
        Ok(Backups { count, bytes }) => {
            let bytes = BinaryBytes(bytes);
            print(&format!(
                "  backups      {count} × NAME.npy.~N~, {bytes}: old arrays of drops that changed"
            ));
        }
    }
    if let Err(error) = check_watch(inbox) {
        end = End::Badly;
        print(&format!("  watch        {error}"));
    }
    end
}

/// The ignore rules in force, each as it is written in TOML.
fn ignore_rules(inbox: &Inbox) -> String {
    let (defaults, configured) = inbox.ignore.in_force();
    let list = |rules: Vec<&str>| {
        rules.iter().map(|rule| format!("{rule:?}")).collect::<Vec<_>>().join(", ")
    };
    let told = format!("{} (the defaults)", list(defaults.to_vec()));
    match list(configured.collect()) {
        configured if configured.is_empty() => told,
        configured => format!("{told}, {configured}"),
    }
}

/// Counts the old arrays that were kept when their drops changed.
fn backups(inbox: &Inbox) -> disk::Result<Backups> {
    let output = Dir::open_own(inbox.output.as_ref().unwrap_or(&inbox.path), inbox.shared())?;
    count_backups(&output, if inbox.recursive { DEPTH_MAX } else { 0 })
}

/// Whether two drops have files in common, whatever links lead to them.
fn share_files(one: &Inbox, other: &Inbox) -> bool {
    let real = |inbox: &Inbox| inbox.path.canonicalize().ok();
    real(one).zip(real(other)).is_some_and(|(here, there)| {
        here == there
            || one.recursive && there.starts_with(&here)
            || other.recursive && here.starts_with(&there)
    })
}

/// Whether a link leads into the drop directory, where npyd could not tell that it must take care.
fn is_inside_by_another_name(path: &Path, drop: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let is_inside = real(path).zip(real(drop)).is_some_and(|(path, drop)| path.starts_with(drop));
    is_inside && !path.starts_with(drop)
}

/// Whether this user may only read the drop directory, and need not do more there.
fn is_only_read(inbox: &Inbox) -> bool {
    let stays = inbox.source == Disposition::Keep && inbox.output.is_some();
    let may_write = Dir::open(&inbox.path).is_ok_and(|dir| dir.may_be_written());
    stays && inbox.rejects.is_none() && !may_write
}

fn check_readable(path: &Path) -> disk::Result<String> {
    let dir = Dir::open(path)?;
    dir.entries()?;
    Ok(format!("{}, only to be read: what lands there is copied", disk::fs_info(&dir)?.kind))
}

/// What the file system is, and what it allows to this user.
fn check_dir(path: &Path, inbox: &Inbox) -> disk::Result<String> {
    let dir = Dir::open_own(path, inbox.shared())?;
    let fs = disk::fs_info(&dir)?;
    let can = disk::abilities(&dir)?;
    let abilities = [
        ("reflink", can.reflink),
        ("insert-range", can.insert_range),
        ("leases", can.leases),
        ("unnamed files", can.unnamed_files),
        ("attributes", can.attributes),
        ("preallocation", can.preallocate),
    ];
    let told = abilities.map(|(name, can)| format!("{name} {}", if can { "yes" } else { "no" }));
    Ok(format!("{}, {} free; {}", fs.kind, BinaryBytes(fs.free), told.join(", ")))
}

/// Which way large dumps of this drop take, as far as its settings and file systems decide.
fn routes(inbox: &Inbox) -> disk::Result<Vec<String>> {
    let data = Dir::open(&inbox.path)?;
    let output = Dir::open_own(inbox.output.as_ref().unwrap_or(&inbox.path), inbox.shared())?;
    let mut terms = terms_of_dirs(inbox, &data, &output)?;
    let can = disk::abilities(&output)?;
    for (route, can) in [(Route::Reflink, can.reflink), (Route::InsertRange, can.insert_range)] {
        if !can {
            terms.ruled_out.push((route, "the file system can't do it".to_owned()));
        }
    }
    if !data.may_be_written() {
        let why = "the user that npyd runs as may not rename files there";
        let taking = [Route::InPlace, Route::InsertRange];
        terms.ruled_out.extend(taking.map(|route| (route, why.to_owned())));
    }
    let mut lines = Vec::new();
    for (what, manifest) in SPECIMENS {
        let Some(plan) = plan_of(manifest, &terms) else { continue };
        lines.push(format!("  {what:<12} {}", plan.route()));
        lines.extend(plan.passed_over.iter().map(|passed| format!("{:15}{passed}", "")));
    }
    Ok(lines)
}

/// What would be done with a dump of that manifest.
fn plan_of(manifest: &str, terms: &Terms) -> Option<Plan> {
    let name = |name: &str| FileName::try_from(name.to_owned()).ok();
    let manifest = Manifest::parse(&name("x.raw.toml")?, manifest.as_bytes()).ok()??;
    let dump = manifest.dump(&name("x.raw")?).ok()?;
    let header = dump.layout.header()?;
    let size = dump.least_file_len()?;
    Some(Plan::new(&dump, header, size, terms))
}

fn check_watch(inbox: &Inbox) -> disk::Result<()> {
    let network = disk::fs_info(&Dir::open(&inbox.path)?)?.network;
    let how = match (inbox.watch, network) {
        (Watch::Poll, _) => "by polling, as configured",
        (Watch::Inotify, true) => {
            "by inotify, as configured; other hosts' files are only seen at each rescan"
        }
        (Watch::Auto, true) => "by polling, for it is a network file system",
        (Watch::Inotify | Watch::Auto, false) => "by inotify",
    };
    print(&format!(
        "  watch        {how}, and a scan every {}",
        humantime::format_duration(inbox.rescan)
    ));
    Ok(())
}

fn print_limits() {
    for name in ["max_user_watches", "max_user_instances", "max_queued_events"] {
        if let Ok(value) = std::fs::read_to_string(format!("/proc/sys/fs/inotify/{name}")) {
            print(&format!("inotify        {name} = {}", value.trim()));
        }
    }
}
