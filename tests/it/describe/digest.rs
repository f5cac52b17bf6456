//! Digests in manifests.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::chown;

use crate::support::{Receipts, Site, as_root, npy, reason, sweep_without_leases};

/// The digests of `123456789`, each by a program other than this one.
const DIGESTS: &[(&str, &str)] = &[
    ("sha256", "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"),
    (
        "sha512",
        "d9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274a\
         d27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85",
    ),
    ("sha1", "f7c3bc1d808e04732adf679965ccc34ca7ae3441"),
    ("md5", "25f9e794323b453885f5181f1b624d0b"),
    ("blake3", "b7d65b48420d1033cb2595293263b6f72eabee20d55e699d0df1973b3c9deed1"),
    ("xxh3", "72dcb18b67a17dff"),
    ("crc32c", "e3069283"),
];
const DATA: &[u8] = b"123456789";

fn drop_with(site: &Site, name: &str, length: i64, digest: &str) {
    site.drop_file(&format!("{name}.raw"), DATA);
    let manifest = format!("dtype = '|u1'\nshape = [{length}]\ndigest = '{digest}'\n");
    site.drop_file(&format!("{name}.raw.toml"), manifest);
}

/// A right digest proves an open dump complete: there is no need for quiet.
#[test]
fn a_right_digest_is_evidence() {
    let site = Site::new();
    let config = site.configuration("state", "").replace("200ms", "1h");
    site.write("npyd.toml", config);
    for (algorithm, value) in DIGESTS {
        drop_with(&site, algorithm, -1, &format!("{algorithm}:{value}"));
    }
    let receipts = site.sweep().expect_code(0).json();
    for (algorithm, _) in DIGESTS {
        let receipt = receipts.of_source(&format!("{algorithm}.raw"));
        assert_eq!(receipt["evidence"], "digest", "{algorithm}");
        let array = npy("'|u1'", false, &[9], DATA);
        assert_eq!(site.read(&format!("out/{algorithm}.npy")), array, "{algorithm}");
    }
}

/// A wrong one stops the drop: nothing is published and the source stays.
#[test]
fn a_wrong_digest_is_a_rejection() {
    let site = Site::with("source = \"remove\"");
    for (algorithm, value) in DIGESTS {
        let wrong = value.replace(['1', '2', '3'], "0");
        assert_ne!(&wrong, value);
        drop_with(&site, algorithm, 9, &format!("{algorithm}:{wrong}"));
    }
    let receipts = site.sweep().expect_code(1).json();
    for (algorithm, _) in DIGESTS {
        let receipt = receipts.of_source(&format!("{algorithm}.raw"));
        assert_eq!(receipt["event"], "rejected", "{algorithm}");
        assert!(receipt["reason"].as_str().unwrap().contains(algorithm), "{receipt}");
        assert_eq!(site.read(&format!("in/{algorithm}.raw")), DATA);
    }
    assert_eq!(site.names("out"), [""; 0]);
}

/// The digest says when the file is complete: until then it waits, where its producer finds it.
#[test]
fn data_that_still_arrive() {
    let site = Site::new();
    std::fs::create_dir(site.path("rejects")).unwrap();
    let rejects = format!("rejects = '{}'", site.path("rejects").display());
    site.write("npyd.toml", site.configuration("state", &rejects).replace("200ms", "1h"));
    let (_, sha256) = DIGESTS[0];
    let digest = format!("sha256:{sha256}");
    for (name, length, data) in [("b", -1, &DATA[..3]), ("c", 9, b"123456780")] {
        site.drop_file(&format!("{name}.raw"), data);
        let manifest = format!("dtype = '|u1'\nshape = [{length}]\ndigest = '{digest}'\n");
        site.drop_file(&format!("{name}.raw.toml"), manifest);
    }
    for name in ["b", "c"] {
        let file = format!("in/{name}.raw");
        site.npyd(&["explain", &file])
            .expect_words(&["waiting", "its digest does not match yet: the data have"]);
        let outcome = site.npyd(&["finalize", "--json", &file]).expect_code(1);
        assert_eq!(outcome.only_receipt()["event"], "waiting", "{outcome}");
    }
    let mut daemon = site.daemon();
    let mut producer = File::options().append(true).open(site.path("in/b.raw")).unwrap();
    producer.write_all(&DATA[3..]).unwrap();
    drop(producer);
    site.drop_file("c.raw", DATA);
    for name in ["b", "c"] {
        let array = format!("out/{name}.npy");
        daemon.wait_for_file(&array);
        assert_eq!(site.read(&array), npy("'|u1'", false, &[9], DATA));
    }
    assert_eq!(site.history().of_event("rejected").len(), 0);
    assert_eq!(site.names("rejects"), [""; 0]);
}

/// A mismatch that is final: only where nobody can be writing do the files move.
#[test]
fn without_a_proof_rejected_data_stay() {
    if !as_root() {
        return;
    }
    let site = Site::new();
    std::fs::create_dir(site.path("rejects")).unwrap();
    site.configure(&format!("rejects = '{}'", site.path("rejects").display()));
    let (_, sha256) = DIGESTS[0];
    for name in ["mine", "theirs"] {
        drop_with(&site, name, -1, &format!("sha256:{sha256}"));
        site.drop_file(&format!("{name}.raw"), &DATA[..4]);
    }
    chown(site.path("in/theirs.raw"), Some(1000), Some(1000)).unwrap();
    let receipts = sweep_without_leases(&site).expect_code(1).json();
    let why = reason(receipts.of_source("theirs.raw"));
    assert!(why.contains("it was not moved: npyd can't tell whether `theirs.raw`"), "{why}");
    assert_eq!(site.names("in"), ["theirs.raw", "theirs.raw.toml"]);
    assert_eq!(site.names("rejects"), ["mine.raw", "mine.raw.rejected.txt", "mine.raw.toml"]);

    site.drop_file("theirs.raw", DATA);
    sweep_without_leases(&site).expect_code(0);
    assert_eq!(site.read("out/theirs.npy"), npy("'|u1'", false, &[9], DATA));
}

/// Hexadecimal digits in capitals are the same digest; other things are none.
#[test]
fn what_a_digest_looks_like() {
    let site = Site::new();
    let (_, sha256) = DIGESTS[0];
    drop_with(&site, "capitals", 9, &format!("sha256:{}", sha256.to_uppercase()));
    drop_with(&site, "unknown", 9, "whirlpool:00");
    drop_with(&site, "length", 9, "sha256:00");
    drop_with(&site, "bare", 9, sha256);
    drop_with(&site, "digits", 9, "crc32c:xyzxyzxy");
    let receipts = site.settle("rejected", 4);
    assert_eq!(receipts.of_source("capitals.raw")["event"], "finalized");
    for name in ["unknown", "length", "bare", "digits"] {
        let receipt = receipts.of_source(&format!("{name}.raw"));
        assert_eq!(receipt["event"], "rejected", "{name}");
        assert!(receipt["reason"].as_str().unwrap().contains("digest"), "{receipt}");
    }
    assert_eq!(site.names("out"), ["capitals.npy"]);
}
