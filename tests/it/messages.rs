//! Every message, as a person reads it.

use std::fs;
use std::os::unix::net::UnixListener;

use crate::support::{PendingFile, SCAN_MANIFEST, Site, scan_bytes, scan_npy};

/// Sweeps until nothing new is told, and returns all that was.
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
            ("half-too", "shape = [2, 3]\n"),
            ("negative", "dtype = '<f4'\nshape = [2, -3]\n"),
            ("object", "dtype = [['a', '|O']]\nshape = [2, 3]\n"),
            ("offset", "dtype = '<f4'\nshape = [2, 3]\noffset = -4\n"),
            ("offset-reserved", "dtype = '<f4'\nshape = [2, 3]\noffset = 4\nreserved = 64\n"),
            ("order", "dtype = '<f4'\nshape = [2, 3]\norder = 'K'\n"),
            ("output-climbs", "dtype = '<f4'\nshape = [2, 3]\noutput = 'a/b.npy'\n"),
            ("overflow", "dtype = '<f4'\nshape = [9223372036854775807, 3]\n"),
            ("reserved", "dtype = '<f4'\nshape = [2, 3]\nreserved = 63\n"),
            ("shape-text", "dtype = '<f4'\nshape = '2, 3'\n"),
            ("subarray", "dtype = ['<f4', [2]]\nshape = [2, 3]\n"),
            ("syntax", "dtype = '<f4'\nshape = [2, 3\n"),
            ("torn", "dtype = '<f4'\nshape = [-1, 5]\n"),
            ("too-long", "dtype = '<f4'\nshape = [5]\n"),
            ("too-short", "dtype = '<f4'\nshape = [7]\n"),
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
    site.drop_file("alone.toml", SCAN_MANIFEST);
    site.drop_file("named.toml", format!("{SCAN_MANIFEST}data = 'other.bin'\n"));
    site.drop_file("doubt.raw", scan_bytes());
    site.drop_file("doubt.toml", format!("{SCAN_MANIFEST}ordr = 'F'\n"));
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

#[test]
fn configurations() {
    let cases = [
        "colour = \"blue\"",
        "source = \"move\"",
        "source = \"archive\"",
        "archive = \"x\"",
        "rescan = \"soon\"",
        "rescan = 2",
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
        "[[drop.template]]\nmatch = \"*\"\ndtype = \"<f4\"\nshape = [2]\noutput = \"x.npy\"",
    ];
    let mut told = String::new();
    for case in cases {
        let site = Site::with(case);
        let outcome = site.npyd(&["check"]).expect_code(2);
        told.extend([case, "\n=> ", &snapshot_text(&site, &outcome.stderr), "\n"]);
    }
    let site = Site::new();
    site.write("npyd.toml", "workers = 0\n");
    told.push_str(&snapshot_text(&site, &site.npyd(&["check"]).stderr));
    fs::remove_file(site.path("npyd.toml")).unwrap();
    told.push_str(&snapshot_text(&site, &site.npyd(&["check"]).stderr));
    snapshot!(Site::new(), told);
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
        told.push_str(&site.npyd(&["explain", &format!("in/{name}")]).expect_code(0).stdout);
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

#[test]
fn history_and_retry() {
    let site = Site::new();
    site.scan("good");
    site.drop_file("bad.raw", [0; 28]).drop_file("bad.raw.toml", SCAN_MANIFEST);
    swept(&site);
    let mut told = site.npyd(&["history"]).expect_code(0).stdout;
    told.push_str(&site.npyd(&["retry", "bad.raw", "good.raw"]).expect_code(1).stdout);
    snapshot!(site, told);
}
