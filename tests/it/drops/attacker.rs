//! A local attacker: a user without rights who may write to the drop directory, against a daemon
//! that runs as root. npyd reads, writes, links and renames nothing outside the configured
//! directories.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use rustix::fs::XattrFlags;

use crate::support::{
    Daemon, Mounted, PendingFile, Producer, Receipts, SCAN_MANIFEST, Site, as_root, python,
    scan_bytes, scan_npy, sweep_halted,
};

/// The attacker: nobody.
const UID: u32 = 65534;

/// Bytes that the attacker must not get.
const SECRET: &[u8] = b"SECRET!!SECRET!!SECRET!!";

/// A site whose drop directory belongs to an attacker, and files outside it that belong to other
/// users.
struct Attack {
    site: Site,
    attacker: Producer,
}

impl Attack {
    /// Begins; `None` where it can't be done here.
    fn begin(settings: &str) -> Option<Self> {
        if !as_root() {
            return None;
        }
        let python = python()?;
        let site = Site::new();
        for name in ["archive", "bad", "secret"] {
            fs::create_dir(site.path(name)).unwrap();
        }
        site.configure(&format!("rejects = \"{}\"\n{settings}", site.path("bad").display()));
        site.write("secret/scan.raw", SECRET).write("secret/scan.raw.toml", SCAN_MANIFEST);
        let manifest = format!("{SCAN_MANIFEST}output = 'SECRET.npy'\n");
        site.write("secret/manifest", manifest);
        site.write("secret/pending", PendingFile::ready(&[2, 3]).with(SECRET));
        let rights = |name, mode| {
            fs::set_permissions(site.path(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        rights("", 0o755);
        rights("secret", 0o700);
        fs::create_dir(site.path("own")).unwrap();
        for name in ["in", "own"] {
            chown(site.path(name), Some(UID), Some(UID)).unwrap();
        }
        let attacker = Producer::start(&python, "attacker.py", [UID.to_string()]);
        Some(Self { site, attacker })
    }

    /// Creates a site that archives sources, and numbers arrays of one name.
    fn archiving() -> Option<Self> {
        let attack = Self::begin("")?;
        let (archive, bad) = (attack.site.path("archive"), attack.site.path("bad"));
        attack.site.configure(&format!(
            "source = \"archive\"\narchive = \"{}\"\nrejects = \"{}\"\non_conflict = \"number\"",
            archive.display(),
            bad.display()
        ));
        Some(attack)
    }

    /// Has the attacker do something; `IN` and `SITE` stand for the directories.
    fn says(&mut self, command: &str) -> &mut Self {
        let (input, site) = (self.site.path("in"), self.site.path(""));
        let command = command.replace("IN", input.to_str().unwrap());
        self.attacker.say(&command.replace("SITE/", site.to_str().unwrap()));
        self
    }

    /// What belongs to root, down to its times.
    fn treasures(&self) -> Vec<(u64, u64, i64, i64)> {
        let names = ["scan.raw", "scan.raw.toml", "manifest", "pending"];
        names.map(|name| self.site.identity(&format!("secret/{name}"))).to_vec()
    }

    /// Fails where something of the secret came to light, or a link came where npyd puts files.
    #[track_caller]
    fn assert_nothing_got_out(&self) {
        for name in ["out", "archive", "bad"] {
            look_through(&self.site.path(name));
        }
    }
}

#[track_caller]
fn look_through(dir: &Path) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        if meta.is_dir() {
            look_through(&path);
            continue;
        }
        assert!(meta.is_file() && meta.nlink() == 1, "{}: {meta:?}", path.display());
        let content = fs::read(&path).unwrap();
        let leaks = content.windows(8).any(|some| some == &SECRET[..8]);
        assert!(!leaks && !path.to_str().unwrap().contains("SECRET"), "{}", path.display());
    }
}

/// Drops a scan as root, and waits for its array.
fn another_drop(site: &Site, daemon: &mut Daemon, name: &str) {
    site.scan(name);
    daemon.wait_for_file(&format!("out/{name}.npy"));
}

/// In a busy loop, while npyd looks and works: the data, a pending file, a manifest.
#[test]
fn a_file_and_a_link_that_change_places() {
    let Some(mut attack) = Attack::archiving() else { return };
    attack.says("make SITE/own/data 24 1").says("pending SITE/own/ready 24 1");
    attack.site.write("own/text", SCAN_MANIFEST);
    let before = attack.treasures();
    for (name, other, source, target) in [
        ("scan.raw", "link", "data", "scan.raw"),
        ("x.npy.pending", "link.pending", "ready", "pending"),
        ("m.raw.toml", "link.toml", "text", "manifest"),
    ] {
        let site = &attack.site;
        site.drop_file("scan.raw.toml", SCAN_MANIFEST).drop_file("m.raw", scan_bytes());
        let mut daemon = site.daemon();
        attack.attacker.say(&format!(
            "swap {} {} {} {} 200",
            site.path(format!("in/{name}")).display(),
            site.path(format!("in/{other}")).display(),
            site.path(format!("own/{source}")).display(),
            site.path(format!("secret/{target}")).display(),
        ));
        another_drop(site, &mut daemon, &format!("after-{other}"));
        assert!(daemon.stop().success());
        attack.assert_nothing_got_out();
        assert_eq!(attack.treasures(), before, "{name}");
    }
    let arrays = attack.site.history().of_event("finalized").len();
    println!("{arrays} arrays were made meanwhile");
    assert!(arrays > 3, "only {arrays} arrays: nothing was tried");
}

/// In the middle of a path: a directory that is a link now and then.
#[test]
fn a_directory_and_a_link_that_change_places() {
    let Some(mut attack) = Attack::begin("recursive = true\non_conflict = \"number\"") else {
        return;
    };
    let before = attack.treasures();
    let site = &attack.site;
    fs::create_dir(site.path("in/sub")).unwrap();
    site.drop_file("sub/scan.raw.toml", SCAN_MANIFEST);
    chown(site.path("in/sub"), Some(UID), Some(UID)).unwrap();
    attack.says("make IN/sub/scan.raw 24 1").says("link SITE/secret IN/link");
    let mut daemon = attack.site.daemon();
    let at = attack.site.path("in");
    let at = at.display();
    attack.attacker.say(&format!("swap {at}/sub {at}/link {at}/sub {at}/../secret 200"));
    another_drop(&attack.site, &mut daemon, "after");
    assert!(daemon.stop().success());
    attack.assert_nothing_got_out();
    assert_eq!(attack.treasures(), before);
    let sources = attack.site.history();
    let sources = sources.of_event("finalized").into_iter().map(|it| it["source"].to_string());
    let tried = sources.filter(|source| source.contains("scan.raw")).count();
    println!("{tried} arrays were made meanwhile");
    assert!(tried > 0, "no array was made of what changed places: nothing was tried");
}

/// Where arrays, archived and refused files go lies inside the drop directory, where he may rename
/// it: what he puts in its place is not written to, be it a link to root's or a directory of his.
#[test]
fn directories_inside() {
    let Some(mut attack) = Attack::begin("") else { return };
    let before = attack.treasures();
    let site = &attack.site;
    let input = site.path("in");
    let input = input.display();
    let config = site.configuration("state", "rescan = \"300ms\"\nsource = \"archive\"");
    let output = format!("output = \"{}\"", site.path("out").display());
    let inside = format!(
        "output = \"{input}/npy\"\narchive = \"{input}/old\"\nrejects = \"{input}/no/bad\""
    );
    site.write("npyd.toml", config.replace(&output, &inside));
    for name in ["npy", "old", "no", "no/bad"] {
        fs::create_dir(site.path("in").join(name)).unwrap();
    }
    let checked = site.npyd(&["check"]).expect_code(0);
    site.scan("first").drop_file("wrong.raw", [0; 30]).drop_file("wrong.toml", SCAN_MANIFEST);
    site.settle("rejected", 1);
    assert_eq!(site.read("in/npy/first.npy"), scan_npy(), "{checked}");
    assert_eq!(site.names("in/old"), ["first.raw", "first.raw.toml"]);
    assert_eq!(site.names("in/no/bad"), ["wrong.raw", "wrong.raw.rejected.txt", "wrong.toml"]);

    let (secrets, secret) = (site.names("secret"), site.path("secret"));
    attack.attacker.say(&format!("link {} {input}/link", secret.display()));
    for name in ["his", "his/bad"] {
        fs::create_dir(attack.site.path("in").join(name)).unwrap();
        chown(attack.site.path("in").join(name), Some(UID), Some(UID)).unwrap();
    }
    for (name, other) in
        [("npy", "link"), ("npy", "his"), ("old", "link"), ("no", "link"), ("no", "his")]
    {
        let (site, attacker) = (&attack.site, &mut attack.attacker);
        let exchange = format!("exchange {input}/{name} {input}/{other}");
        attacker.say(&exchange);
        site.drop_file("wrong.raw", [0; 30]).drop_file("wrong.toml", SCAN_MANIFEST).scan("scan");
        let swept = site.sweep();
        assert_eq!(site.names("secret"), secrets, "{name} is {other}");
        let checked = site.npyd(&["check"]).expect_code(1);
        let path = format!("`{input}/{name}`: inside the drop directory it must be");
        for (who, text) in [("sweep", &swept.stdout), ("check", &checked.stdout)] {
            assert!(text.contains(&path), "{who}, {name} is {other}: {swept}{checked}");
        }
        attacker.say(&exchange);
        assert_eq!(site.names("in/his"), ["bad"], "{name} is {other}");
        assert_eq!(site.names("in/his/bad"), [""; 0], "{name} is {other}");
    }
    assert_eq!(attack.treasures(), before);
}

/// After every call of npyd in turn, while it writes the header into a file and moves that.
#[test]
fn a_link_that_takes_the_place_of_a_file_at_any_call() {
    let mut at = 0;
    loop {
        let settings = "on_conflict = \"replace\"";
        let Some(mut attack) = Attack::begin(settings) else { return };
        attack.says("pending IN/x.npy.pending 24 1").says("link SITE/secret/pending IN/link");
        let before = attack.treasures();
        let path = attack.site.path("in");
        let path = path.display();
        let command = format!("exchange {path}/x.npy.pending {path}/link");
        let files = ["in", "out", "in/x.npy.pending"];
        let attacker = &mut attack.attacker;
        let halted = sweep_halted(&attack.site, &files, at, |_| {
            attacker.say(&command);
        });
        attack.assert_nothing_got_out();
        assert_eq!(attack.treasures(), before, "after call {at}");
        if !halted {
            break;
        }
        at += 1;
    }
    println!("a link after each of {at} calls");
    assert!(at > 20);
}

/// Another's file under a name in the drop directory, which changes places with an own one: its
/// header is never written to, and it does not move.
#[test]
fn a_hard_link_and_a_file_that_change_places() {
    let Some(mut attack) = Attack::begin("on_conflict = \"number\"") else { return };
    let site = &attack.site;
    fs::hard_link(site.path("secret/pending"), site.path("in/hard")).unwrap();
    // Made by root, as the kernel would not let him where `fs.protected_hardlinks` is set.
    let known = |site: &Site| {
        let meta = site.path("secret/pending").metadata().unwrap();
        (meta.ino(), meta.size(), meta.mode(), meta.uid(), meta.gid(), meta.mtime_nsec())
    };
    let before = known(site);
    attack.says("pending SITE/own/ready 24 1");
    let mut daemon = attack.site.daemon();
    let at = attack.site.path("in");
    let at = at.display();
    let swap = format!("swap {at}/x.npy.pending {at}/hard {at}/../own/ready {at}/nothing 200");
    attack.attacker.say(&swap);
    another_drop(&attack.site, &mut daemon, "after");
    assert!(daemon.stop().success());
    attack.assert_nothing_got_out();
    assert_eq!(attack.site.read("secret/pending"), PendingFile::ready(&[2, 3]).with(SECRET));
    // Changing places changes the time of the last change, and nothing else.
    assert_eq!(known(&attack.site), before);
}

/// A lease keeps others from opening a file; npyd waits for none.
#[test]
fn leases_that_are_held() {
    let Some(mut attack) = Attack::begin("") else { return };
    attack.says("pending IN/x.npy.pending 24 1").site.sweep();
    attack.says("make IN/scan.raw 24 1").site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    attack.says("text IN/y.raw.toml text").site.drop_file("y.raw", scan_bytes());
    attack.says("text IN/.npyd-taken-z text").says("text IN/.npyd-z.tmp text");
    for name in ["scan.raw", "y.raw.toml", ".npyd-taken-z", ".npyd-z.tmp"] {
        attack.says(&format!("lease IN/{name}"));
    }
    // What became an array in place is his still.
    attack.says("lease SITE/out/x.npy");
    let site = &attack.site;
    site.drop_file("x.raw", scan_bytes()).drop_file("x.raw.toml", SCAN_MANIFEST);
    let mut daemon = site.daemon();
    for number in 1..=3 {
        another_drop(site, &mut daemon, &format!("look-{number}"));
        daemon.signal(rustix::process::Signal::HUP);
    }
    assert!(!site.has("out/scan.npy") && !site.has("out/y.npy"));
    daemon.wait_for_receipts("rejected", 1);
    assert_eq!(site.read("bad/x.raw"), scan_bytes());
    assert_eq!(attack.site.history().of_source("x.raw")["event"], "rejected");
    attack.attacker.kill();
    daemon.wait_for_file("out/scan.npy");
    assert!(daemon.stop().success());
}

/// The names npyd uses in a drop directory itself, taken by somebody else: scans go on, drops are
/// done, and what can't be removed stays whole.
#[test]
fn own_names_that_are_squatted() {
    let Some(mut attack) = Attack::begin("source = \"remove\"\nrescan = \"500ms\"") else { return };
    for name in [".npyd-taken-", ".npyd-taken-..", ".npyd-taken-scan.raw", ".npyd-1-2-3.tmp"] {
        attack.says(&format!("text IN/{name} precious"));
    }
    for name in [".npyd-insert-", ".npyd-insert-..", ".npyd-insert-scan.raw", ".npyd-insert-gone"] {
        attack.says(&format!("text IN/{name} precious"));
    }
    attack.says("link SITE/secret/scan.raw IN/.npyd-insert-link");
    fs::create_dir(attack.site.path("in/.npyd-insert-dir")).unwrap();
    attack.says("text SITE/own/his precious");
    fs::hard_link(attack.site.path("own/his"), attack.site.path("in/.npyd-insert-hard")).unwrap();
    attack.says("link SITE/secret/scan.raw IN/.npyd-taken-link");
    attack.says("link SITE/secret/scan.raw IN/.npyd-4-5-6.tmp");
    fs::create_dir(attack.site.path("in/.npyd-taken-dir")).unwrap();
    let site = &attack.site;
    rustix::fs::mknodat(
        rustix::fs::CWD,
        site.path("in/.npyd-insert-fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    let before = attack.treasures();
    let insert = |it: &String| it.starts_with(".npyd-insert-");
    let names = || site.names("in").into_iter().filter(insert).collect::<Vec<_>>();
    let squatted = names();
    // There before the daemon, so that only a scan can find it.
    site.scan("scan").scan("other");
    let mut daemon = site.daemon();
    daemon.wait_for_file("out/other.npy").wait_for_file("out/scan.npy");
    daemon.wait_for("the source to go", || !site.has("in/other.raw"));
    assert!(daemon.stop().success());
    assert_eq!(site.read("out/scan.npy"), scan_npy());
    assert!(!site.has("in/scan.raw") || site.read("in/scan.raw") == scan_bytes());
    assert_eq!(site.read("in/.npyd-1-2-3.tmp"), b"precious\n");
    assert_eq!(names(), squatted);
    for name in [".npyd-insert-scan.raw", ".npyd-insert-gone", ".npyd-insert-hard"] {
        assert_eq!(site.read(&format!("in/{name}")), b"precious\n", "{name}");
    }
    attack.assert_nothing_got_out();
    assert_eq!(attack.treasures(), before);
}

/// An array in place is its producer's own: a mark that he forges on it, or bytes that he makes
/// equal, do not stand for another's array.
#[test]
fn arrays_of_another_user() {
    for forges in [false, true] {
        let Some(mut attack) = Attack::begin("source = \"remove\"") else { return };
        attack.says("pending IN/x.npy.pending 24 7").site.sweep().expect_code(0);
        let site = &attack.site;
        assert_eq!(site.path("out/x.npy").metadata().unwrap().uid(), UID);
        site.drop_file("x.raw", vec![7; 24]);
        site.drop_file("x.raw.toml", "dtype = '|u1'\nshape = [24]\n");
        attack.says("hold SITE/out/x.npy");
        if forges {
            let identity = |name: &str| {
                let meta = attack.site.path(name).metadata().unwrap();
                let time = |seconds: i64, part: i64| seconds * 1_000_000_000 + part;
                let modified = time(meta.mtime(), meta.mtime_nsec());
                let changed = time(meta.ctime(), meta.ctime_nsec());
                format!("{}:{}:{modified}:{changed}", meta.ino(), meta.size())
            };
            let mark = format!("{}_{}_x.raw.toml", identity("in/x.raw"), identity("in/x.raw.toml"));
            attack.says(&format!("mark {mark}"));
        }
        let receipts = attack.site.sweep_until("rejected").json();
        assert_eq!(receipts.of_source("x.raw")["event"], "rejected");
        attack.says("spoil 0");
        assert_eq!(attack.site.read("bad/x.raw"), [7; 24], "forges: {forges}");
    }
}

/// A copy carries nothing of the file's but its data; what becomes an array in place runs with
/// nobody's rights.
#[test]
fn attributes_and_rights() {
    let Some(mut attack) = Attack::begin("") else { return };
    attack.says("make IN/scan.raw 24 1").says("pending IN/x.npy.pending 24 1");
    let site = &attack.site;
    site.drop_file("scan.raw.toml", SCAN_MANIFEST);
    // Version 2; everybody may write, by an entry for a user of his own.
    let acl = [(1, 7, !0), (2, 7, 1000), (4, 7, !0), (16, 7, !0), (32, 7, !0)];
    let mut list = 2_u32.to_le_bytes().to_vec();
    for (tag, rights, id) in acl {
        list.extend([u16::to_le_bytes(tag), u16::to_le_bytes(rights)].concat());
        list.extend(u32::to_le_bytes(id));
    }
    let attributes = [
        ("user.evil", &b"value"[..]),
        ("trusted.evil", b"value"),
        ("system.posix_acl_access", &list[..]),
    ];
    for name in ["in/scan.raw", "in/x.npy.pending"] {
        let path = site.path(name);
        for (attribute, value) in attributes {
            rustix::fs::setxattr(&path, attribute, value, XattrFlags::empty()).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
    }
    site.sweep().expect_code(0);
    for (name, uid) in [("out/scan.npy", 0), ("out/x.npy", UID)] {
        let meta = site.path(name).metadata().unwrap();
        assert_eq!((meta.uid(), meta.mode() & 0o7000), (uid, 0), "{name}");
    }
    let mut names = [0; 1024];
    let length = rustix::fs::listxattr(site.path("out/scan.npy"), &mut names[..]).unwrap();
    let mut names: Vec<_> = names[..length].split_inclusive(|byte| *byte == 0).collect();
    names.sort_unstable();
    assert_eq!(names, [&b"user.npyd.origin\0"[..], b"user.npyd.source\0"]);
    let mode = site.path("out/scan.npy").metadata().unwrap().mode();
    assert_eq!(mode & 0o022, 0, "{mode:o}");
}

/// What the administrator mounted inside is another file system's business.
#[test]
fn mounts_inside() {
    let Some(attack) = Attack::begin("recursive = true\nsource = \"remove\"") else { return };
    let site = &attack.site;
    let before = attack.treasures();
    fs::create_dir(site.path("in/sub")).unwrap();
    site.drop_file("scan.raw", "").drop_file("scan.raw.toml", SCAN_MANIFEST);
    let (dir, file) = (site.path("secret"), site.path("secret/scan.raw"));
    let bind =
        |from: &Path, to| Mounted::with(site, to, "mount", &["--bind", from.to_str().unwrap()]);
    let Some(_sub) = bind(&dir, "in/sub") else { return };
    let Some(_data) = bind(&file, "in/scan.raw") else { return };
    let mut daemon = site.daemon();
    another_drop(site, &mut daemon, "good");
    assert!(daemon.stop().success());
    attack.assert_nothing_got_out();
    assert_eq!(attack.treasures(), before);
    assert_eq!(site.names("in/sub"), site.names("secret"));
}

/// Names that would be hard to print, or that are as long as can be.
#[test]
fn names_of_all_kinds() {
    use std::os::unix::ffi::OsStrExt;
    let Some(attack) = Attack::begin("source = \"remove\"") else { return };
    let site = &attack.site;
    for name in [&b"new\nline.raw"[..], b"not-\xff-UTF-8.raw", b"esc\x1b[31m.raw"] {
        let path = site.path("in").join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, scan_bytes()).unwrap();
        fs::write(path.with_extension("raw.toml"), SCAN_MANIFEST).unwrap();
    }
    let [long, longer] = [255, 256].map(|length| format!("{}.npy", "x".repeat(length - 4)));
    let data = format!("{}.raw", "d".repeat(251));
    for (stem, keys) in [
        ("a", "output = \"new\\nline.npy\"".to_owned()),
        ("b", format!("output = \"{longer}\"")),
        ("c", format!("output = \"{long}\"")),
        ("d", format!("data = \"{data}\"\noutput = \"d.npy\"")),
    ] {
        site.drop_file(&format!("{stem}.raw"), scan_bytes());
        site.drop_file(&format!("{stem}.raw.toml"), format!("{SCAN_MANIFEST}{keys}\n"));
    }
    site.drop_file(&data, scan_bytes());
    let mut daemon = site.daemon();
    another_drop(site, &mut daemon, "good");
    daemon.wait_for_file(&format!("out/{long}")).wait_for_file("out/d.npy");
    daemon.wait_for_receipts("rejected", 2);
    // Nobody writes the log but npyd.
    let forged = |line: &str| line.starts_with("line") || line.contains('\x1b');
    assert!(!daemon.log().lines().any(forged), "{}", daemon.log());
    assert!(daemon.stop().success());
    assert_eq!(site.read("out/d.npy"), scan_npy());
    let arrays = site
        .names("out")
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|it| it == "npy"));
    assert_eq!(arrays.collect::<Vec<_>>(), ["d.npy", "good.npy", &long]);
    assert_eq!(fs::read_dir(site.path("in")).unwrap().count(), 6 + 1, "{:?}", site.path("in"));
}

/// A device is neither read nor waited for.
#[test]
fn devices() {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let Some(attack) = Attack::begin("") else { return };
    let site = &attack.site;
    // Zeros without end, and a terminal.
    for (name, major, minor) in [("zero.raw", 1, 5), ("x.npy.pending", 5, 0)] {
        let device = makedev(major, minor);
        mknodat(CWD, site.path("in").join(name), FileType::CharacterDevice, Mode::RWXU, device)
            .unwrap();
    }
    site.drop_file("zero.raw.toml", SCAN_MANIFEST);
    let mut daemon = site.daemon();
    another_drop(site, &mut daemon, "good");
    assert!(daemon.stop().success());
    assert_eq!(site.names("out"), ["good.npy"]);
}
