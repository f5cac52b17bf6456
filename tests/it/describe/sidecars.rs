//! Sidecars of all formats, written by the formats' own programs; the arrays are compared with
//! what their own readers return.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use crate::support::{Daemon, Receipts, Site, npy, python, run_python, wait_until};

/// Where the table is.
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/formats.md");

/// Between these lines of the document.
const BEGIN: &str = "<!-- made by the tests: begin -->\n";
const END: &str = "<!-- made by the tests: end -->\n";

/// A drop that looks into directories, with headers that can be compared byte by byte.
const DEEP: &str = "recursive = true\nreaders = \"any\"\nmetadata = \"json\"";

/// The real writers work while the daemon watches; each array must be what the format's own reader
/// reads, type, shape and bytes, as NumPy saves it.
#[test]
fn every_array_is_what_its_own_reader_reads() {
    let Some(python) = python() else { return };
    let site = Site::with(DEEP);
    let mut daemon = site.daemon();
    let written = run_python(&python, "producers/sidecars.py", [site.path("")]).expect_code(0);
    let mut table = String::from(
        "| format | variant | written by | read by | result |\n|---|---|---|---|---|\n",
    );
    let mut formats = BTreeSet::new();
    for sample in written.json() {
        let text = |key: &str| sample[key].as_str().unwrap().to_owned();
        let output = format!("out/{}", text("output"));
        daemon.wait_for_file(&format!("{output}.json"));
        let expected = site.read(&format!("expected/{}", text("expected")));
        assert!(site.read(&output) == expected, "{sample}");
        let told: Value = serde_json::from_slice(&site.read(&format!("{output}.json"))).unwrap();
        assert_eq!(told["described_by"], format!("{} sidecar", text("format")), "{sample}");
        let row = ["format", "variant", "writer", "reader"].map(text).join(" | ");
        writeln!(table, "| {row} | equal |").unwrap();
        formats.insert(text("format"));
    }
    assert!(daemon.stop().success());
    assert!(site.history().of_event("rejected").is_empty());
    let listed = site.npyd(&["formats"]).expect_code(0);
    let listed: BTreeSet<_> =
        listed.stdout.lines().filter(|line| !line.starts_with(' ')).map(str::to_owned).collect();
    assert_eq!(formats, listed);
    assert_in_docs(&table);
}

/// The document holds the table; `NPYD_TEST_UPDATE=1` puts it there.
fn assert_in_docs(table: &str) {
    let docs = fs::read_to_string(DOCS).unwrap();
    let (before, rest) = docs.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    if env::var_os("NPYD_TEST_UPDATE").is_some() {
        fs::write(DOCS, [before, BEGIN, table, END, after].concat()).unwrap();
    } else {
        assert!(there == table, "docs/formats.md: run this test with NPYD_TEST_UPDATE=1");
    }
}

const SPIKEGLX: &str = "fileName=x\nnSavedChans=2\nimSampRate=30000\n";

/// The meta file is there from the start, and written anew when the recording ends.
#[test]
fn a_recording_is_awaited_to_its_end() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let data: Vec<u8> = (0..80).collect();
    site.drop_file("x.ap.meta", SPIKEGLX);
    for end in [20, 40, 80] {
        site.drop_file("x.ap.bin", &data[..end]);
        daemon.wait_for_log("the recording continues");
        std::thread::sleep(std::time::Duration::from_millis(300)); // longer than the quiet time
        assert!(!site.has("out/x.ap.npy"));
    }
    site.drop_file("x.ap.meta", format!("{SPIKEGLX}fileSHA1=0\nfileSizeBytes=80\n"));
    daemon.wait_for_file("out/x.ap.npy");
    assert_eq!(site.read("out/x.ap.npy"), npy("'<i2'", false, &[20, 2], &data));
    assert!(daemon.stop().success());
}

/// Data that are quiet for long, and whole, are not complete before their samples are counted.
#[test]
fn samples_must_be_counted() {
    let site = Site::with("recursive = true");
    let stream = "in/rec/continuous/A";
    fs::create_dir_all(site.path(stream)).unwrap();
    let structure = r#"{"continuous": [{"folder_name": "A/", "num_channels": 2}]}"#;
    site.write("in/rec/structure.oebin", structure);
    let data: Vec<u8> = (0..40).collect();
    let mut daemon: Daemon<'_> = site.daemon();
    site.write(&format!("{stream}/continuous.dat"), &data[..20]);
    daemon.wait_for_log("counted");
    site.write(&format!("{stream}/continuous.dat"), &data);
    site.write(&format!("{stream}/sample_numbers.npy"), npy("'<i8'", false, &[10], &[0; 80]));
    daemon.wait_for_file("out/rec/continuous/A/continuous.npy");
    let array = site.read("out/rec/continuous/A/continuous.npy");
    assert_eq!(array, npy("'<i2'", false, &[10, 2], &data));
    assert!(daemon.stop().success());
    assert_eq!(site.names("in/rec"), ["continuous", "structure.oebin"]);
}

/// npyd rejects a sidecar that it can't apply, names the line or key, and leaves the data in place.
#[test]
fn refusals_name_their_reason() {
    let faults: &[(&str, &str, &str, &[&str])] = &[
        (
            "a.img",
            "a.hdr",
            "ENVI\nsamples = 2\nlines = 2\nbands = 1\ndata type = 1\ninterleave = bsq\nfile compression = 1\n",
            &["ENVI", "line 7", "compressed"],
        ),
        (
            "b.img",
            "b.hdr",
            "ENVI\nsamples = 2\nlines = 2\nbands = 1\ndata type = 2\n",
            &["interleave"],
        ),
        (
            "c.raw",
            "c.mhd",
            "NDims = 2\nDimSize = 2 2\nCompressedData = True\nElementType = MET_UCHAR\nElementDataFile = c.raw\n",
            &["MetaImage", "line 3"],
        ),
        (
            "d.raw",
            "d.nhdr",
            "NRRD0004\ntype: uchar\ndimension: 2\nsizes: 2 2\nencoding: ascii\ndata file: d.raw\n",
            &["NRRD", "line 5", "raw"],
        ),
        (
            "e.sigmf-data",
            "e.sigmf-meta",
            "{\"global\": {\"core:datatype\": \"rf16_le\"}}",
            &["SigMF", "core:datatype"],
        ),
        ("f.bin", "f.meta", "nSavedChans=0\n", &["SpikeGLX", "line 1"]),
        (
            "g.eeg",
            "g.vhdr",
            "BrainVision Data Exchange Header File Version 1.0\n[Common Infos]\nDataFormat=ASCII\n",
            &["BrainVision", "line 3"],
        ),
        (
            "h.raw",
            "h.rpl",
            "key\tvalue\nwidth\t2\nheight\t2\ndata-length\t3\ndata-type\tsigned\nrecord-by\tdont-care\n",
            &["RPL", "line 4"],
        ),
        ("i.bil", "i.hdr", "NROWS 2\nNCOLS 2\nNBITS 4\n", &["EHdr", "line 3"]),
        (
            "j.dat",
            "j.xml",
            "<parameters><acquisitionSystem><nBits>16</nBits>\n<nChannels>x</nChannels></acquisitionSystem></parameters>",
            &["Neuroscope", "line 2"],
        ),
        (
            "k.raw",
            "k.xml",
            "<root><raw_file filename='k.raw'/>\n<pix_x>x</pix_x><pix_y>2</pix_y></root>",
            &["EMPAD", "line 2"],
        ),
        (
            "l.raw",
            "l.rpl",
            "key\tvalue\nwidth\t2\nheight\t2\ndata-length\t1\ndata-type\tsigned\nrecord-by\tdont-care\n",
            &["it has 6 bytes, but `l.rpl` declares 4 (width, height, ", "or use `npyd take`"],
        ),
    ];
    let site = Site::new();
    for (data, sidecar, text, _) in faults {
        site.drop_file(data, [1, 2, 3, 4, 5, 6]).drop_file(sidecar, text);
    }
    // Absolute and climbing paths: nothing but what lies beside the sidecar is opened.
    site.write("secret", [0; 4]);
    for (name, path) in [("m", site.path("secret")), ("n", "../secret".into())] {
        let text = format!(
            "NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = {}\n",
            Path::new(&path).display()
        );
        site.drop_file(&format!("{name}.mhd"), text).drop_file(&format!("{name}.raw"), [0; 4]);
    }
    let history = site.settle("rejected", faults.len() + 2);
    let reason = |source: &str| history.of_source(source)["reason"].as_str().unwrap().to_owned();
    for (data, sidecar, _, words) in faults {
        let reason = reason(data);
        for word in *words {
            assert!(reason.contains(word), "{sidecar}: {reason}");
        }
        assert_eq!(site.read(&format!("in/{data}")), [1, 2, 3, 4, 5, 6]);
    }
    for data in ["m.raw", "n.raw"] {
        assert!(reason(data).contains("line 4"), "{}", reason(data));
    }
    assert_eq!(site.names("out"), [""; 0]);
}

/// Where each channel lies in one piece, the rows of a file that is cut off are not the channels'.
#[test]
fn channels_in_one_piece_must_be_whole() {
    let header = "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n\
        DataFormat=BINARY\nDataOrientation=VECTORIZED\nNumberOfChannels=2\n[Binary Infos]\n\
        BinaryFormat=INT_16\n[Channel Infos]\nCh1=a,,,\nCh2=b,,,\n";
    let told = header.replace("Channels=2\n", "Channels=2\nDataPoints=5\n");
    let data: Vec<u8> = (0..20).collect();
    for (header, cut) in [(told.as_str(), 12), (header, 14)] {
        let site = Site::with("allow_trailing = true");
        site.drop_file("x.vhdr", header).drop_file("x.eeg", &data[..cut]);
        let mut daemon = site.daemon();
        daemon.wait_for_log("waiting for");
        assert!(!site.has("out/x.npy"));
        site.drop_file("x.eeg", &data);
        daemon.wait_for_file("out/x.npy");
        assert_eq!(site.read("out/x.npy"), npy("'<i2'", false, &[2, 5], &data));
        assert!(daemon.stop().success());
    }
}

/// Nobody but its own text could say what its data are: one that can't be read waits to be mended.
#[test]
fn what_can_not_name_its_data_is_told_of() {
    let site = Site::new();
    let mut daemon = site.daemon();
    let slices = "NDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\nElementDataFile = s%d.raw";
    let frames = "dtype = '|u1'\nshape = [4]\ndata = 'frames.u8'\n";
    site.drop_file("scan.mhd", format!("{slices} 2 1 1\n"));
    site.drop_file("frames.toml", format!("{frames}order = 'f'\n"));
    let attached = slices.replace("s%d.raw", "attached.mhd\n");
    site.drop_file("attached.mhd", attached.replace("NDims", "HeaderSize = -1\nNDims"));
    for data in ["s1.raw", "s2.raw", "frames.u8"] {
        site.drop_file(data, [0; 4]);
    }
    site.drop_file("others.toml", "[dependencies\n");
    daemon.wait_for_log("`scan.mhd` can't be used: line 4");
    daemon.wait_for_log("`frames.toml` can't be used: line 4");
    daemon.wait_for_log("`attached.mhd` can't be used: it names itself");
    site.drop_file("scan.mhd", format!("{slices} 1 2 1\n"));
    site.drop_file("frames.toml", frames);
    daemon.wait_for_file("out/scan.npy");
    daemon.wait_for_file("out/frames.npy");
    assert!(!daemon.log().contains("others.toml"));
    assert!(daemon.stop().success());
}

/// Of several files, the message names the one whose size does not fit, and its own size.
#[test]
fn slices_of_unequal_size() {
    for (sizes, words) in [
        ([100, 113, 57], "`c` has 57 of the 100 bytes that `scan.mhd` declares"),
        ([150, 50, 100], "`b` has 50 of the 100 bytes that `scan.mhd` declares"),
        ([100, 100, 104], "`c` has 104 bytes, but `scan.mhd` declares 100"),
    ] {
        let site = Site::new();
        site.drop_file(
            "scan.mhd",
            "NDims = 3\nDimSize = 10 10 3\nElementType = MET_UCHAR\nElementDataFile = LIST\na\nb\nc\n",
        );
        for (name, size) in ["a", "b", "c"].into_iter().zip(sizes) {
            site.drop_file(name, vec![1; size]);
        }
        let told = site.npyd(&["explain", "in/scan.mhd"]).expect_code(0);
        told.expect_words(&["its data file ", words]);
        let mut daemon = site.daemon();
        daemon.wait_for_log(words);
        assert!(daemon.stop().success());
        assert_eq!(site.names("out"), [""; 0]);
    }
}

/// Slices that arrive one by one are one array once the last is there, and go together.
#[test]
fn slices_are_one_array() {
    let site = Site::with("source = \"remove\"");
    let mut daemon = site.daemon();
    let data: Vec<u8> = (0..24).collect();
    site.drop_file(
        "scan.mhd",
        "NDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = LIST\nb1\nb2\n",
    );
    site.drop_file("b2", &data[12..]);
    daemon.wait_for_log("`b1` is not there yet");
    site.drop_file("b1", &data[..5]);
    site.drop_file("b1", &data[..12]);
    daemon.wait_for_file("out/scan.mhd.done");
    assert_eq!(site.read("out/scan.npy"), npy("'|u1'", false, &[2, 3, 4], &data));
    wait_until("an empty drop directory", || daemon.log(), || site.names("in").is_empty());
    assert!(daemon.stop().success());
}
