//! `npyd explain`: tells what became of a drop, of its array and of its source.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::support::{
    Outcome, PendingFile, Receipts, SCAN_MANIFEST, Site, as_root, reason, scan_bytes, scan_npy,
    sweep_halted, wait_until,
};

/// Explains a file of the site, as JSON, and asserts the exit code.
#[track_caller]
fn explained_with(site: &Site, file: &str, code: i32) -> Value {
    let path = site.path(file);
    let told = site.npyd(&["explain", "--json", path.to_str().unwrap()]).expect_code(code).json();
    assert_eq!(told.len(), 1, "{told:#?}");
    site.npyd(&["explain", file]).expect_code(code);
    told[0].clone()
}

/// Explains a file about which something is known.
#[track_caller]
fn explained(site: &Site, file: &str) -> Value {
    explained_with(site, file, 0)
}

/// A site with these settings, and with directories for the archive and for rejected drops.
fn site_with_dirs(settings: &str) -> Site {
    let site = Site::new();
    for name in ["old", "bad"] {
        fs::create_dir(site.path(name)).unwrap();
    }
    let dir = |name: &str| site.path(name).display().to_string();
    let archive = format!("archive = '{}'", dir("old"));
    let archive = if settings.contains("'archive'") { archive.as_str() } else { "" };
    site.configure(&format!("{settings}\nrejects = '{}'\n{archive}", dir("bad")));
    site
}

/// Asserts the verdict, and words in the explanation.
#[track_caller]
fn assert_told(told: &Value, verdict: &str, words: &[&str]) {
    assert_eq!(told["verdict"], verdict, "{told:#}");
    let text = told.to_string();
    for word in words {
        assert!(text.contains(word), "no `{word}` in {told:#}");
    }
}

/// Runs `npyd explain` until the file has this verdict and it says these words, because both depend
/// on how long the drop has been unchanged, and on processes that others start: until they execute
/// their program, they have the files open that a test was just writing.
#[track_caller]
fn becomes(site: &Site, file: &str, verdict: &str, words: &[&str]) -> Value {
    let path = site.path(file);
    let explain = || site.npyd(&["explain", "--json", path.to_str().unwrap()]).json().remove(0);
    let mut told = explain();
    let what = format!("{verdict} with {words:?}: {told:#}");
    wait_until(&what, String::new, || {
        told = explain();
        let text = told.to_string();
        told["verdict"] == verdict && words.iter().all(|word| text.contains(word))
    });
    told
}

#[test]
fn a_finished_drop() {
    let site = Site::with_array("");
    for file in ["in/scan.raw", "in/scan.raw.toml"] {
        let told = explained(&site, file);
        assert_told(&told, "finished", &["has not changed since", "'shape': (2, 3), }"]);
        assert_eq!(told["output"], site.path("out/scan.npy").to_str().unwrap());
        assert_eq!((&told["route"], &told["evidence"]), (&"copy".into(), &"size".into()));
    }
    fs::set_permissions(site.path("in/scan.raw"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_told(&explained(&site, "in/scan.raw"), "finished", &["only its attributes changed"]);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    let told = explained(&site, "in/scan.raw");
    assert_told(&told, "finished", &["not there any more", "npyd redo scan.raw"]);
}

/// A drop that changed is not finished any more.
#[test]
fn a_drop_that_changed_since() {
    for (setting, next) in [
        ("", "make the array again"),
        ("on_change = \"keep\"", "stay as it is"),
        ("on_change = \"number\"", "numbered array"),
    ] {
        let site = Site::with_array(setting);
        site.drop_file("scan.raw", [1; 24]);
        becomes(&site, "in/scan.raw", "ready", &["it changed after", next]);
    }
    let site = Site::with_array("");
    site.drop_file("scan.raw.toml", "dtype = '<i4'\nshape = [2, 3]\n");
    becomes(&site, "in/scan.raw", "ready", &["it changed after", "<i4"]);
    site.drop_file("scan.raw", &scan_bytes()[..20]);
    assert_told(&explained(&site, "in/scan.raw"), "waiting", &["it changed after"]);
    // After the source is gone, a file of its name is another drop.
    let site = Site::with_array("source = \"remove\"");
    site.scan("scan");
    becomes(&site, "in/scan.raw", "ready", &["an earlier file of its name"]);
}

#[test]
fn a_rejected_drop() {
    let site = Site::new();
    site.scan("scan").write("out/scan.npy", "something else");
    becomes(&site, "in/scan.raw", "rejected", &["already exists"]);
    site.sweep().expect_code(1);
    let told = explained(&site, "in/scan.raw");
    assert_told(&told, "rejected", &["already exists"]);
    assert!(told["why"].as_str().unwrap().contains("already exists"), "{told:#}");
    // A rejection holds only under the settings it was made with.
    site.configure("on_conflict = \"number\"");
    becomes(&site, "in/scan.raw", "ready", &[]);
    // It is in the quarantine now.
    fs::create_dir(site.path("bad")).unwrap();
    site.configure(&format!("rejects = \"{}\"", site.path("bad").display()));
    site.sweep().expect_code(1);
    let bad = site.path("bad");
    assert_told(&explained(&site, "in/scan.raw"), "rejected", &[bad.to_str().unwrap()]);
}

#[test]
fn a_failing_drop() {
    let site = Site::new();
    fs::remove_dir(site.path("out")).unwrap();
    site.scan("scan").sweep().expect_code(1);
    let told = explained(&site, "in/scan.raw");
    assert_told(&told, "failing", &["failed to open the directory"]);
    // It waits as any other if it is not complete any more.
    site.drop_file("scan.raw", &scan_bytes()[..20]);
    assert_told(&explained(&site, "in/scan.raw"), "waiting", &["20 of 24 bytes"]);
    site.drop_file("scan.raw", scan_bytes());
    let later = SystemTime::now() + Duration::from_mins(1);
    let file = File::options().write(true).open(site.path("in/scan.raw")).unwrap();
    file.set_modified(later).unwrap();
    drop(file);
    becomes(&site, "in/scan.raw", "ready", &["failed at"]);
}

#[test]
fn a_drop_at_work() {
    // The daemon's lock on the file shows that it works on it.
    let told = (0..20).find_map(|at| {
        let site = Site::new();
        site.scan("scan");
        let mut told = Value::Null;
        let halted = sweep_halted(&site, &["out"], at, |_| told = explained(&site, "in/scan.raw"));
        assert!(halted, "npyd was never seen at work");
        assert_told(&explained(&site, "in/scan.raw"), "finished", &[]);
        (told["verdict"] == "working").then_some(told)
    });
    assert_told(&told.unwrap(), "working", &["npyd (pid "]);
}

#[test]
fn a_file_that_another_process_has_locked() {
    let site = Site::new();
    site.scan("scan");
    let file = File::open(site.path("in/scan.raw")).unwrap();
    flock(&file, FlockOperation::LockExclusive).unwrap();
    let pid = format!("(pid {}) has it locked", std::process::id());
    becomes(&site, "in/scan.raw", "waiting", &["locked", &pid]);
    drop(file);
    becomes(&site, "in/scan.raw", "ready", &[]);
}

/// Of what is gone, and of its array.
#[test]
fn a_source_that_is_gone() {
    for (fate, words) in [("remove", "npyd removed it"), ("archive", "npyd archived it as `")] {
        let site = site_with_dirs(&format!("source = '{fate}'"));
        site.scan("scan").sweep().expect_code(0);
        let told = explained(&site, "in/scan.raw");
        assert_told(&told, "finished", &["the source is gone", words]);
        assert_eq!(told["output"], site.path("out/scan.npy").to_str().unwrap());
        let told = explained(&site, "out/scan.npy");
        assert_told(&told, "finished", &["in/scan.raw", words, "<f4"]);
        assert_eq!(told["taken_for"], "array");
        assert!(told["outside"].is_null(), "{told:#}");
    }
    let site = Site::with_array("");
    fs::remove_file(site.path("in/scan.raw")).unwrap();
    assert_told(&explained(&site, "in/scan.raw"), "finished", &["something else removed it"]);
}

/// An array that is lost together with its source can't be made again: what is said is where its
/// bytes may be.
#[test]
fn an_array_that_is_gone_like_its_source() {
    let no_copy = "npyd knows no other copy of its data: drop them again";
    for (fate, words) in [("remove", no_copy), ("archive", "old/scan.raw`: move that file back")] {
        let site = site_with_dirs(&format!("source = '{fate}'"));
        site.scan("scan").sweep().expect_code(0);
        fs::remove_file(site.path("out/scan.npy")).unwrap();
        for file in ["in/scan.raw", "in/scan.raw.toml", "out/scan.npy"] {
            let told = explained_with(&site, file, 1);
            assert_told(&told, "gone", &["scan.npy` is not there any more, either", words]);
            assert!(!told.to_string().contains("npyd redo"), "{told:#}");
            assert!(!told.to_string().contains("only `npyd finalize`"), "{told:#}");
        }
        if fate == "archive" {
            // As it says.
            for name in ["scan.raw.toml", "scan.raw"] {
                let (from, to) = (format!("old/{name}"), format!("in/{name}"));
                fs::rename(site.path(from), site.path(to)).unwrap();
            }
            site.settle("finalized", 2);
            assert_eq!(site.read("out/scan.npy"), scan_npy());
        } else {
            site.npyd(&["redo", "scan.raw"]).expect_code(1).expect_words(&["drop the data again"]);
        }
    }
    // Its source is there: the array can be made again.
    let site = Site::with_array("");
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    let told = explained_with(&site, "out/scan.npy", 1);
    assert_told(&told, "gone", &["in/scan.raw", "npyd redo scan.raw"]);
    assert!(!told.to_string().contains("only `npyd finalize`"), "{told:#}");
    site.npyd(&["redo", "scan.raw"]).expect_code(0);
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    // Only a backup is left.
    site.drop_file("scan.raw", [1; 24]);
    site.settle("remade", 1);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    fs::remove_file(site.path("in/scan.raw")).unwrap();
    let told = explained_with(&site, "in/scan.raw", 1);
    let made = &site.history().of_event("finalized")[1]["at"].as_str().unwrap()[..10].to_owned();
    let backup = format!("out/scan.npy.~1~` (of {made} ");
    assert_told(&told, "gone", &["something else removed it", &backup]);
    // Nothing tells what data it has.
    for name in ["user.npyd.source", "user.npyd.origin"] {
        rustix::fs::removexattr(site.path("out/scan.npy.~1~"), name).unwrap();
    }
    let text = explained_with(&site, "in/scan.raw", 1).to_string();
    assert!(text.contains("out/scan.npy.~1~`\""), "{text}");
    assert!(!told.to_string().contains(no_copy), "{told:#}");
    // The array has another name now.
    let site = Site::with_array("on_change = 'number'");
    site.drop_file("scan.raw", [1; 24]);
    site.settle("finalized", 2);
    fs::remove_file(site.path("out/scan.npy")).unwrap();
    let told = explained_with(&site, "out/scan.npy", 1);
    assert_told(&told, "gone", &["whose array is `", "out/scan-1.npy"]);
}

/// A rejected drop that was removed, from where it was or from the quarantine.
#[test]
fn a_rejected_file_that_was_removed() {
    for (has_rejects, words) in [(false, "stayed where it was, and something"), (true, "nor in")] {
        let site = if has_rejects { site_with_dirs("") } else { Site::new() };
        site.drop_file("bad.raw.toml", "dtype = 'nonsense'\nshape = [1]\n");
        site.drop_file("long.raw", [1; 25]).drop_file("long.raw.toml", SCAN_MANIFEST);
        site.settle("rejected", 2);
        for (name, remedy) in [
            ("bad.raw.toml", "write `bad.raw.toml` again without that mistake"),
            ("long.raw", "drop it again"),
        ] {
            for dir in ["in", "bad"] {
                let _ = fs::remove_file(site.path(format!("{dir}/{name}")));
                let _ = fs::remove_file(site.path(format!("{dir}/{name}.toml")));
            }
            let told = explained_with(&site, &format!("in/{name}"), 1);
            assert_told(&told, "gone", &["npyd rejected it: ", words, remedy]);
        }
    }
}

/// An array whose source changed since has the only copy of the data that it was made of.
#[test]
fn an_array_whose_source_changed() {
    let site = Site::with_array("on_change = 'number'");
    let why = |file: &str| explained(&site, file)["why"].as_str().unwrap().to_owned();
    assert!(why("out/scan.npy").ends_with("the source is still there"));
    site.drop_file("scan.raw", [1; 24]);
    site.settle("finalized", 2);
    let told = why("out/scan.npy");
    assert!(told.contains("still there, but changed since: this array has the data"), "{told}");
    assert!(why("out/scan-1.npy").ends_with("the source is still there"));
}

/// Files that npyd itself put where they are.
#[test]
fn files_of_npyd() {
    let site = site_with_dirs("source = 'archive'\nmetadata = 'json'");
    for _ in 0..2 {
        site.scan("scan").sweep().expect_code(0);
        fs::remove_file(site.path("out/scan.npy")).unwrap();
        site.write("out/theirs.json", "{}");
    }
    for (file, kind, words) in [
        ("old/scan.raw", "archived source", "archived it: it was `"),
        ("old/scan.raw.1", "archived source", "archived it: it was `"),
        ("old/scan.raw.toml.1", "archived file", "in/scan.raw"),
        ("out/scan.npy.json", "metadata", "out/scan.npy"),
    ] {
        let told = explained(&site, file);
        assert_told(&told, "finished", &[words]);
        assert_eq!(told["taken_for"], kind, "{file}");
        assert!(told["source"].as_str().unwrap().ends_with("in/scan.raw"), "{told:#}");
    }
    site.write("old/theirs.raw", [1; 3]);
    for file in ["old/theirs.raw", "out/theirs.json"] {
        let told = explained(&site, file);
        assert_told(&told, "ignored", &["npyd itself puts files into this directory"]);
    }

    let site = site_with_dirs("source = 'remove'\nsalvage = 'whole-records'");
    let short = PendingFile::writing(&[-1, 3]).with(&[7; 20]);
    site.scan("scan").drop_file("torn.npy.pending", short);
    site.settle("finalized", 2);
    for (file, kind, verdict, words) in [
        ("out/scan.raw.toml.done", "description", "finished", "it described `"),
        ("in/scan.raw.toml", "", "finished", "it described `"),
        ("bad/torn.npy.pending.rest", "rest", "ignored", "in/torn.npy.pending"),
    ] {
        let told = explained(&site, file);
        assert_told(&told, verdict, &[words]);
        assert_eq!(told["taken_for"].as_str().unwrap_or_default(), kind, "{file}");
    }
}

/// Who looks at a file that nothing describes learns what to do.
#[test]
fn a_file_that_nothing_describes() {
    let site = Site::new();
    site.drop_file("x.raw", [1; 24]);
    assert_told(
        &explained(&site, "in/x.raw"),
        "ignored",
        &["if it is data, put a manifest `x.raw.toml`"],
    );
    for (name, detached) in [("x.nrrd", ".nhdr"), ("x.mha", ".mhd")] {
        site.drop_file(name, [1; 24]);
        let words = [&format!("only with a header of its own ({detached})")[..], "`offset`"];
        assert_told(&explained(&site, &format!("in/{name}")), "ignored", &words);
    }
    site.drop_file("x.npy", scan_npy());
    let told = explained(&site, "in/x.npy");
    assert!(!told.to_string().contains("put a manifest"), "{told:#}");
}

#[test]
fn a_pending_file_that_became_the_array() {
    let site = Site::new();
    let config = site.configuration("state", "");
    let output = format!("output = \"{}\"\n", site.path("out").display());
    site.write("npyd.toml", config.replace(&output, ""));
    site.drop_file("x.npy", PendingFile::ready(&[2, 3]).with(&[7; 24])).sweep().expect_code(0);
    let told = explained(&site, "in/x.npy");
    assert_told(&told, "finished", &["finalized in place"]);
    assert_eq!(told["taken_for"], "array");
    site.drop_file("y.npy.pending", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    site.sweep().expect_code(0);
    let told = explained(&site, "in/y.npy.pending");
    assert_told(&told, "finished", &["the source itself became the array", "in/y.npy"]);
}

#[test]
fn arrays_and_backups() {
    let site = Site::with_array("");
    assert_told(&explained(&site, "out/scan.npy"), "finished", &["the source is still there"]);
    site.drop_file("scan.raw", [1; 24]);
    site.settle("remade", 1);
    let told = explained(&site, "out/scan.npy.~1~");
    assert_told(&told, "finished", &["in/scan.raw", "backup 1"]);
    assert_eq!(told["taken_for"], "backup of an array");
    // That of the array of an earlier file of the name, and of a file that was no array.
    site.configure("source = 'remove'\nremove_unproven = true\non_conflict = 'replace'");
    site.write("out/text.npy", "a text").scan("text").scan("again").settle("finalized", 3);
    site.drop_file("again.raw", [1; 24]).drop_file("again.raw.toml", SCAN_MANIFEST);
    site.settle("finalized", 4);
    for (file, kind, words) in [
        ("out/text.npy.~1~", "backup of a file", "backup 1 of `text.npy`, by its name"),
        ("out/again.npy.~1~", "backup of an array", "backup 1 of `again.npy`"),
    ] {
        let told = explained(&site, file);
        assert_told(&told, "finished", &[words]);
        assert_eq!(told["taken_for"], kind);
        assert!(!told["why"].to_string().contains("changed"), "{told:#}");
    }
    site.write("out/theirs.npy", site.read("out/scan.npy"));
    assert_told(&explained(&site, "out/theirs.npy"), "ignored", &["a .npy file already"]);
    site.lose_ledger();
    let told = explained(&site, "out/scan.npy");
    if told["verdict"] == "finished" {
        // Where the file system has attributes.
        assert_told(&told, "finished", &["scan.raw", "as its mark says"]);
    }
}

#[test]
fn one_file_of_several() {
    let site = Site::new();
    site.drop_file("a.raw", [1; 6]).drop_file("b.raw", [2; 6]).drop_file(
        "scan.nhdr",
        "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 6 2\nencoding: raw\ndata file: LIST\na.raw\n\
         b.raw\n",
    );
    let told = becomes(&site, "in/b.raw", "ready", &["scan.nhdr", "scan.npy", "[2,6]"]);
    assert_eq!(told["part"], "2 of 2");
    site.sweep().expect_code(0);
    for (file, part) in [("in/a.raw", "1 of 2"), ("in/b.raw", "2 of 2")] {
        let told = explained(&site, file);
        assert_told(&told, "finished", &["scan.npy"]);
        assert_eq!(told["part"], part);
    }
    assert!(explained(&site, "in/scan.nhdr")["part"].is_null());
}

#[test]
fn nothing_there() {
    let site = Site::with_array("");
    for file in ["in/nothing", "out/nothing.npy", "elsewhere", "in/no/where"] {
        assert_told(&explained_with(&site, file, 1), "gone", &["there is no such file"]);
    }
}

/// The process that the drop waits for is named.
#[test]
fn who_writes() {
    let site = Site::new();
    site.scan("scan");
    let writer = File::options().append(true).open(site.path("in/scan.raw")).unwrap();
    let told = explained(&site, "in/scan.raw");
    assert_told(&told, "waiting", &["still being written"]);
    let writers = told["writers"].as_array().unwrap();
    assert!(writers.iter().any(|it| it["pid"] == std::process::id()), "{told:#}");
    let line = format!("(pid {}) has `scan.raw` open for writing", std::process::id());
    site.npyd(&["explain", "in/scan.raw"]).expect_words(&[&line]);
    if as_root() {
        fs::set_permissions(site.path(""), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["in/scan.raw", "in/scan.raw.toml"] {
            chown(site.path(name), Some(65534), None).unwrap();
        }
        let other = site.npyd_as((65534, 65534), &["explain", "in/scan.raw"]).expect_code(0);
        other.expect_words(&["waiting", "may not see by which process", "the rights of user `"]);
    }
    drop(writer);
    let told = becomes(&site, "in/scan.raw", "ready", &[]);
    assert!(told.get("writers").is_none(), "{told:#}");
}

/// Without `CAP_LEASE` this process can't see what the daemon may see.
#[test]
fn what_this_process_may_not_see() {
    if !as_root() {
        return;
    }
    let site = Site::with_array("");
    let explained = |file: &str| {
        let mut command = Command::new("setpriv");
        let npyd = site.command();
        command.envs(npyd.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.args(["--bounding-set=-lease", "--inh-caps=-lease"]).arg(npyd.get_program());
        command.args(["explain", "--json", file]).current_dir(site.path(""));
        Outcome::of(&mut command).expect_code(0).json().remove(0)
    };
    let theirs = |stem: &str| {
        for name in [format!("in/{stem}"), format!("in/{stem}.toml")] {
            if site.has(&name) {
                chown(site.path(name), Some(1000), None).unwrap();
            }
        }
    };
    site.scan("theirs").scan("short").scan("digest").scan("long").scan("mine");
    site.drop_file("short.raw", [1; 20]).drop_file("long.raw", [1; 30]);
    let digest = "digest = 'crc32c:00000000'\n";
    site.drop_file("digest.raw.toml", format!("{SCAN_MANIFEST}{digest}"));
    site.drop_file("ready.npy.pending", PendingFile::ready(&[2, 3]).with(&[7; 24]));
    let writer = File::options().append(true).open(site.path("in/theirs.raw")).unwrap();
    for stem in ["theirs.raw", "short.raw", "digest.raw", "long.raw", "ready.npy.pending"] {
        theirs(stem);
    }
    let unseen = "this process may not take leases on other users' files";
    let becomes = |file: &str, verdict: &str| {
        let mut told = explained(file);
        let what = format!("{verdict}: {told:#}");
        wait_until(&what, String::new, || {
            told = explained(file);
            told["verdict"] == verdict
        });
        told
    };
    for file in ["in/theirs.raw", "in/digest.raw"] {
        assert_told(&becomes(file, "unknown"), "unknown", &[unseen, "the daemon may"]);
    }
    assert_told(&explained("in/short.raw"), "waiting", &[unseen]);
    assert_told(&becomes("in/long.raw", "rejected"), "rejected", &[unseen]);
    for file in ["in/mine.raw", "in/ready.npy.pending"] {
        let told = becomes(file, "ready");
        assert!(!told.to_string().contains(unseen), "{told:#}");
    }
    theirs("scan.raw");
    assert_told(&explained("in/scan.raw"), "finished", &[]);
    drop(writer);
}

/// What has the array's name already decides about a drop that is complete.
#[test]
fn a_name_that_is_taken() {
    for (on_conflict, content, verdict, words) in [
        ("reject", &b"something else"[..], "rejected", "already exists"),
        ("replace", b"something else", "ready", "it replaces `scan.npy`"),
        ("number", b"something else", "ready", "out/scan-1.npy"),
        ("reject", &scan_npy(), "finished", "its array is there already"),
    ] {
        let site = Site::with(&format!("on_conflict = '{on_conflict}'"));
        site.write("out/scan.npy", content).scan("scan");
        let told = site.npyd(&["explain", "in/scan.raw"]).expect_code(0);
        told.expect_words(&[&format!("verdict        {verdict}"), words]);
        assert_eq!(site.read("out/scan.npy"), content);
    }
}

/// The array of a series contains the only copy of files that are gone, so npyd does not replace it
/// by an array of the remaining files.
#[test]
fn files_that_joined_those_that_were_left_behind() {
    let site = Site::with_mixed_series();
    for (source, verdict) in [("remove", "waiting"), ("keep", "rejected")] {
        site.configure(&format!("source = '{source}'")).lose_ledger();
        for name in ["in/run.toml", "in/frame_4.raw"] {
            let told = site.npyd(&["explain", name]).expect_code(0);
            told.expect_words(&[&format!("verdict        {verdict}"), "`run.npy`"]);
        }
        let told = site.sweep_until(verdict).only_receipt();
        assert!(reason(&told).contains("`run.npy`"), "{told}");
    }
}

/// The file that becomes the array can't be compared with an older array that it replaces.
#[test]
fn the_route_of_an_array_that_replaces_another() {
    let settings = "on_conflict = \"replace\"\nsource = \"remove\"\nremove_unproven = true";
    let site = Site::with(settings);
    let drop = |value: u8| {
        let room = [&[0; 128][..], &[value; 24]].concat();
        let manifest = format!("{SCAN_MANIFEST}reserved = 128\n");
        site.drop_file("scan.raw", room).drop_file("scan.raw.toml", manifest);
    };
    drop(1);
    for is_taken in [false, true] {
        let told = becomes(&site, "in/scan.raw", "ready", &[]);
        assert_eq!(told["route"] == "in-place", !is_taken, "{told:#}");
        let because = "the array that it replaces is compared with it first";
        assert_eq!(told["passed_over"].to_string().contains(because), is_taken, "{told:#}");
        let receipt = site.sweep_until("finalized").only_receipt();
        assert_eq!(receipt["route"], told["route"], "{told:#}");
        assert_eq!(receipt["output"], told["output"], "{told:#}");
        drop(2);
    }
}

/// Metadata beside an array of which the ledger lost its receipt are no array.
#[test]
fn metadata_after_a_lost_ledger() {
    let site = Site::new();
    let text = site.configuration("state", "source = 'remove'\nmetadata = 'json'");
    let beside: Vec<_> = text.lines().filter(|line| !line.starts_with("output")).collect();
    site.write("npyd.toml", beside.join("\n"));
    site.scan("scan").sweep().expect_code(0);
    site.lose_ledger().sweep().expect_code(0);
    let told = site.npyd(&["explain", "--json", "in/scan.npy.json"]).expect_code(0).json();
    assert_eq!(told[0]["taken_for"], "metadata", "{told:#?}");
    let told = site.npyd(&["explain", "--json", "in/scan.npy"]).expect_code(0).json();
    assert_eq!(told[0]["taken_for"], "array", "{told:#?}");
}
