//! `npyd check`: validates the configuration, and tests what the machine allows: directories,
//! file systems, leases, routes, inotify limits.

use std::path::Path;

use indicatif::BinaryBytes;

use crate::cli::{ConfigArgs, Exit, FatalError, print};
use crate::config::{Disposition, DropDir, Watch};
use crate::decide::plan::Plan;
use crate::decide::route::{Constraints, Route};
use crate::describe::Manifest;
use crate::finalize::{Backups, constraints_of_dirs, count_backups};
use crate::fs::{self, Dir, LeaseRight};
use crate::ledger::Ledger;
use crate::model::FileName;
use crate::service::tracker::DEPTH_MAX;
use crate::throttle::psi::{PSI_UNAVAILABLE, Pressure};

/// Label and manifest of two large sample dumps, to show which routes a drop directory allows.
const SAMPLE_MANIFESTS: &[(&str, &str)] = &[
    ("raw data", "dtype = '|u1'\nshape = [1073741824]"),
    ("reserved", "dtype = '|u1'\nshape = [1073741824]\nreserved = 128"),
];

pub(crate) fn run(args: &ConfigArgs) -> Result<Exit, FatalError> {
    let config = args.read()?;
    print(&format!("configuration  {}: ok", args.config.display()));
    let mut exit = match Ledger::open(&config.state_dir) {
        Ok(_) => {
            print(&format!("ledger         {}: ok", config.state_dir.display()));
            Exit::Success
        }
        Err(error) => {
            print(&format!("ledger         {error}"));
            Exit::Failure
        }
    };
    let lease_right = LeaseRight::probe(&config.state_dir);
    print(&format!("rights         npyd may take {lease_right}"));
    if config.max_pressure.is_some_and(|limit| Pressure::new(limit).is_none()) {
        exit = Exit::Failure;
        print(&format!("max_pressure   {PSI_UNAVAILABLE}"));
    }
    for (at, drop_dir) in config.drop_dirs.iter().enumerate() {
        if check_drop_dir(drop_dir) == Exit::Failure {
            exit = Exit::Failure;
        }
        if let Some(other) =
            config.drop_dirs[..at].iter().find(|other| share_files(drop_dir, other))
        {
            exit = Exit::Failure;
            let other = other.path.display();
            print(&format!(
                "  data         shares files with the drop directory `{other}`; remove one of the two [[drop]] tables"
            ));
        }
        if let Some(other) =
            config.drop_dirs[..at].iter().find(|other| share_output(drop_dir, other))
        {
            let other = other.path.display();
            print(&format!(
                "  output       warning: `{other}` has it too; arrays of one name conflict (see on_conflict)"
            ));
        }
    }
    print_limits();
    Ok(exit)
}

fn check_drop_dir(drop_dir: &DropDir) -> Exit {
    print(&format!("drop           {}", drop_dir.path.display()));
    let roles = [
        ("data", Some(&drop_dir.path)),
        ("output", drop_dir.output.as_ref()),
        ("archive", drop_dir.archive.as_ref()),
        ("rejects", drop_dir.rejects.as_ref()),
    ];
    let mut exit = Exit::Success;
    for (role, path) in roles {
        let Some(path) = path else { continue };
        if is_inside_by_another_name(path, &drop_dir.path) {
            exit = Exit::Failure;
            print(&format!(
                "  {role:<12} {}: it is inside the drop directory, reached through a symlink; use its real path",
                path.display()
            ));
        }
        let checked = if role == "data" && is_only_read(drop_dir) {
            check_readable(path)
        } else {
            check_dir(path, drop_dir)
        };
        match checked {
            Ok(summary) => print(&format!("  {role:<12} {}: {summary}", path.display())),
            Err(error) => {
                exit = Exit::Failure;
                print(&format!("  {role:<12} {error}"));
            }
        }
    }
    print(&format!("  ignore       {}", ignore_rules(drop_dir)));
    match routes(drop_dir) {
        Ok(routes) => routes.iter().for_each(|line| print(line)),
        Err(_) => exit = Exit::Failure, // the directory's error was printed above
    }
    match backups(drop_dir) {
        Ok(Backups { count: 0, .. }) | Err(_) => {} // the directory's error was printed above
        Ok(Backups { count, bytes }) => {
            let bytes = BinaryBytes(bytes);
            print(&format!(
                "  backups      {count} × NAME.npy.~N~, {bytes}: earlier arrays of drops that changed"
            ));
        }
    }
    if let Err(error) = check_watch(drop_dir) {
        exit = Exit::Failure;
        print(&format!("  watch        {error}"));
    }
    exit
}

/// Formats the effective ignore rules, quoted as in TOML.
fn ignore_rules(drop_dir: &DropDir) -> String {
    let (defaults, configured) = drop_dir.ignore.in_force();
    let list = |rules: Vec<&str>| {
        rules.iter().map(|rule| format!("{rule:?}")).collect::<Vec<_>>().join(", ")
    };
    let defaults = format!("{} (defaults)", list(defaults.to_vec()));
    match list(configured.collect()) {
        configured if configured.is_empty() => defaults,
        configured => format!("{defaults}, {configured}"),
    }
}

/// Counts the backups: earlier arrays that npyd kept when a drop changed.
fn backups(drop_dir: &DropDir) -> fs::Result<Backups> {
    let output = Dir::open_trusted(
        drop_dir.output.as_ref().unwrap_or(&drop_dir.path),
        drop_dir.untrusted_root(),
    )?;
    count_backups(&output, if drop_dir.recursive { DEPTH_MAX } else { 0 })
}

/// Returns whether two drop directories have files in common, with symlinks resolved.
fn share_files(one: &DropDir, other: &DropDir) -> bool {
    let real = |drop_dir: &DropDir| drop_dir.path.canonicalize().ok();
    real(one).zip(real(other)).is_some_and(|(here, there)| {
        here == there
            || one.recursive && there.starts_with(&here)
            || other.recursive && here.starts_with(&there)
    })
}

/// Returns whether arrays of two drop directories get into one directory, with symlinks resolved.
fn share_output(one: &DropDir, other: &DropDir) -> bool {
    let real = |it: &DropDir| it.output.as_ref().unwrap_or(&it.path).canonicalize().ok();
    real(one).zip(real(other)).is_some_and(|(here, there)| here == there)
}

/// Returns whether a symlink outside the drop directory leads into it. npyd protects itself against
/// users of the drop directory only where the configured path shows that it is inside.
fn is_inside_by_another_name(path: &Path, drop: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    let is_inside = real(path).zip(real(drop)).is_some_and(|(path, drop)| path.starts_with(drop));
    is_inside && !path.starts_with(drop)
}

/// Returns whether the drop directory is read-only for this user, and the settings need no more.
fn is_only_read(drop_dir: &DropDir) -> bool {
    let source_stays = drop_dir.source == Disposition::Keep && drop_dir.output.is_some();
    let may_write = Dir::open(&drop_dir.path).is_ok_and(|dir| dir.is_writable());
    source_stays && drop_dir.rejects.is_none() && !may_write
}

fn check_readable(path: &Path) -> fs::Result<String> {
    let dir = Dir::open(path)?;
    dir.entries()?;
    Ok(format!("{}, read-only: files are copied from it", fs::fs_info(&dir)?.kind))
}

/// Describes the file system of a directory, and what it allows this user to do.
fn check_dir(path: &Path, drop_dir: &DropDir) -> fs::Result<String> {
    let dir = Dir::open_trusted(path, drop_dir.untrusted_root())?;
    let fs = fs::fs_info(&dir)?;
    let can = fs::capabilities(&dir)?;
    let abilities = [
        ("reflink", can.reflink),
        ("insert-range", can.insert_range),
        ("leases", can.leases),
        ("unnamed files", can.unnamed_files),
        ("attributes", can.attributes),
        ("preallocation", can.preallocate),
    ];
    let abilities =
        abilities.map(|(name, can)| format!("{name} {}", if can { "yes" } else { "no" }));
    Ok(format!("{}, {} free; {}", fs.kind, BinaryBytes(fs.free), abilities.join(", ")))
}

/// Returns the route of each sample dump and the skipped routes, one line each.
fn routes(drop_dir: &DropDir) -> fs::Result<Vec<String>> {
    let data = Dir::open(&drop_dir.path)?;
    let output = Dir::open_trusted(
        drop_dir.output.as_ref().unwrap_or(&drop_dir.path),
        drop_dir.untrusted_root(),
    )?;
    let mut constraints = constraints_of_dirs(drop_dir, &data, &output)?;
    let can = fs::capabilities(&output)?;
    for (route, can) in [(Route::Reflink, can.reflink), (Route::InsertRange, can.insert_range)] {
        if !can {
            constraints.exclude(route, "the file system does not support it");
        }
    }
    if !data.is_writable() {
        constraints.exclude_consuming(
            "the user that npyd runs as has no permission to rename files there",
        );
    }
    let mut lines = Vec::new();
    for (what, manifest) in SAMPLE_MANIFESTS {
        let Some(plan) = plan_of(manifest, &constraints) else { continue };
        lines.push(format!("  {what:<12} {}", plan.route()));
        lines.extend(plan.skipped_routes.iter().map(|passed| format!("{:15}{passed}", "")));
    }
    Ok(lines)
}

/// Plans a dump that has this manifest.
fn plan_of(manifest: &str, constraints: &Constraints) -> Option<Plan> {
    let name = |name: &str| FileName::try_from(name.to_owned()).ok();
    let manifest = Manifest::parse(&name("x.raw.toml")?, manifest.as_bytes()).ok()??;
    let dump = manifest.dump(&name("x.raw")?).ok()?;
    let header = dump.layout.header()?;
    let size = dump.least_file_len()?;
    Some(Plan::new(&dump, header, size, constraints))
}

fn check_watch(drop_dir: &DropDir) -> fs::Result<()> {
    let network = fs::fs_info(&Dir::open(&drop_dir.path)?)?.network;
    let how = match (drop_dir.watch, network) {
        (Watch::Poll, _) => "by polling, as configured",
        (Watch::Inotify, true) => {
            "by inotify, as configured; files that other hosts write are found only by scans"
        }
        (Watch::Auto, true) => "by polling, because it is a network file system",
        (Watch::Inotify | Watch::Auto, false) => "by inotify",
    };
    print(&format!(
        "  watch        {how}; one scan every {}",
        humantime::format_duration(drop_dir.rescan)
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
