//! `npyd check`: wrong configurations, and the line that the error points at.

use crate::support::Site;

/// A wrong setting of the drop, and words that the error must have besides the line.
const WRONG_SETTINGS: &[(&str, &[&str])] = &[
    ("colour = \"blue\"", &["colour"]),
    ("recursive = \"yes\"", &["recursive"]),
    ("source = \"move\"", &["move", "keep", "remove", "archive"]),
    ("on_conflict = \"ask\"", &["ask", "reject", "replace", "number"]),
    ("salvage = \"all\"", &["all", "quarantine", "whole-records"]),
    ("readers = \"matlab\"", &["matlab", "numpy", "any"]),
    ("watch = \"hard\"", &["hard", "auto", "inotify", "poll"]),
    ("rescan = \"soon\"", &["soon"]),
    ("rescan = 60", &["rescan"]),
    ("archive = 7", &["archive"]),
    ("ignore = \"*.tmp\"", &["a list"]),
    ("ignore = [\"*.tmp\", \"#work\"]", &["comment", "\\#work"]),
    ("ignore = [\"\"]", &["matches no name"]),
    ("ignore = [\"[a\"]", &["[a"]),
    ("ignore = [\"./a\"]", &["`/a`"]),
    ("rejects = [\"a\"]", &["rejects"]),
];

/// A wrong line of a template.
const WRONG_TEMPLATES: &[(&str, &[&str])] = &[
    ("dtype = \"<q9\"", &["<q9"]),
    ("dtype = \"|O\"", &["object"]),
    ("shape = [-1, -1]", &["-1"]),
    ("shape = [4, -1]", &["axis"]),
    ("shape = \"4\"", &["shape"]),
    ("shape = (-1, 4)", &["shape = [-1, 4]"]),
    ("order = \"K\"", &["order"]),
    ("reserved = 32", &["64"]),
    ("match = \"[\"", &["match"]),
    ("exposure = 5", &["exposure"]),
    ("offest = 80", &["offest", "offset"]),
];

/// Asserts that `npyd check` and `npyd sweep` refuse the site's configuration with exit code 2 and
/// `npyd run` with 78 (`EX_CONFIG`), name the file and point at `line`.
#[track_caller]
fn assert_points_at(site: &Site, line: &str, words: &[&str]) {
    let text = String::from_utf8(site.read("npyd.toml")).unwrap();
    let number = text.lines().position(|found| found == line).unwrap() + 1;
    for (command, code) in [("check", 2), ("run", 78), ("sweep", 2)] {
        let outcome = site.npyd(&[command]).expect_code(code).expect_words(words);
        let outcome = outcome.expect_words(&["npyd.toml", line]);
        let points = [format!("line {number}"), format!("npyd.toml:{number}")];
        assert!(points.iter().any(|it| outcome.stderr.contains(it)), "line {number}: {outcome}");
    }
}

#[test]
fn settings_of_a_drop() {
    for (line, words) in WRONG_SETTINGS {
        let site = Site::with(&format!("allow_trailing = true\n{line}"));
        assert_points_at(&site, line, words);
    }
}

#[test]
fn lines_of_a_template() {
    for (line, words) in WRONG_TEMPLATES {
        let key = line.split(' ').next().unwrap();
        let good = ["match = \"*.raw\"", "dtype = \"<f4\"", "shape = [4]"];
        let others: Vec<_> = good.into_iter().filter(|it| !it.starts_with(key)).collect();
        let site = Site::with(&format!("[[drop.template]]\n{}\n{line}", others.join("\n")));
        assert_points_at(&site, line, words);
    }
}

/// A template belongs to the drop directory before it, which a TOML error alone does not say.
#[test]
fn a_template_before_its_drop_directory() {
    for (header, rest) in [
        ("[[drop.template]]", "\n[[drop]]\npath = \"in\"\n"),
        ("[drop.template]", "\n[[drop]]\npath = \"in\"\n"),
        ("[[drop.template]]", ""),
    ] {
        let site = Site::new();
        let template = "match = \"*.u2\"\ndtype = \"<u2\"\nshape = [-1]\n";
        site.write("npyd.toml", format!("state_dir = \"state\"\n{header}\n{template}{rest}"));
        let words =
            ["[[drop.template]] belongs to the [[drop]] before it", "put it below its [[drop]]"];
        site.npyd(&["check"]).expect_code(2).expect_words(&words);
    }
}

#[test]
fn settings_of_the_daemon() {
    for (line, words) in
        [("workers = 0", "workers"), ("workers = \"two\"", "workers"), ("x = 1", "x")]
    {
        let site = Site::new();
        let config = String::from_utf8(site.read("npyd.toml")).unwrap();
        site.write("npyd.toml", format!("{line}\n{config}"));
        assert_points_at(&site, line, &[words]);
    }
}

/// One of many is told from the others.
#[test]
fn a_rule_on_its_own_line() {
    let site = Site::with("ignore = [\n  \"*.tmp\",\n  \"[a\",\n  \"old/\",\n]");
    assert_points_at(&site, "  \"[a\",", &["`[a` is not a pattern"]);
}

/// What is missing, or doesn't go together, is named.
#[test]
fn settings_that_go_together() {
    let path = "path = \"/nonexistent/in\"";
    let cases: &[(&str, &[&str])] = &[
        ("", &["[[drop]]"]),
        ("state_dir = \"/tmp/x\"\n[[drop]]\noutput = \"/tmp\"\n", &["path"]),
        (
            &format!("state_dir = \"/tmp/x\"\n[[drop]]\n{path}\nsource = \"archive\"\n"),
            &["archive"],
        ),
        (
            &format!("state_dir = \"/tmp/x\"\n[[drop]]\n{path}\n[[drop]]\n{path}\n"),
            &["/nonexistent/in"],
        ),
        ("state_dir = \"/tmp/x\"\n[[drop]\n", &["npyd.toml"]),
        // The producer may own the drop directory, and so all that is below it.
        (
            &format!("state_dir = \"/nonexistent/in/a/state\"\n[[drop]]\n{path}\n"),
            &["state_dir `/nonexistent/in/a/state` is inside a drop directory"],
        ),
    ];
    for (text, words) in cases {
        let site = Site::new();
        site.write("npyd.toml", text);
        site.npyd(&["check"]).expect_code(2).expect_words(words);
    }
}

/// npyd would take what it archives or rejects for new drops, in a circle without an end.
#[test]
fn an_archive_that_is_a_drop_directory() {
    let site = Site::new();
    let table = |path: &str, keys: &str| format!("[[drop]]\npath = '{path}'\n{keys}\n");
    let archive = |to: &str| format!("source = 'archive'\narchive = '{to}'");
    let is = "is itself a drop directory: its files would be taken for new drops";
    for (one, other, words) in [
        (archive("out"), archive("in"), [is, "choose another directory"]),
        (archive("out"), String::new(), [is, "choose another directory"]),
        (archive("link"), String::new(), [is, "choose another directory"]),
        ("rejects = 'out'".into(), String::new(), [is, "choose another directory"]),
        (
            archive("out/raw"),
            "recursive = true".into(),
            ["out/raw` of the drop", "or add \"/raw/\" to its `ignore`"],
        ),
    ] {
        if !site.has("link") {
            std::os::unix::fs::symlink(site.path("out"), site.path("link")).unwrap();
        }
        let text = [table("in", &one), table("out", &other)].concat();
        site.write("npyd.toml", format!("state_dir = 'state'\n{text}"));
        site.npyd(&["check"]).expect_code(2).expect_words(&words);
        site.npyd(&["run"]).expect_code(78).expect_words(&words);
        site.npyd(&["sweep"]).expect_code(2).expect_words(&words);
    }
    // A subdirectory that the other one does not scan.
    let text = [table("in", &archive("out/raw")), table("out", "")].concat();
    site.write("npyd.toml", format!("state_dir = 'state'\n{text}"));
    site.npyd(&["check", "--config-only"]).expect_code(0);
}

/// Mistakes in several tables, and several in one, are reported at once.
#[test]
fn several_mistakes() {
    let site = Site::new();
    let lines = [
        "state_dir = 'state'",
        "[[drop]]",
        "path = 'in'",
        "source = 'archive'",
        "rejects = 'in'",
        "ignore = ['[a']",
        "[[drop]]",
        "path = 'in'",
        "[[drop.template]]",
        "match = '*.raw'",
        "dtype = '<f4'",
        "shape = [4, -1]",
    ];
    site.write("npyd.toml", lines.join("\n"));
    let words = [
        "`[a` is not a pattern",
        "line 12: ",
        "source = \"archive\" needs archive",
        "is the drop directory itself",
        "in` is configured twice",
    ];
    for (command, code) in [("check", 2), ("run", 78)] {
        site.npyd(&[command]).expect_code(code).expect_words(&words);
    }
    let told = site.npyd(&["check", "--json"]).expect_code(2).json();
    assert_eq!(told.len(), 1, "{told:#?}");
    let error = told[0]["error"].as_str().unwrap();
    assert!(words.iter().all(|word| error.contains(word)), "{error}");
    // Text that is not a configuration has its first mistake alone.
    site.write("npyd.toml", [&["colour = 1"], &lines[..]].concat().join("\n"));
    let outcome = site.npyd(&["check"]).expect_code(2).expect_words(&["colour"]);
    assert!(!outcome.stderr.contains("is not a pattern"), "{outcome}");
}

#[test]
fn a_right_configuration_is_checked() {
    let site = Site::with("recursive = true\nsource = \"remove\"");
    let (input, output) = (site.path("in"), site.path("out"));
    let words = [input.to_str().unwrap(), output.to_str().unwrap()];
    let routes = ["\n  reserved     in-place\n", "\n  raw data     "];
    let words = [words, routes].concat();
    site.npyd(&["check"]).expect_code(0).expect_words(&words);
}

/// `npyd check` finds what would stop a drop on this machine.
#[test]
fn a_machine_that_does_not_fit_is_said_so() {
    let site = Site::new();
    std::fs::remove_dir(site.path("out")).unwrap();
    site.write("out", "a file");
    let outcome = site.npyd(&["check"]).expect_words(&[site.path("out").to_str().unwrap()]);
    assert_eq!(outcome.code, 1, "{outcome}");
}

/// npyd does not follow a symlink inside the drop directory to a directory that it writes to: under
/// another name it could not recognize that directory as inside.
#[test]
fn directories_inside_the_drop_directory() {
    use std::os::unix::fs::symlink;
    let site = Site::new();
    let inside = |output: &str| {
        let config = site.configuration("state", "");
        let out = site.path("out");
        let [from, to] = [out, site.path(output)].map(|path| format!("output = {path:?}"));
        site.write("npyd.toml", config.replace(&from, &to));
        site.npyd(&["check"])
    };
    std::fs::create_dir(site.path("in/npy")).unwrap();
    inside("in/npy").expect_code(0);
    symlink(site.path("in"), site.path("another")).unwrap();
    inside("another/npy").expect_code(0).expect_words(&["in/npy"]);
    symlink(site.path("out"), site.path("in/link")).unwrap();
    inside("in/link").expect_code(1).expect_words(&["in/link`", "not a symbolic link"]);
    site.scan("scan");
    site.sweep().expect_code(1).expect_words(&["in/link`", "not a symbolic link"]);
    assert_eq!(site.names("out"), [""; 0]);
}

/// Without `--config` the file is `$NPYD_CONFIG`, then the system's.
#[test]
fn where_the_configuration_is_looked_for() {
    let site = Site::new();
    site.scan("scan");
    site.npyd(&["sweep"]).expect_code(0);
    assert_eq!(site.names("out"), ["scan.npy"]);
    if !std::path::Path::new("/etc/npyd/npyd.toml").exists() {
        let mut command = site.command();
        command.env_remove("NPYD_CONFIG").arg("sweep");
        let outcome = crate::support::Outcome::of(&mut command);
        outcome.expect_code(2).expect_words(&["/etc/npyd/npyd.toml"]);
    }
}

/// Scripts and units may set the variable to nothing.
#[test]
fn an_empty_variable_is_as_if_unset() {
    let site = Site::new();
    let run = |value: Option<&str>| {
        let mut command = site.command();
        command.env_remove("NPYD_CONFIG").args(["check", "--config-only"]);
        crate::support::Outcome::of(command.envs(value.map(|it| ("NPYD_CONFIG", it))))
    };
    let (unset, empty) = (run(None), run(Some("")));
    assert_eq!((empty.code, empty.stderr), (unset.code, unset.stderr));
}

#[test]
fn the_configuration_alone() {
    let site = Site::new();
    std::fs::remove_dir(site.path("out")).unwrap();
    site.npyd(&["check"]).expect_code(1);
    let outcome = site.npyd(&["check", "--config-only"]).expect_code(0);
    assert_eq!(outcome.stdout.lines().count(), 1, "{outcome}");
    site.configure("colour = \"blue\"");
    site.npyd(&["check", "--config-only"]).expect_code(2).expect_words(&["colour"]);
}

#[test]
fn as_json() {
    let site = Site::new();
    let told = site.npyd(&["check", "--json"]).expect_code(0).json();
    assert_eq!((told.len(), &told[0]["ok"]), (1, &true.into()), "{told:#?}");
    let drop = site.path("in");
    let checks = told[0]["checks"].as_array().unwrap();
    let data = checks.iter().find(|it| it["topic"] == "data").unwrap();
    assert_eq!(data["drop"], drop.to_str().unwrap());
    std::fs::remove_dir(site.path("out")).unwrap();
    let told = site.npyd(&["check", "--json"]).expect_code(1).json();
    let checks = told[0]["checks"].as_array().unwrap();
    let failed: Vec<_> = checks.iter().filter(|it| it["ok"] == false).collect();
    assert_eq!((failed.len(), &failed[0]["topic"]), (1, &"output".into()), "{told:#?}");
    assert_eq!(told[0]["ok"], false);
    site.configure("colour = \"blue\"");
    let told = site.npyd(&["check", "--json"]).expect_code(2).json();
    assert!(told[0]["error"].as_str().unwrap().contains("colour"), "{told:#?}");
}

/// What root leaves behind, the daemon's user could not write to.
#[test]
fn a_check_leaves_nothing_behind() {
    let site = Site::new();
    site.npyd(&["check"]).expect_code(0);
    for command in [&["retry", "--all"], &["redo", "scan.raw"], &["history", "--json"]] {
        site.npyd(command);
        assert_eq!(site.names("state"), [""; 0], "{command:?}");
    }
    std::fs::remove_dir(site.path("state")).unwrap();
    site.npyd(&["check"]).expect_code(0);
    assert!(!site.has("state"));
    site.write("state", "a file");
    site.npyd(&["check"]).expect_code(1).expect_words(&["ledger"]);
}

/// `npyd check` runs outside the unit's sandbox, and reads the unit files to find what the sandbox
/// denies.
#[test]
fn what_the_unit_denies() {
    let site = Site::new();
    let unit = include_str!("../../../systemd/npyd.service");
    let start = format!("run --config {}", site.path("npyd.toml").display());
    std::fs::create_dir_all(site.path("units/npyd.service.d")).unwrap();
    let install = |unit: &str| {
        site.write("units/npyd.service", unit.replace("run --config /etc/npyd/npyd.toml", &start));
    };
    let check = || {
        let mut command = site.command();
        command.env("SYSTEMD_UNIT_PATH", site.path("units")).arg("check");
        crate::support::Outcome::of(&mut command)
    };
    check().expect_code(0);
    install(unit);
    let is_temporary = ["/tmp", "/var/tmp"].iter().any(|dir| site.path("").starts_with(dir));
    let denied = if is_temporary { "PrivateTmp=no" } else { "ReadWritePaths=-/" };
    let words = [denied, "outside the sandbox of npyd.service", "runs as `npyd`"];
    check().expect_code(1).expect_words(&words);
    let write = |text: &str| site.write("units/npyd.service.d/own.conf", text);
    write("[Service]\nPrivateTmp=no\n");
    // The remedy is one path for drops and arrays: two are two mounts in the sandbox.
    let paths = site.path("");
    let remedy = format!("add ReadWritePaths=-{} (", paths.components().as_path().display());
    check().expect_code(1).expect_words(&[&remedy, "ProtectSystem=strict"]);
    write(&format!("[Service]\nPrivateTmp=no\nReadWritePaths={}\n", paths.display()));
    check().expect_code(0).expect_words(&["outside the sandbox"]);
    // Two paths are two mounts.
    let is_in_place = |outcome: &crate::support::Outcome| {
        outcome.stdout.lines().any(|line| line.trim().starts_with("reserved     in-place"))
    };
    assert!(is_in_place(&check()));
    let paths = ["in", "out", "state"].map(|name| site.path(name).display().to_string());
    write(&format!("[Service]\nPrivateTmp=no\nReadWritePaths={}\n", paths.join(" ")));
    let outcome = check().expect_code(0);
    let words = ["are two mounts (ReadWritePaths=)", "another file system or mount"];
    let outcome = outcome.expect_words(&words);
    assert!(!is_in_place(&outcome), "{outcome}");
    // A unit with another configuration is not about this one.
    site.write("units/npyd.service", unit);
    write("");
    let outcome = check().expect_code(0);
    assert!(!outcome.stdout.contains("sandbox"), "{outcome}");
    outcome
        .expect_words(&["npyd.service starts npyd with `/etc/npyd/npyd.toml`: its files are not"]);
}

/// In the sandbox, a hidden directory is not one that is missing.
#[test]
fn what_the_sandbox_hides() {
    if !crate::support::as_root() {
        return;
    }
    let site = Site::new();
    let inaccessible = site.path("systemd/inaccessible/dir");
    let private = site.path("systemd-private-1-npyd.service-2/tmp");
    for dir in [&inaccessible, &private] {
        std::fs::create_dir_all(dir).unwrap();
    }
    for (over, by, words) in [
        ("/home", &inaccessible, "set ProtectHome=no"),
        ("/var/tmp", &private, "set PrivateTmp=no"),
        ("/home", &private, "create it"),
    ] {
        let config = site.configuration("state", "");
        let input = format!("path = \"{}\"", site.path("in").display());
        let output = format!("output = \"{}\"", site.path("out").display());
        let config = config.replace(&input, &format!("path = \"{over}/npyd-none/in\""));
        site.write("npyd.toml", config.replace(&output, &format!("output = \"{over}/none\"")));
        let script = "mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        let npyd = site.command();
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).args([by.as_path(), over.as_ref()]);
        command.arg(npyd.get_program()).args(["check", "--config"]).arg(site.path("npyd.toml"));
        crate::support::Outcome::of(&mut command).expect_code(1).expect_words(&[words]);
        let mut command = std::process::Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).args([by.as_path(), over.as_ref()]);
        command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg(npyd.get_program());
        let mut daemon = crate::support::Daemon::start_as(&site, "npyd.toml", command);
        daemon.wait_for_log(words);
    }
}

/// `npyd check` reports that it does not run as the daemon's user.
#[test]
fn by_another_user() {
    if !crate::support::as_root() {
        return;
    }
    let site = Site::with("source = 'remove'");
    let outcome = site.npyd(&["check"]).expect_code(0);
    assert!(!outcome.stdout.contains("seen by"), "{outcome}");
    assert!(!outcome.stdout.contains("of other users"), "{outcome}");
    std::os::unix::fs::chown(site.path("state"), Some(1000), Some(1000)).unwrap();
    site.npyd(&["check"]).expect_code(0).expect_words(&["seen by", "belongs to user `"]);
    let mut command = std::process::Command::new("setpriv");
    command.args(["--bounding-set=-lease", "--inh-caps=-lease"]);
    command.arg(env!("CARGO_BIN_EXE_npyd")).args(["check", "--config"]);
    command.arg(site.path("npyd.toml"));
    let outcome = crate::support::Outcome::of(&mut command).expect_code(0);
    outcome.expect_words(&[
        "this process may take leases only on files",
        "the daemon may take",
        "of other users: ",
        "the source stays, because this process has no CAP_LEASE; CAP_LEASE, a `digest` in its",
    ]);
}

/// Such as ramfs, which has no limit.
#[test]
fn a_file_system_that_does_not_count_its_blocks() {
    if !crate::support::as_root() {
        return;
    }
    let site = Site::new();
    let mount = ["-t", "ramfs", "npyd"];
    let Some(_mounted) = crate::support::Mounted::with(&site, "state", "mount", &mount) else {
        return;
    };
    site.sweep().expect_code(0);
    let told = site.npyd(&["check"]).expect_code(0);
    assert!(!told.stdout.contains("full") && !told.stdout.contains(" 0 B free"), "{told}");
}

/// The kernel renames nothing from one mount to another, also within one file system.
#[test]
fn mounts_between_drops_and_arrays() {
    if !crate::support::as_root() {
        return;
    }
    let site = Site::with("source = 'remove'");
    let route = |site: &Site| {
        let outcome = site.npyd(&["check"]).expect_code(0);
        let mut lines = outcome.stdout.lines().map(str::trim);
        let line = lines.find_map(|line| line.strip_prefix("reserved     "));
        (line.unwrap().to_owned(), outcome)
    };
    assert_eq!(route(&site).0, "in-place");
    let from = site.path("out").display().to_string();
    let Some(_bound) = crate::support::Mounted::with(&site, "out", "mount", &["--bind", &from])
    else {
        return;
    };
    let (route, outcome) = route(&site);
    assert_ne!(route, "in-place");
    outcome.expect_words(&["not in-place: the output is on another file system or mount"]);
    assert_eq!((site.names("in"), site.names("out")), (Vec::new(), Vec::new()));
}

/// A reload of a link to a device must not fill memory.
#[test]
fn a_configuration_without_an_end() {
    let site = Site::new();
    let config = site.path("npyd.toml");
    std::fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &config).unwrap();
    site.npyd(&["check"]).expect_code(2).expect_words(&["npyd.toml", "it is longer than 4 MiB"]);
}
