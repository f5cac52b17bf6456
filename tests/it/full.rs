//! A disk that is full: a wait with a clear word, over when there is space again.

use std::path::PathBuf;
use std::process::Command;

use crate::support::{Receipts, Site, as_root, npy, scan_npy};

/// A small file system of its own, unmounted when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        let small = Self(at);
        small.run("mount", &["-t", "tmpfs", "-o", "size=1m", "npyd"]);
        small
    }

    fn grow(&self) {
        self.run("mount", &["-o", "remount,size=16m"]);
    }

    fn run(&self, program: &str, args: &[&str]) {
        let status = Command::new(program).args(args).arg(&self.0).status().unwrap();
        assert!(status.success(), "{program} {args:?}: {status}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        self.run("umount", &["--lazy"]);
    }
}

#[test]
fn a_full_disk_is_waited_for() {
    if !as_root() {
        return;
    }
    let site = Site::with("source = \"remove\"");
    let small = Small::mount(site.path("out"));
    let data = vec![7; 4 << 20];
    site.drop_file("large.raw", &data).drop_file("large.toml", "dtype = '|u1'\nshape = [4194304]");
    let mut daemon = site.daemon();
    daemon.wait_for_log("space");
    site.scan("small");
    daemon.wait_for_file("out/small.npy").wait_for_file("out/small.raw.toml.done");
    assert_eq!(site.read("in/large.raw"), data);
    assert_eq!(site.names("out"), ["small.npy", "small.raw.toml.done"]);
    small.grow();
    daemon.wait_for_file("out/large.npy");
    assert_eq!(site.read("out/large.npy"), npy("'|u1'", false, &[4 << 20], &data));
    assert_eq!(site.read("out/small.npy"), scan_npy());
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
}
