//! Obstacles: what at the ledger's path keeps this process from using it, and who can change that.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::{Resource, getegid, geteuid, getgroups, getrlimit};

use crate::ledger::schema::with_suffix;

/// What to do about something that is not a file.
const MOVE_AWAY: &str = "move it away, or set another state_dir";

/// Returns what keeps this process from using the ledger at `path`, with a remedy. Returns `None`
/// if the cause is not at the path, such as a full disk.
pub(crate) fn find_obstacle(path: &Path) -> Option<String> {
    let state_dir = path.parent()?;
    let mut dirs: Vec<_> = state_dir.ancestors().collect();
    dirs.reverse();
    let mut last_dir = Path::new("/");
    for dir in dirs {
        match fs::metadata(dir) {
            Ok(stat) if !stat.is_dir() => {
                return Some(format!(
                    "`{}` is not a directory; move it away, or set another state_dir",
                    dir.display()
                ));
            }
            Ok(_) if is_denied(dir, Access::EXEC_OK) => return Some(cannot_enter(dir, state_dir)),
            Ok(_) => last_dir = dir,
            Err(error) => match broken_link(dir) {
                Some(text) => return Some(text),
                None if error.kind() == ErrorKind::NotFound => {
                    return is_denied(last_dir, Access::WRITE_OK).then(|| cannot_create(state_dir));
                }
                None => return None,
            },
        }
    }
    if let Some((suffix, kind)) = no_file(path) {
        let what = match suffix {
            "" => "it".to_owned(),
            _ => format!("`{}`", with_suffix(path, suffix).display()),
        };
        return Some(format!("{what} is {kind}, not a file; {MOVE_AWAY}"));
    }
    if is_denied(path, Access::READ_OK) {
        return Some(lacks_rights("read it", state_dir));
    }
    // A new ledger is a new file in the directory.
    let written = if path.exists() { path } else { state_dir };
    match accessat(written, Access::WRITE_OK) {
        Err(Errno::ROFS) => Some(
            "its file system is mounted read-only; mount it for writing, or under systemd list it \
             in ReadWritePaths="
                .to_owned(),
        ),
        Err(Errno::ACCESS | Errno::PERM) => Some(lacks_rights("write to it", state_dir)),
        _ => None,
    }
}

/// The room that SQLite needs at least to open a database, in bytes.
const ROOM_MIN: u64 = 64 << 10;

/// Returns whether the disk of a ledger has no room for the files of SQLite.
pub(crate) fn lacks_space(path: &Path) -> bool {
    let dir = path.ancestors().skip(1).find(|dir| dir.exists());
    let stat = dir.and_then(|dir| rustix::fs::statvfs(dir).ok());
    // A file system such as ramfs has no limit, and reports no blocks at all.
    stat.is_some_and(|stat| {
        stat.f_blocks > 0 && stat.f_bavail.saturating_mul(stat.f_frsize) < ROOM_MIN
    })
}

/// More than SQLite adds to one of its files before it truncates that again, because it can't go
/// on, in bytes.
const WRITTEN_MAX: u64 = 1 << 20;

/// Returns that the limit on the size of files keeps SQLite from writing, with a remedy. SQLite
/// reports an I/O error for `EFBIG`, so the sizes of its files tell.
pub(crate) fn reached_file_size(path: &Path) -> Option<String> {
    let limit = getrlimit(Resource::Fsize).current?;
    let len = |suffix| fs::metadata(with_suffix(path, suffix)).map_or(0, |stat| stat.len());
    let largest = SUFFIXES.into_iter().map(len).max().unwrap_or(0);
    (largest.saturating_add(WRITTEN_MAX) > limit).then(|| {
        format!(
            "npyd may write files of {limit} bytes at most; raise the limit (LimitFSIZE=, ulimit -f)"
        )
    })
}

/// The suffixes of the names of the files that SQLite has of a database.
const SUFFIXES: [&str; 4] = ["", "-wal", "-shm", "-journal"];

/// Returns which of the files of the database at a path is not a file, by its suffix, and what it
/// is. SQLite might wait forever for the writer of a pipe.
pub(crate) fn no_file(path: &Path) -> Option<(&'static str, &'static str)> {
    SUFFIXES.into_iter().find_map(|it| Some((it, other_kind(&with_suffix(path, it))?)))
}

/// Returns what is at a path, links resolved, if it is not a file. SQLite would take a pipe or a
/// device without data for a new database.
fn other_kind(path: &Path) -> Option<&'static str> {
    let kind = fs::metadata(path).ok()?.file_type();
    match kind {
        _ if kind.is_file() => None,
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_fifo() => Some("a pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a device"),
    }
}

fn accessat(path: &Path, access: Access) -> rustix::io::Result<()> {
    rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS)
}

fn is_denied(path: &Path, access: Access) -> bool {
    matches!(accessat(path, access), Err(Errno::ACCESS | Errno::PERM))
}

/// Returns the message for a symlink that leads nowhere.
fn broken_link(path: &Path) -> Option<String> {
    let target = fs::read_link(path).ok()?;
    let (path, target) = (path.display(), target.display());
    Some(format!(
        "`{path}` is a symlink to `{target}`, which can't be reached; restore the target, or remove \
         the symlink"
    ))
}

fn cannot_enter(dir: &Path, state_dir: &Path) -> String {
    if dir == state_dir {
        return lacks_rights("enter its directory", state_dir);
    }
    let (user, dir) = (own_name(), dir.display());
    format!(
        "user `{user}` may not enter `{dir}`; run this command as the user that npyd runs as, or if \
         that is this user, let it enter (setfacl -m u:{user}:x {dir})"
    )
}

fn cannot_create(state_dir: &Path) -> String {
    let (user, dir) = (own_name(), state_dir.display());
    let group = group_name(getegid().as_raw());
    format!(
        "user `{user}` may not create `{dir}`; if npyd is to run as this user, an administrator can \
         (install -d -o {user} -g {group} -m 750 {dir})"
    )
}

/// Returns the message for a user who lacks a right on the state directory or on the ledger.
fn lacks_rights(what: &str, state_dir: &Path) -> String {
    let Ok(stat) = fs::metadata(state_dir) else {
        return format!("user `{}` may not {what}", own_name());
    };
    format!("user `{}` may not {what}; {}", own_name(), remedy(&stat, state_dir))
}

fn remedy(stat: &Metadata, state_dir: &Path) -> String {
    let dir = state_dir.display();
    let ledger = fs::metadata(state_dir.join("ledger.sqlite"));
    if stat.uid() == geteuid().as_raw() && ledger.is_ok_and(|it| it.uid() != stat.uid()) {
        return give_ledger(state_dir);
    }
    if stat.uid() == geteuid().as_raw() {
        return format!("restore its rights (chmod u+rwX {dir} {dir}/*)");
    }
    let (owner, group) = (user_name(stat.uid()), group_name(stat.gid()));
    let mut steps = Vec::new();
    if stat.mode() & 0o011 != 0o010 {
        steps.push(format!("chmod 750 {dir}; systemctl restart npyd"));
    }
    if !is_member(stat.gid()) {
        steps.push(format!("usermod -aG {group} {}", own_name()));
    }
    let as_owner = format!("run this command as user `{owner}`, to whom the ledger belongs");
    if stat.uid() == 0 {
        // `sudo npyd sweep` creates such a ledger before the service starts.
        return format!(
            "{as_owner}, or if npyd is to run as this user, {}",
            give_ledger(state_dir)
        );
    }
    if steps.is_empty() || stat.gid() == 0 {
        return as_owner;
    }
    format!(
        "run this command as user `{owner}`, or have an administrator give you access through the \
         group `{group}` ({}), and log in again",
        steps.join("; ")
    )
}

/// Returns how an administrator makes this user the owner of the ledger.
fn give_ledger(state_dir: &Path) -> String {
    format!("make it the owner of the ledger (chown -R {}: {})", own_name(), state_dir.display())
}

fn is_member(gid: u32) -> bool {
    let groups = getgroups().unwrap_or_default();
    groups.into_iter().chain([getegid()]).any(|it| it.as_raw() == gid)
}

/// Returns the name of the user to whom the state directory belongs, if that is not this process's
/// user.
#[must_use]
pub fn other_owner(state_dir: &Path) -> Option<String> {
    let uid = fs::metadata(state_dir).ok()?.uid();
    (uid != geteuid().as_raw()).then(|| user_name(uid))
}

/// Returns the name of this process's user.
#[must_use]
pub fn own_name() -> String {
    user_name(geteuid().as_raw())
}

pub(crate) fn user_name(uid: u32) -> String {
    name_in("/etc/passwd", uid)
}

fn group_name(gid: u32) -> String {
    name_in("/etc/group", gid)
}

/// Returns the name of an id in a file of accounts, or the id itself, for example if a directory
/// service has the account.
fn name_in(path: &str, id: u32) -> String {
    let accounts = fs::read_to_string(path).unwrap_or_default();
    find_name(&accounts, id).unwrap_or_else(|| id.to_string())
}

/// Finds the name of an id in lines of the form `name:password:id:…` (`passwd(5)`, `group(5)`).
fn find_name(accounts: &str, id: u32) -> Option<String> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn names_of_accounts() {
        let accounts = "root:x:0:0:root:/root:/bin/sh\nbroken\nnpyd:x:994:994::/:/bin/false\n";
        assert_eq!(find_name(accounts, 0).as_deref(), Some("root"));
        assert_eq!(find_name(accounts, 994).as_deref(), Some("npyd"));
        assert_eq!(find_name(accounts, 99), None);
        assert_eq!(find_name("npyd:x:994:", 994).as_deref(), Some("npyd"));
    }

    #[test]
    fn what_is_not_a_file() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name);
        fs::create_dir(path("dir")).unwrap();
        fs::write(path("file"), "").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        for (name, kind) in [("dir", "a directory"), ("zero", "a device"), ("socket", "a socket")] {
            let found = find_obstacle(&path(name)).unwrap_or_default();
            assert!(found.starts_with(&format!("it is {kind}, not a file; move it")), "{found}");
        }
        for name in ["file", "link", "missing"] {
            assert_eq!(find_obstacle(&path(name)), None, "{name}");
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            fs::create_dir(path(&format!("file{suffix}"))).unwrap();
            let found = find_obstacle(&path("file")).unwrap_or_default();
            let named = format!("file{suffix}` is a directory, not a file; move it away");
            assert!(found.contains(&named), "{found}");
            fs::remove_dir(path(&format!("file{suffix}"))).unwrap();
        }
    }

    #[test]
    fn what_is_not_a_directory() {
        let top = tempfile::tempdir().unwrap();
        let path = |name: &str| top.path().join(name).join("ledger.sqlite");
        fs::write(top.path().join("file"), "").unwrap();
        symlink("nowhere", top.path().join("dangling")).unwrap();
        symlink("loop", top.path().join("loop")).unwrap();
        fs::create_dir(top.path().join("dir")).unwrap();
        let found = |name: &str| find_obstacle(&path(name)).unwrap_or_default();
        for (name, text) in [
            ("file", "file` is not a directory; move it away"),
            ("file/below", "file` is not a directory; move it away"),
            ("dangling", "dangling` is a symlink to `nowhere`, which can't be reached"),
            ("dangling/below", "dangling` is a symlink to `nowhere`, which can't be reached"),
            ("loop", "loop` is a symlink to `loop`, which can't be reached"),
        ] {
            assert!(found(name).contains(text), "{name}: {}", found(name));
        }
        for name in ["dir", "missing", "missing/below"] {
            assert_eq!(find_obstacle(&path(name)), None, "{name}");
        }
    }
}
