//! Every message, as users read it.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use crate::support::{
    Outcome, PendingFile, SCAN_MANIFEST, Site, as_other_user, scan_bytes, scan_npy,
};

/// Sweeps until nothing new is told, and returns all that was. The exit code is 1 where something
/// was rejected or failed.
fn swept(site: &Site) -> String {
    let mut told = String::new();
    loop {
        let outcome = site.npyd(&["sweep"]);
        let mut news: Vec<_> = outcome
            .stdout
            .lines()
            .filter(|line| !told.contains(*line))
            .map(str::to_owned)
            .collect();
        let is_bad = |line: &str| line.starts_with("rejected") || line.starts_with("failed");
        let bad = outcome.stdout.lines().any(is_bad);
        assert_eq!(outcome.code, i32::from(bad), "{outcome}");
        if news.is_empty() {
            return told;
        }
        news.sort();
        told.push_str(&news.join("\n"));
        told.push('\n');
    }
}

/// A site with a drop of data for each manifest, told of in the order of their names.
fn manifests(extension: &str, cases: &[(&str, &str)]) -> String {
    let site = Site::new();
    for (name, manifest) in cases {
        site.drop_file(&format!("{name}.raw"), scan_bytes());
        site.drop_file(&format!("{name}.raw.{extension}"), manifest);
    }
    let told = swept(&site);
    for (name, _) in cases {
        assert!(told.contains(&format!("in/{name}.raw")), "nothing is told of {name}:\n{told}");
    }
    snapshot_text(&site, &told)
}

/// The text without what differs from run to run.
fn snapshot_text(site: &Site, text: &str) -> String {
    text.replace(site.path("").to_str().unwrap(), "[SITE]/")
}

/// A site that takes things for quiet after so long: `0s` to skip the wait, `1h` to stay in it.
fn quiet_after(time: &str, settings: &str) -> Site {
    let site = Site::new();
    let text = site.configuration("state", settings).replace("\"200ms\"", &format!("\"{time}\""));
    site.write("npyd.toml", text);
    site
}

/// What `explain` says of each file in `in`: its verdict and the reason.
fn verdicts(site: &Site) -> String {
    let mut told = String::new();
    for name in site.names("in") {
        let explained = site.npyd(&["explain", &format!("in/{name}")]).expect_code(0).stdout;
        let row =
            |label: &str| explained.lines().find_map(|line| line.trim_start().strip_prefix(label));
        let (verdict, why) = (row("verdict").unwrap(), row("because").unwrap_or_default());
        told.push_str(format!("{name}: {}: {}", verdict.trim(), why.trim()).trim_end_matches(": "));
        told.push('\n');
    }
    told
}

macro_rules! snapshot {
    ($site:expr, $text:expr) => {
        $site.settings().bind(|| insta::assert_snapshot!($text))
    };
}

#[test]
fn manifests_in_toml() {
    let told = manifests(
        "toml",
        &[
            ("axes", &format!("dtype = '<f4'\nshape = [{}]\n", "1, ".repeat(65))),
            ("data-climbs", "dtype = '<f4'\nshape = [2, 3]\ndata = '../x.raw'\n"),
            ("digest", "dtype = '<f4'\nshape = [2, 3]\ndigest = 'crc7:00'\n"),
            ("digest-short", "dtype = '<f4'\nshape = [2, 3]\ndigest = 'md5:00'\n"),
            ("digest-wrong", "dtype = '<f4'\nshape = [2, 3]\ndigest = 'crc32c:00000000'\n"),
            ("dtype", "dtype = '<q9'\nshape = [2, 3]\n"),
            ("dtype-list", "dtype = [['a', '<i2'], ['a', '<i2']]\nshape = [2, 3]\n"),
            ("dtype-number", "dtype = 4\nshape = [2, 3]\n"),
            ("empty-records", "dtype = '<f4'\nshape = [-1, 0]\n"),
            ("half", "dtype = '<f4'\n"),
            ("half-misspelt", "dtyp = '<f4'\nshape = [2, 3]\n"),
            ("half-too", "shape = [2, 3]\n"),
            ("misspelt", "dtype = '<f4'\nshape = [2, 3]\nofset = 8\nordr = 'F'\n"),
            ("misspelt-both", "dtype = '<f4'\nshape = [2, 3]\noffset = 0\noffest = 8\n"),
            ("negative", "dtype = '<f4'\nshape = [2, -3]\n"),
            ("object", "dtype = [['a', '|O']]\nshape = [2, 3]\n"),
            ("offset", "dtype = '<f4'\nshape = [2, 3]\noffset = -4\n"),
            ("offset-reserved", "dtype = '<f4'\nshape = [2, 3]\noffset = 4\nreserved = 64\n"),
            ("order", "dtype = '<f4'\nshape = [2, 3]\norder = 'K'\n"),
            ("output-named", "dtype = '<f4'\nshape = [2, 3]\noutput = '.npyd-a.tmp'\n"),
            ("output-climbs", "dtype = '<f4'\nshape = [2, 3]\noutput = 'a/b.npy'\n"),
            ("overflow", "dtype = '<f4'\nshape = [9223372036854775807, 3]\n"),
            ("reserved", "dtype = '<f4'\nshape = [2, 3]\nreserved = 63\n"),
            ("shape-text", "dtype = '<f4'\nshape = '2, 3'\n"),
            ("subarray", "dtype = ['<f4', [2]]\nshape = [2, 3]\n"),
            ("syntax", "dtype = '<f4'\nshape = [2, 3\n"),
            ("torn", "dtype = '<f4'\nshape = [-1, 5]\n"),
            ("too-long", "dtype = '<f4'\nshape = [5]\n"),
            ("too-short", "dtype = '<f4'\nshape = [7]\n"),
            ("tuple", "dtype = '<f4'\nshape = (2, 3)  # rows\n"),
            ("tuple-without", "dtype = '<f4'\nshape = 2, 3\n"),
            ("twice", "dtype = '<f4'\ndtype = '<f8'\nshape = [2, 3]\n"),
            ("wrong-axis", "dtype = '<f4'\nshape = [2, -1]\n"),
        ],
    );
    snapshot!(Site::new(), told);
}

#[test]
fn manifests_in_json() {
    let told = manifests(
        "json",
        &[
            ("deep", &format!("{{\"dtype\": {}", "[".repeat(1000))),
            ("dtype", r#"{"dtype": "<q9", "shape": [2, 3]}"#),
            ("half", r#"{"dtype": "<f4"}"#),
            ("order", r#"{"dtype": "<f4", "shape": [2, 3], "order": "K"}"#),
            ("shape-type", r#"{"dtype": "<f4", "shape": [2.5, 3]}"#),
            ("syntax", "{\"dtype\": \"<f4\",\n \"shape\": [2, 3}"),
            ("twice", r#"{"dtype": "<f4", "shape": [2, 3], "shape": [6]}"#),
        ],
    );
    snapshot!(Site::new(), told);
}

#[test]
fn claims_and_names() {
    let site = Site::new();
    site.scan("two").drop_file("two.json", r#"{"dtype": "<f4", "shape": [2, 3]}"#);
    site.drop_file("either.raw", scan_bytes()).drop_file("either.bin", scan_bytes());
    site.drop_file("either.toml", SCAN_MANIFEST);
    site.scan("linked");
    fs::hard_link(site.path("in/linked.raw"), site.path("linked-elsewhere")).unwrap();
    site.drop_file("alone.toml", SCAN_MANIFEST).drop_file("link.raw.toml", SCAN_MANIFEST);
    symlink("doubt.raw", site.path("in/link.raw")).unwrap();
    site.drop_file("named.toml", format!("{SCAN_MANIFEST}data = 'other.bin'\n"));
    site.drop_file("doubt.raw", scan_bytes());
    let warnings = "endian = 'big'\norders = 'F'\noffest = 'left'\n";
    site.drop_file("doubt.toml", format!("{SCAN_MANIFEST}{warnings}"));
    site.scan("taken").write("out/taken.npy", "something else");
    snapshot!(site, swept(&site));
}

#[test]
fn pending_headers() {
    let site = Site::new();
    let good = PendingFile::ready(&[2, 3]).with(&[7; 24]);
    let changed = |name: &str, at: usize, byte: u8| {
        let mut file = good.clone();
        file[at] = byte;
        site.drop_file(name, file);
    };
    changed("mark.npy", 7, b'q');
    changed("version.npy", 6, 9);
    changed("length.npy", 9, 0xff);
    changed("dict.npy", 10, b'x');
    site.drop_file("abandoned.npy", PendingFile::writing(&[-1, 3]).with(&[7; 40]));
    site.drop_file("short.npy", &good[..good.len() - 1]);
    site.drop_file("long.npy", [&good[..], &[1]].concat());
    site.drop_file("both.npy", &good).drop_file("both.npy.toml", SCAN_MANIFEST);
    site.drop_file("stub.npy", &good[..8]);
    snapshot!(site, swept(&site));
}

/// Each byte of the first twelve is wrong once, and the file ends after each once.
#[test]
fn pending_headers_byte_by_byte() {
    let site = quiet_after("0s", "");
    let good = PendingFile::ready(&[2, 3]).with(&[7; 24]);
    for at in 0..12 {
        let mut file = good.clone();
        file[at] ^= 0x7f;
        site.drop_file(&format!("byte-{at:02}.npy"), file);
        site.drop_file(&format!("ends-at-{at:02}.npy"), &good[..at]);
    }
    site.drop_file("ends-in-the-dict.npy", &good[..60]);
    insta::assert_snapshot!(verdicts(&site));
}

#[test]
fn pending_header_texts() {
    let site = quiet_after("0s", "");
    for (name, text) in [
        ("descr", "{'descr': '<q9', 'fortran_order': False, 'shape': (2, 3)}"),
        ("end", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)} and more"),
        ("key", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), 'gain': 2}"),
        ("list", "['<i4', False, (2, 3)]"),
        ("no-descr", "{'fortran_order': False, 'shape': (2, 3)}"),
        ("no-order", "{'descr': '<i4', 'shape': (2, 3)}"),
        ("no-shape", "{'descr': '<i4', 'fortran_order': False}"),
        ("object", "{'descr': '|O', 'fortran_order': False, 'shape': (2, 3)}"),
        ("open-end", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3"),
        ("order", "{'descr': '<i4', 'fortran_order': 'C', 'shape': (2, 3)}"),
        ("shape-list", "{'descr': '<i4', 'fortran_order': False, 'shape': [2, 3]}"),
        ("shape-minus", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, -3)}"),
        ("shape-axis", "{'descr': '<i4', 'fortran_order': False, 'shape': (2, -1)}"),
    ] {
        let mut file = PendingFile::ready(&[2, 3]).with(&[7; 24]);
        file[10..127].copy_from_slice(format!("{text:<117}").as_bytes());
        site.drop_file(&format!("{name}.npy"), file);
    }
    insta::assert_snapshot!(verdicts(&site));
}

/// Files of every wrong size, and of the right ones, however they are described.
#[test]
fn sizes() {
    let frames = "[[drop.template]]\nmatch = \"*.u16\"\ndtype = \"<u2\"\nshape = [-1, 4]\n\
                  [[drop.template]]\nmatch = \"*.u8\"\ndtype = \"|u1\"\nshape = [4]";
    let site = quiet_after("0s", frames);
    let described = [
        ("fixed", "shape = [2, 3]", &[0, 20, 24, 28][..]),
        ("growing", "shape = [-1, 3]", &[0, 10, 24, 30]),
        ("offset", "shape = [-1, 3]\noffset = 8\ntrailing = 4", &[4, 12, 16, 24]),
        ("reserved", "shape = [2, 3]\nreserved = 128", &[100, 152, 160]),
    ];
    for (name, keys, sizes) in described {
        for size in sizes {
            site.drop_file(&format!("{name}-{size:03}.raw"), vec![1; *size]);
            site.drop_file(
                &format!("{name}-{size:03}.raw.toml"),
                format!("dtype = '<f4'\n{keys}\n"),
            );
        }
    }
    for size in [0, 6, 8, 12] {
        site.drop_file(&format!("frames-{size:02}.u16"), vec![1; size]);
        site.drop_file(&format!("fixed-{size:02}.u8"), vec![1; size]);
        site.drop_file(
            &format!("p-{size:02}.npy"),
            PendingFile::ready(&[-1, 2]).with(&vec![1; size]),
        );
    }
    let told = verdicts(&site);
    // A manifest's verdict is its data's.
    let told: Vec<_> = told.lines().filter(|line| !line.contains(".toml: ")).collect();
    insta::assert_snapshot!(told.join("\n"));
}

/// What is not settled yet, and what for.
#[test]
fn waits() {
    let marked = "[[drop.template]]\nmatch = \"*.u16\"\ndtype = \"<u2\"\nshape = [-1, 4]\n\
                  reserved = 128\nmarker = \"DONE\"";
    let site = quiet_after("1h", marked);
    site.scan("written").scan("described").scan("holes").scan("long");
    site.drop_file("half-written.raw", [0; 20]).drop_file("half-written.toml", SCAN_MANIFEST);
    site.drop_file("long.raw", [0; 28]);
    site.drop_file("holes.raw", "");
    File::options().write(true).open(site.path("in/holes.raw")).unwrap().set_len(24).unwrap();
    site.drop_file("wrong.raw", scan_bytes())
        .drop_file("wrong.toml", "dtype = '<q9'\nshape = [6]\n");
    site.drop_file("cut.raw", scan_bytes()).drop_file("cut.toml", "dtype = '<f4'\nshape = [2,");
    site.drop_file("unmarked.u16", [0; 136]);
    site.drop_file("closed.npy", PendingFile::writing(&[-1, 3]).with(&[7; 24]));
    site.drop_file("growing.npy", PendingFile::writing(&[-1, 3]).with(&[7; 24]));
    site.drop_file("renamed.npy.pending", scan_npy());
    site.drop_file("named.toml", format!("{SCAN_MANIFEST}data = 'other.bin'\n"));
    let open = |name: &str| File::options().append(true).open(site.path(name)).unwrap();
    let _writers =
        ["written.raw", "half-written.raw", "described.raw.toml", "cut.toml", "growing.npy"]
            .map(|name| open(&format!("in/{name}")));
    let mut settings = site.settings();
    // What a file system allocates for a few bytes differs.
    settings.add_filter(r"\(\d+ of (\d+) bytes are allocated", "($1 bytes so far");
    settings.bind(|| insta::assert_snapshot!(verdicts(&site)));
}

/// Names that can't be an array's, or are taken.
#[test]
fn names() {
    let site = Site::new();
    site.scan("dir").scan("tab\there");
    fs::create_dir(site.path("out/dir.npy")).unwrap();
    let long = "x".repeat(254);
    site.drop_file(&long, scan_bytes());
    site.drop_file("long.toml", format!("{SCAN_MANIFEST}data = '{long}'\n"));
    let mut told = swept(&site).replace(&long, "xxx[254 IN ALL]");
    site.drop_file("x.raw", scan_bytes());
    let latin = site.path(OsStr::from_bytes(b"in/gr\xfc\xdfe.raw"));
    fs::write(&latin, scan_bytes()).unwrap();
    told.push_str(&site.npyd(&["explain", "in/tab\there.raw"]).expect_code(0).stdout);
    for (command, code) in [("explain", 0), ("finalize", 1), ("inspect", 1)] {
        for args in [&[command][..], &[command, "--json"]] {
            let outcome = Outcome::of(site.command().args(args).arg(&latin)).expect_code(code);
            told.push_str(&outcome.stdout);
        }
    }
    snapshot!(site, told);
}

/// Troubles that only a user without rights has.
#[test]
fn without_the_right_to_it() {
    if !as_other_user() {
        return;
    }
    let site = Site::new();
    site.scan("data").scan("described").scan("out");
    let forbid = |name: &str, mode| {
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    };
    forbid("in/data.raw", 0);
    forbid("in/described.raw.toml", 0);
    forbid("out", 0o555);
    let mut told = site.npyd(&["sweep"]).expect_code(1).stdout;
    forbid("npyd.toml", 0);
    told.push_str(&site.npyd(&["sweep"]).expect_code(2).stderr);
    let mut lines: Vec<_> = told.lines().collect();
    lines.sort_unstable();
    snapshot!(site, lines.join("\n"));
}

/// As one that root was the first to open.
#[test]
fn a_ledger_that_can_not_be_written_to() {
    let site = Site::new();
    site.sweep().expect_code(0);
    site.scan("scan");
    let forbid = |name: &str, mode| {
        fs::set_permissions(site.path(name), Permissions::from_mode(mode)).unwrap();
    };
    forbid("state/ledger.sqlite", 0o444);
    let words = ["state/ledger.sqlite`", "may not write to it", "restore its rights (chmod u+rwX"];
    for (command, code) in [("run", 2), ("sweep", 2), ("check", 1)] {
        site.npyd_by_rights(&[command]).expect_code(code).expect_words(&words);
    }
    assert!(site.names("out").is_empty());
    forbid("state", 0);
    let history = site.npyd_by_rights(&["history"]);
    forbid("state", 0o755);
    history
        .expect_code(2)
        .expect_words(&["state/ledger.sqlite`: user `", "may not enter its directory"]);
}

/// Whoever reads the output later would take it for all there was.
#[test]
fn an_output_that_is_cut_off() {
    let site = Site::new();
    site.scan("scan");
    for command in ["sweep", "history", "check"] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let npyd = site.command().arg(command).stdout(full).output().unwrap();
        let stderr = String::from_utf8_lossy(&npyd.stderr);
        assert_eq!(npyd.status.code(), Some(2), "{command}: {stderr}");
        assert!(stderr.contains("No space left"), "{command}: {stderr}");
    }
    assert_eq!(site.read("out/scan.npy"), scan_npy());
}

#[test]
fn configurations() {
    let cases = [
        "colour = \"blue\"",
        "source = \"move\"",
        "source = \"archive\"",
        "archive = \"x\"",
        "rescan = \"soon\"",
        "rescan = 2",
        "rescan = \"0s\"",
        "rescan = \"1year\"",
        "metadata = true",
        "max_rate = \"200\"",
        "rejects = \"\"",
        "rejects = \"~/bad\"",
        "[drop.template]\nmatch = \"*\"",
        "recursive = \"yes\"",
        "rejects = [\"a\"]",
        "ignore = [\"*.tmp\", \"#work\"]",
        "ignore = [\"[a\"]",
        "ignore = [\"!/\"]",
        "salvage = \"all\"",
        "rejects = \"in\"",
        "[[drop]]\npath = \"in\"",
        "recursive = true\n[[drop]]\npath = \"in/sub\"",
        "[[drop.template]]\nmatch = \"*.raw\"\ndtype = \"<f4\"",
        "[[drop.template]]\nmatch = \"a/*\"\ndtype = \"<f4\"\nshape = [2]",
        "[[drop.template]]\nmatch = \"[\"\ndtype = \"<f4\"\nshape = [2]",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<q9\"\nshape = [2]",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2, -1]",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\nmarker = \"X\"",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\nreserved = 8",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\noffset = -1",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\nmarker = \"\"\nreserved = 64",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\noffset = 1\nreserved = 64",
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\noutput = \"x.npy\"",
        "[[drop.template]]\nmatch = \"^(?<n>.*)$\"\ndtype = \"<f4\"\nshape = [2]\noutput = \"{n}.dat\"",
    ];
    let mut told = String::new();
    for case in cases {
        let site = Site::with(case);
        let outcome = site.npyd(&["check"]).expect_code(2);
        told.extend([case, "\n=> ", &snapshot_text(&site, &outcome.stderr), "\n"]);
    }
    let site = Site::new();
    for text in ["workers = 0\n", "[drop]\npath = 'in'\n", &site.configuration("in", "")] {
        site.write("npyd.toml", text);
        told.push_str(&snapshot_text(&site, &site.npyd(&["check"]).stderr));
    }
    fs::remove_file(site.path("npyd.toml")).unwrap();
    told.push_str(&snapshot_text(&site, &site.npyd(&["check"]).stderr));
    insta::assert_snapshot!(told);
}

/// What `explain` says of a drop of each kind.
#[test]
fn explanations() {
    let template = "[[drop.template]]\nmatch = \"*.u16\"\ndtype = \"<u2\"\nshape = [-1, 4]\n\
                    reserved = 64\nmarker = \"DONE\"";
    let site = Site::with(template);
    site.scan("scan");
    site.drop_file("room.raw", [&[0; 128][..], &scan_bytes()].concat());
    site.drop_file("room.toml", format!("{SCAN_MANIFEST}reserved = 128\ngain = 2\n"));
    site.drop_file("narrow.raw", [&[0; 64][..], &scan_bytes()].concat());
    site.drop_file("narrow.toml", format!("{SCAN_MANIFEST}reserved = 64\n"));
    site.drop_file("ready.npy.pending", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    site.drop_file("unmarked.u16", [0; 80]);
    site.drop_file("short.raw", [0; 20]).drop_file("short.toml", SCAN_MANIFEST);
    site.drop_file("long.raw", [0; 30]).drop_file("long.toml", SCAN_MANIFEST);
    site.drop_file("alone.toml", SCAN_MANIFEST).drop_file("notes.txt", "x");
    site.drop_file("final.npy", scan_npy());
    let _socket = UnixListener::bind(site.path("in/socket")).unwrap();
    let names = [
        "scan.raw",
        "scan.raw.toml",
        "room.raw",
        "narrow.raw",
        "ready.npy.pending",
        "unmarked.u16",
        "short.raw",
        "alone.toml",
        "notes.txt",
        "final.npy",
        "socket",
        "nothing",
    ];
    let mut told = String::new();
    for name in names {
        let code = i32::from(name == "nothing");
        told.push_str(&site.npyd(&["explain", &format!("in/{name}")]).expect_code(code).stdout);
        told.push('\n');
    }
    let mut settings = site.settings();
    // What a file system allocates for a few bytes differs.
    settings.add_filter(r"allocated +\d+", "allocated [BYTES]");
    settings.bind(|| insta::assert_snapshot!(told));
}

#[test]
fn inspections() {
    let site = Site::new();
    site.write("final.npy", scan_npy());
    site.write("cut.npy", &scan_npy()[..140]);
    site.write("ready.npy", PendingFile::ready(&[-1, 3]).with(&[7; 24]));
    site.write("text.npy", "hello");
    let files = ["final.npy", "cut.npy", "ready.npy", "text.npy", "nothing.npy"];
    let outcome = site.npyd(&[&["inspect"][..], &files].concat()).expect_code(1);
    snapshot!(site, outcome.stdout);
}

#[test]
fn one_offs() {
    let site = Site::new();
    site.write("data.raw", scan_bytes());
    site.write("taken.npy", "something else");
    let described = ["finalize", "data.raw", "--dtype", "<f4", "--shape", "2,3"];
    let mut told = String::new();
    site.write("final.npy", scan_npy()).scan("x").drop_file("alone.toml", SCAN_MANIFEST);
    let _socket = UnixListener::bind(site.path("socket")).unwrap();
    for file in ["in", "socket", "final.npy", "in/alone.toml"] {
        told.push_str(&site.npyd(&["finalize", file]).expect_code(1).stdout);
    }
    for more in
        [&["-o", "taken.npy"][..], &["-o", "none/x.npy"], &["--offset", "4"], &["-o", "data.raw"]]
    {
        told.push_str(&site.npyd(&[&described[..], more].concat()).expect_code(1).stdout);
    }
    told.push_str(&site.npyd(&["finalize", "data.raw"]).expect_code(1).stdout);
    told.push_str(&site.npyd(&["finalize", "none.raw"]).expect_code(1).stdout);
    told.push_str(&site.npyd(&["finalize", "data.raw", "--dtype", "<f4"]).expect_code(2).stderr);
    told.push_str(&site.npyd(&described).expect_code(0).stdout);
    told.push_str(&site.npyd(&described).expect_code(0).stdout);
    snapshot!(site, snapshot_text(&site, &told));
}

/// A command that could not run reports that on standard error, with exit code 2.
#[test]
fn commands_that_can_not_run() {
    let site = Site::new();
    site.write("a.raw", scan_bytes());
    let raw = ["finalize", "a.raw", "--dtype", "<f4", "--shape", "2,3"];
    let cases: Vec<Vec<&str>> = vec![
        vec![],
        vec!["remake"],
        vec!["sweep", "--config", "in"],
        vec!["check", "--log", "loud"],
        vec!["retry"],
        vec!["explain", "/"],
        vec!["inspect"],
        vec!["finalize"],
        vec!["finalize", "a.raw", "b.raw", "-o", "c.npy"],
        vec!["finalize", "a.raw", "--dtype", "<q9", "--shape", "6"],
        vec!["finalize", "a.raw", "--dtype", "<f4", "--shape", "2,x"],
        [&raw[..], &["--order", "K"]].concat(),
        [&raw[..], &["--offset", "-4"]].concat(),
        [&raw[..], &["--reserved", "many"]].concat(),
        [&raw[..], &["--reserved", "8"]].concat(),
    ];
    let mut told = String::new();
    for case in cases {
        let outcome = site.npyd(&case).expect_code(2);
        let first = outcome.stderr.split("\n\nUsage").next().unwrap().trim_end();
        told.extend(["$ npyd ", &case.join(" "), "\n", first, "\n\n"]);
    }
    site.write("state-file", "");
    site.write("npyd.toml", site.configuration("state-file", ""));
    for command in ["run", "sweep", "retry --all"] {
        let args: Vec<_> = command.split(' ').collect();
        let outcome = site.npyd(&args).expect_code(2);
        told.extend(["$ npyd ", command, " # state_dir is a file\n", &outcome.stderr, "\n"]);
    }
    site.configure("");
    fs::remove_dir(site.path("in")).unwrap();
    let outcome = site.npyd(&["sweep"]).expect_code(2);
    told.extend(["$ npyd sweep # without its drop directory\n", &outcome.stderr]);
    snapshot!(site, told);
}

/// What `check` says of directories that are there, and of some that are not.
#[test]
fn checks() {
    let site = Site::with("watch = \"poll\"\nrescan = \"30s\"\nsource = \"remove\"");
    let mut settings = site.settings();
    settings.add_filter(r"\]/(\w+): \w+, [\d.]+ \w+ free; .*", "]/$1: [FILE SYSTEM]");
    settings.add_filter(r"raw data  [\s\S]*?  reserved", "raw data     [ROUTE]\n  reserved");
    settings.add_filter(r"\n +of other users: .*", ""); // depends on the rights of the test
    settings.add_filter(r"= \d+", "= [LIMIT]");
    settings.add_filter(r"rights  .*", "rights         [RIGHTS]");
    let good = site.npyd(&["check"]).expect_code(0).stdout;
    fs::remove_dir(site.path("out")).unwrap();
    site.write("out", "a file").write("state-file", "");
    let root = site.path("");
    let more = format!("rejects = \"{}none\"", root.display());
    site.write("npyd.toml", site.configuration("state-file", &more));
    let bad = site.npyd(&["check"]).expect_code(1).stdout;
    settings.bind(|| insta::assert_snapshot!(format!("{good}\n{bad}")));
}

#[test]
fn history_and_retry() {
    let site = Site::new();
    // One after the other: the order of two receipts from one sweep is not defined.
    swept(site.scan("good"));
    swept(site.drop_file("bad.raw", [0; 28]).drop_file("bad.raw.toml", SCAN_MANIFEST));
    let mut told = site.npyd(&["history"]).expect_code(0).stdout;
    told.push_str(&site.npyd(&["retry", "bad.raw", "good.raw"]).expect_code(1).stdout);
    snapshot!(site, told);
}
