//! A sweep that stops after every system call, so that a test can act between any two.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Site;
use super::tracee::{Known, Names, Tracee};

/// The calls by which npyd looks at drops, writes to them, takes them and names arrays; between
/// these the world may change.
const CALLS: &[Known] = &[
    ("openat", libc::SYS_openat, Names::At(0)),
    ("openat2", libc::SYS_openat2, Names::At(0)),
    ("flock", libc::SYS_flock, Names::Fd(0)),
    ("fcntl", libc::SYS_fcntl, Names::Fd(0)),
    ("statx", libc::SYS_statx, Names::At(0)),
    ("pread64", libc::SYS_pread64, Names::Fd(0)),
    ("pwrite64", libc::SYS_pwrite64, Names::Fd(0)),
    ("fsync", libc::SYS_fsync, Names::Fd(0)),
    ("fdatasync", libc::SYS_fdatasync, Names::Fd(0)),
    ("sync_file_range", libc::SYS_sync_file_range, Names::Fd(0)),
    ("fallocate", libc::SYS_fallocate, Names::Fd(0)),
    ("ioctl", libc::SYS_ioctl, Names::Fd(0)),
    ("fsetxattr", libc::SYS_fsetxattr, Names::Fd(0)),
    ("ftruncate", libc::SYS_ftruncate, Names::Fd(0)),
    ("linkat", libc::SYS_linkat, Names::At(0)),
    ("linkat", libc::SYS_linkat, Names::At(2)),
    ("renameat", libc::SYS_renameat, Names::At(0)),
    ("renameat", libc::SYS_renameat, Names::At(2)),
    ("renameat2", libc::SYS_renameat2, Names::At(0)),
    ("renameat2", libc::SYS_renameat2, Names::At(2)),
    ("unlinkat", libc::SYS_unlinkat, Names::At(0)),
];

/// Sweeps, and has `act` done while npyd is stopped after the call number `at`, counted from 0, on
/// one of the files or in the directories `names` of the site. `act` gets the names of the calls
/// that were made. Returns `false`, and does not call `act`, if the sweep made fewer calls.
pub(crate) fn sweep_halted(
    site: &Site,
    names: &[&str],
    at: usize,
    act: impl FnOnce(&[&'static str]),
) -> bool {
    let mut act = Some(act);
    sweep_halted_until(site, names, at, |made| {
        if let Some(act) = act.take() {
            act(made);
        }
        true
    })
}

/// The same, with an action that npyd may hold up by a lease. As long as `act` returns `false`,
/// npyd also stops after the calls that follow, and `act` is called again: so the action ends
/// before npyd goes on, as soon as it can end.
pub(crate) fn sweep_halted_until(
    site: &Site,
    names: &[&str],
    at: usize,
    mut act: impl FnMut(&[&'static str]) -> bool,
) -> bool {
    let mut sweep = site.command();
    sweep.args(["sweep", "--json", "--config"]).arg(site.path("npyd.toml"));
    let paths = names.iter().map(|name| as_opened(&site.path(name))).collect();
    let log = File::create(site.path("halted.log")).unwrap();
    let output = [log.try_clone().unwrap(), log];
    let mut tracee = Tracee::spawn_with_calls(CALLS, &sweep, &output, paths);
    let (mut made, mut is_done) = (Vec::new(), false);
    while !is_done && let Some(change) = tracee.next_change() {
        made.push(change.call);
        if made.len() > at {
            tracee.after_call(|| is_done = act(&made));
        }
    }
    let status = tracee.finish();
    let log = || String::from_utf8(site.read("halted.log")).unwrap();
    assert!(matches!(status.code(), Some(0 | 1)), "{status:?}\n{}", log());
    made.len() > at
}

/// The path under which npyd has a file open: `in` and `out` may be symbolic links.
fn as_opened(path: &Path) -> PathBuf {
    let in_dir = || Some(fs::canonicalize(path.parent()?).ok()?.join(path.file_name()?));
    fs::canonicalize(path).ok().or_else(in_dir).unwrap_or_else(|| path.to_owned())
}
