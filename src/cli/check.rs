//! `npyd check`: the configuration, and whether the machine allows what it asks for.

use std::path::Path;

use indicatif::BinaryBytes;

use super::{CannotRun, ConfigArgs, End, print};
use crate::config::{Inbox, Watch};
use crate::disk::{self, Dir};
use crate::ledger::Ledger;

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
    for inbox in &config.inboxes {
        if check_inbox(inbox) == End::Badly {
            end = End::Badly;
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
        match check_dir(path) {
            Ok(told) => print(&format!("  {role:<12} {}: {told}", path.display())),
            Err(error) => {
                end = End::Badly;
                print(&format!("  {role:<12} {error}"));
            }
        }
    }
    if let Err(error) = check_watch(inbox) {
        end = End::Badly;
        print(&format!("  watch        {error}"));
    }
    end
}

/// What the file system is, and what it allows to this user.
fn check_dir(path: &Path) -> disk::Result<String> {
    let dir = Dir::open(path)?;
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
