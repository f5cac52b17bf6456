//! `npyd check`: validates the configuration, and tests what the machine allows: directories,
//! file systems, leases, routes, inotify limits.

use std::path::Path;

use clap::Args;
use indicatif::BinaryBytes;
use serde_json::{Value, json};

use crate::cli::check_text::{
    of_other_config, running, separated, unknown_if_writable, unknown_to_this_user,
};
use crate::cli::overlaps::{RealPaths, is_inside_by_another_name, share_files, share_output};
use crate::cli::rejected_now::count_rejected;
use crate::cli::unit::{self, Unit};
use crate::cli::{ConfigArgs, Exit, FatalError, limits, print};
use crate::config::{Config, Disposition, DropDir, Watch};
use crate::decide::constraints::Constraints;
use crate::decide::plan::Plan;
use crate::decide::route::Route;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::routes::WORTH_INSERTING;
use crate::describe::Manifest;
use crate::finalize::{Backups, constraints_of_dirs, count_backups};
use crate::fs::{self, Crossing, Dir, LeaseRight, ProbedPlaces};
use crate::ledger::{self, Ledger, User};
use crate::model::{DirDenial, FileName};
use crate::probe::open_output_dir;
use crate::service::tracker::DEPTH_MAX;
use crate::text::missing_features::NO_PSI;
use crate::throttle::psi::Pressure;

/// Label and manifest of two large sample dumps, to show which routes a drop directory allows.
const SAMPLE_MANIFESTS: &[(&str, &str)] = &[
    ("raw data", "dtype = '|u1'\nshape = [1073741824]"),
    ("reserved", "dtype = '|u1'\nshape = [1073741824]\nreserved = 128"),
];

#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Check the configuration alone, not the machine
    #[arg(long)]
    config_only: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

/// The lines of the result: printed at once as text, or collected for JSON.
pub(super) struct Report {
    lines: Option<Vec<Value>>,
    /// The drop directory that the lines are about.
    drop: Option<String>,
    exit: Exit,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Exit, FatalError> {
        let config = match self.config.read() {
            Ok(config) => config,
            Err(error) if self.json => {
                let failure = json!({"ok": false, "error": error.message, "checks": []});
                print(&failure.to_string());
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let lines = self.json.then(Vec::new);
        let mut report = Report { lines, drop: None, exit: Exit::Success };
        report.add("configuration", &format!("{}: ok", self.config.config.display()));
        if !self.config_only {
            let unit = Unit::of_config(&self.config.config);
            if let Err(other) = &unit {
                report.add("unit", &of_other_config(other));
            }
            check_machine(&config, unit.ok().flatten().as_ref(), &mut report);
        }
        if let Some(lines) = report.lines {
            let is_ok = report.exit == Exit::Success;
            print(&json!({"ok": is_ok, "error": null, "checks": lines}).to_string());
        }
        Ok(report.exit)
    }
}

impl Report {
    /// Adds a result. An empty topic continues the line before.
    pub(super) fn add(&mut self, topic: &str, text: &str) {
        self.push(topic, text, true);
    }

    /// Adds a result that makes the check fail.
    pub(super) fn fail(&mut self, topic: &str, text: &str) {
        self.exit = Exit::Failure;
        self.push(topic, text, false);
    }

    /// Adds the result of a check of a directory. `other` is the user to whom the ledger belongs,
    /// if that is another one, who may have rights that this user lacks.
    fn add_checked(
        &mut self,
        topic: &str,
        (dir, other): (&Path, Option<&str>),
        checked: fs::Result<String>,
    ) {
        match (checked, other) {
            (Ok(summary), _) => self.add(topic, &summary),
            (Err(error), Some(owner)) if error.is_denied() => {
                self.add(topic, &unknown_to_this_user(dir, owner));
            }
            (Err(error), _) => self.fail(topic, &error.to_string()),
        }
    }

    fn push(&mut self, topic: &str, text: &str, is_ok: bool) {
        match (&mut self.lines, &self.drop) {
            (Some(lines), drop) => {
                let before = lines.last().map_or(Value::Null, |line| line["topic"].clone());
                let topic = if topic.is_empty() { before } else { topic.into() };
                lines.push(json!({"drop": drop, "topic": topic, "ok": is_ok, "text": text}));
            }
            (None, Some(_)) => print(&format!("  {topic:<12} {text}")),
            (None, None) => print(&format!("{topic:<14} {text}")),
        }
    }
}

/// Checks what this user may do on this machine.
fn check_machine(config: &Config, unit: Option<&Unit>, report: &mut Report) {
    if let Some(seen_by) = seen_by(config, unit) {
        report.add("seen by", &seen_by);
    }
    match Ledger::check(&config.state_dir) {
        Ok(()) => report.add("ledger", &format!("{}: ok", config.state_dir.display())),
        Err(error) => report.fail("ledger", &error.to_string()),
    }
    if let Some(daemons) = fs::find_daemons(&config.state_dir) {
        report.add("daemon", &running(&daemons));
    }
    let rejected = count_rejected(config);
    let lease_right = LeaseRight::probe(&config.state_dir);
    let daemon = match lease_right {
        LeaseRight::OwnFiles if config.drop_dirs.iter().any(DropDir::needs_proof) => {
            "; the daemon may take others: it warns at its start if not"
        }
        LeaseRight::OwnFiles => "; no drop directory needs others, because no source must go",
        LeaseRight::AnyFile | LeaseRight::Unknown => "",
    };
    report.add("rights", &format!("this process may take {lease_right}{daemon}"));
    if config.max_pressure.is_some_and(|limit| Pressure::new(limit).is_none()) {
        report.fail("max_pressure", NO_PSI);
    }
    // Root's rights include those of npyd's user.
    let other = ledger::other_owner(&config.state_dir).filter(|_| fs::own_uid() != 0);
    let (places, daemon_user) = (ProbedPlaces::default(), daemon_user(config, unit));
    let real: Vec<RealPaths> = config.drop_dirs.iter().map(RealPaths::of).collect();
    for (at, drop_dir) in config.drop_dirs.iter().enumerate() {
        report.add("drop", &drop_dir.path.display().to_string());
        report.drop = Some(drop_dir.path.to_string_lossy().into_owned());
        let of_user = (unit, daemon_user.clone(), other.as_deref());
        check_drop_dir(drop_dir, of_user, &places, report);
        match rejected.get(&drop_dir.path).copied().unwrap_or_default() {
            0 => {}
            count => report.add(
                "rejected",
                &format!("{count} now; `npyd history --rejected` lists them with the reasons"),
            ),
        }
        let earlier = |shares: fn(&RealPaths<'_>, &RealPaths<'_>) -> bool| {
            let other = real[..at].iter().find(|other| shares(&real[at], other));
            other.map(|it| it.drop_dir)
        };
        if let Some(other) = earlier(share_files) {
            let other = other.path.display();
            report.fail(
                "data",
                &format!(
                    "shares files with the drop directory `{other}`; remove one of the two [[drop]] tables"
                ),
            );
        }
        if let Some(other) = earlier(share_output) {
            let other = other.path.display();
            report.add(
                "output",
                &format!(
                    "warning: `{other}` has it too; arrays of one name conflict (see on_conflict)"
                ),
            );
        }
        report.drop = None;
    }
    limits::check(config, report);
}

/// Returns the user that the daemon runs as, if that is another one than this process's. Returns
/// `None` as well if the unit has a capability that lets it act as the owner of files.
fn daemon_user(config: &Config, unit: Option<&Unit>) -> Option<User> {
    let of_unit = unit.and_then(|unit| unit.user.as_deref());
    let user = match of_unit {
        Some(name) => User::named(name),
        None => User::of_state_dir(&config.state_dir),
    };
    let has_fowner = unit.is_some_and(|unit| unit.has_fowner);
    user.filter(|user| user.uid != fs::own_uid() && !has_fowner)
}

/// Says as whom the machine is checked, if the daemon may see it otherwise.
fn seen_by(config: &Config, unit: Option<&Unit>) -> Option<String> {
    let own = ledger::own_name();
    let other = ledger::other_owner(&config.state_dir);
    let daemon = match (unit, &other) {
        (Some(Unit { user: Some(user), .. }), _) => format!("; the daemon runs as `{user}`"),
        (_, Some(owner)) => format!("; the ledger belongs to user `{owner}`"),
        (_, None) => String::new(),
    };
    let place = if unit.is_some() {
        format!(", outside the sandbox of {}, of which only the files are checked", unit::NAME)
    } else {
        String::new()
    };
    (unit.is_some() || other.is_some()).then(|| {
        format!("user `{own}`{place}{daemon}: what it may do can differ from what is shown here")
    })
}

/// What a drop directory uses a directory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Data,
    Output,
    Archive,
    Rejects,
}

impl Role {
    /// Returns the topic of its line.
    fn as_str(self) -> &'static str {
        match self {
            Role::Data => "data",
            Role::Output => "output",
            Role::Archive => "archive",
            Role::Rejects => "rejects",
        }
    }
}

/// Adds what the daemon's sandbox denies for a directory.
fn check_unit(role: Role, path: &Path, drop_dir: &DropDir, unit: &Unit, report: &mut Report) {
    let is_written = role != Role::Data
        || drop_dir.output.is_none()
        || drop_dir.source != Disposition::Keep
        || drop_dir.rejects.is_some();
    let dirs = drop_dir.managed_dirs().chain([drop_dir.path.as_path()]);
    if let Some(why) = unit.denies(path, is_written, unit::common_parent(dirs)) {
        report.fail(role.as_str(), &format!("{}: {why}", path.display()));
    }
}

/// Checks a drop directory. `other` is the user to whom the ledger belongs, if that is another one.
fn check_drop_dir(
    drop_dir: &DropDir,
    (unit, daemon, other): (Option<&Unit>, Option<User>, Option<&str>),
    places: &ProbedPlaces,
    report: &mut Report,
) {
    let roles = [
        (Role::Data, Some(&drop_dir.path)),
        (Role::Output, drop_dir.output.as_ref()),
        (Role::Archive, drop_dir.archive.as_ref()),
        (Role::Rejects, drop_dir.rejects.as_ref()),
    ];
    for (role, path) in roles {
        let Some(path) = path else { continue };
        if is_inside_by_another_name(path, &drop_dir.path) {
            report.fail(
                role.as_str(),
                &format!(
                    "{}: it is inside the drop directory, reached through a symlink; use its real path",
                    path.display()
                ),
            );
        }
        if let Some(unit) = unit {
            check_unit(role, path, drop_dir, unit, report);
            if unit.separates(&drop_dir.path, path) {
                report.add(role.as_str(), &separated(path, &drop_dir.path));
            }
        }
        let checked = if role == Role::Data && is_only_read(drop_dir) {
            check_readable(path, other)
        } else {
            check_dir(path, drop_dir, places)
        };
        let checked = checked.map(|summary| format!("{}: {summary}", path.display()));
        report.add_checked(role.as_str(), (path, other), checked);
    }
    report.add("ignore", &ignore_rules(drop_dir));
    let daemon = daemon.as_ref();
    let staying = staying(drop_dir, daemon, places).ok().flatten();
    if drop_dir.rejects.is_some()
        && let Some(why) = why_sticky(drop_dir, daemon).ok().flatten()
    {
        report.add("rejects", &format!("warning: rejected files of other users stay, {why}"));
    }
    let is_unknown = other.is_some() && is_only_read(drop_dir);
    match routes(drop_dir, (unit, staying), places) {
        Ok(_) if is_unknown => {} // the line about the drop directory says so
        Ok(routes) => routes.iter().for_each(|(topic, text)| report.add(topic, text)),
        // The directory's error was added above.
        Err(error) if error.is_denied() && other.is_some() => {}
        Err(_) => report.exit = Exit::Failure,
    }
    match backups(drop_dir) {
        Ok(Backups { count: 0, .. }) | Err(_) => {} // the directory's error was added above
        Ok(Backups { count, bytes }) => {
            let bytes = BinaryBytes(bytes);
            report.add(
                "backups",
                &format!("{count} × NAME.npy.~N~, {bytes}: earlier arrays of drops that changed"),
            );
        }
    }
    report.add_checked("watch", (&drop_dir.path, other), check_watch(drop_dir));
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
    let output = open_output_dir(drop_dir, Path::new(""))?;
    count_backups(&output, if drop_dir.recursive { DEPTH_MAX } else { 0 })
}

/// Returns whether the drop directory is read-only for this user, and the settings need no more.
fn is_only_read(drop_dir: &DropDir) -> bool {
    let source_stays = drop_dir.source == Disposition::Keep && drop_dir.output.is_some();
    let may_write = Dir::open(&drop_dir.path).is_ok_and(|dir| dir.is_writable());
    source_stays && drop_dir.rejects.is_none() && !may_write
}

/// Checks a drop directory that this user may only read. `other`: as for [`check_drop_dir`].
fn check_readable(path: &Path, other: Option<&str>) -> fs::Result<String> {
    let dir = Dir::open(path)?;
    dir.entries()?;
    let kind = fs::fs_info(&dir)?.kind;
    Ok(match other {
        Some(owner) => format!("{kind}; {}", unknown_if_writable(owner)),
        None => format!("{kind}, read-only: files are copied from it"),
    })
}

/// Describes the file system of a directory, and what it allows this user to do.
fn check_dir(path: &Path, drop_dir: &DropDir, places: &ProbedPlaces) -> fs::Result<String> {
    let dir = Dir::open_trusted(path, drop_dir.untrusted_root())?;
    let fs = fs::fs_info(&dir)?;
    let can = places.capabilities(&dir)?;
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
    let free = fs::free_space(&dir)?.map(|free| format!(", {} free", BinaryBytes(free)));
    Ok(format!("{}{}; {}", fs.kind, free.unwrap_or_default(), abilities.join(", ")))
}

/// Returns the lines about routes: the route of each sample dump, under the name of the sample, and
/// below it the skipped routes, without a name.
fn routes(
    drop_dir: &DropDir,
    (unit, staying): (Option<&Unit>, Option<(&str, String)>),
    places: &ProbedPlaces,
) -> fs::Result<Vec<(&'static str, String)>> {
    let data = Dir::open(&drop_dir.path)?;
    let output = open_output_dir(drop_dir, Path::new(""))?;
    let mut constraints = constraints_of_dirs(drop_dir, &data, &output)?;
    let can = places.capabilities(&output)?;
    let Crossing { rename, reflink } = places.crossing(&data, &output)?;
    let output_path = drop_dir.output_path();
    let is_separate = unit.is_some_and(|unit| unit.separates(&drop_dir.path, output_path));
    constraints.same_file_system &= rename && !is_separate;
    if can.reflink && !reflink {
        constraints.exclude(Route::Reflink, RouteObstacle::OtherFileSystem);
    }
    for (route, can) in [(Route::Reflink, can.reflink), (Route::InsertRange, can.insert_range)] {
        if !can {
            constraints.exclude(route, RouteObstacle::Unsupported);
        }
    }
    if !data.is_writable() {
        constraints.exclude_consuming(&RouteObstacle::NoRenamesThere);
    }
    let mut of_staying = constraints.clone();
    of_staying.exclude_consuming(&RouteObstacle::Unproven);
    let mut lines = Vec::new();
    for (what, manifest) in SAMPLE_MANIFESTS {
        let Some(plan) = plan_of(manifest, &constraints) else { continue };
        lines.push((*what, plan.route.to_string()));
        if plan.route == Route::InsertRange {
            let size = BinaryBytes(WORTH_INSERTING);
            lines.push(("", format!("files below {size}: {}", Route::Copy)));
        }
        lines.extend(plan.skipped_routes.iter().map(|passed| ("", passed.to_string())));
        if let (Some((whose, why)), Some(plan)) = (&staying, plan_of(manifest, &of_staying)) {
            lines.push(("", format!("{whose}: {}; {why}", plan.route)));
        }
    }
    Ok(lines)
}

/// Returns which sources npyd only copies and why they stay, if they are to be removed or archived.
fn staying(
    drop_dir: &DropDir,
    daemon: Option<&User>,
    places: &ProbedPlaces,
) -> fs::Result<Option<(&'static str, String)>> {
    let data = Dir::open(&drop_dir.path)?;
    if drop_dir.source == Disposition::Keep || !data.is_writable() {
        return Ok(None);
    }
    let others = "of other users";
    if let Some(why) = why_sticky(drop_dir, daemon)? {
        return Ok(Some((others, format!("the source stays, {why}"))));
    }
    let (whose, why, remedy) = if !places.capabilities(&data)?.leases {
        ("without digest or marker", "its file system grants no leases", "")
    } else if LeaseRight::probe(&drop_dir.path) == LeaseRight::OwnFiles {
        (others, "this process has no CAP_LEASE", "CAP_LEASE, ")
    } else {
        return Ok(None);
    };
    let stays = if drop_dir.remove_unproven {
        format!("because {why}")
    } else {
        format!(
            "the source stays, because {why}; {remedy}a `digest` in its manifest, a marker or \
             remove_unproven = true lets it go"
        )
    };
    Ok(Some((whose, stays)))
}

/// Returns why files of other users can't leave a drop directory that has the sticky bit: for the
/// daemon's user if that is another one than this process's.
fn why_sticky(drop_dir: &DropDir, daemon: Option<&User>) -> fs::Result<Option<String>> {
    let data = Dir::open(&drop_dir.path)?;
    let is_denied = match daemon {
        Some(user) => user.uid != 0 && data.is_sticky_for(user.uid)?,
        None => data.is_sticky()? && !fs::may_act_as_owner(&drop_dir.path),
    };
    let whose = daemon.map_or_else(|| "npyd's user".to_owned(), |it| format!("user `{}`", it.name));
    Ok(is_denied.then(|| {
        format!(
            "because `{}` {}; `chmod -t` it, or make {whose} its owner",
            drop_dir.path.display(),
            DirDenial::Sticky
        )
    }))
}

/// Plans a dump that has this manifest.
fn plan_of(manifest: &str, constraints: &Constraints) -> Option<Plan> {
    let name = |name: &str| FileName::try_from(name.to_owned()).ok();
    let manifest = Manifest::parse(&name("x.raw.toml")?, manifest.as_bytes()).ok()??;
    let dump = manifest.dump(&name("x.raw")?).ok()?;
    let header = dump.layout.header()?;
    let size = dump.least_file_len()?;
    Plan::new(&dump, &header, size, constraints).ok()
}

fn check_watch(drop_dir: &DropDir) -> fs::Result<String> {
    let network = fs::fs_info(&Dir::open(&drop_dir.path)?)?.network;
    let how = match (drop_dir.watch, network) {
        (Watch::Poll, _) => "by polling, as configured",
        (Watch::Inotify, true) => {
            "by inotify, as configured; files that other hosts write are found only by scans"
        }
        (Watch::Auto, true) => "by polling, because it is a network file system",
        (Watch::Inotify | Watch::Auto, false) => "by inotify",
    };
    Ok(format!("{how}; one scan every {}", humantime::format_duration(drop_dir.rescan)))
}
