//! Sidecars of recordings: hostile sidecars, and the sidecars that the instruments' own writers
//! produce during a recording.

use std::fs;

use crate::support::{Producer, Receipts, Site, npy, python};

/// A site that looks into directories.
fn deep() -> Site {
    Site::with("recursive = true")
}

/// npyd reports a faulty sidecar as a fault of its data, even if the data are in another directory.
#[test]
fn refusals_reach_the_data() {
    let site = deep();
    let faults = [
        (
            "rec/continuous/A/continuous.dat",
            "rec/structure.oebin",
            "{\"continuous\": [\n{\"folder_name\": \"A/\", \"num_channels\": 0}]}",
            "line 2, `continuous[0].num_channels = 0`",
        ),
        (
            "si/traces_cached_seg0.raw",
            "si/binary.json",
            "{\"class\": \"a.BinaryRecordingExtractor\", \"relative_paths\": true,\n\"kwargs\":\n\
             {\"file_paths\": [\"traces_cached_seg0.raw\"]}}",
            "line 3, `kwargs`: it has no `num_chan`",
        ),
        (
            "gap/x.sigmf-data",
            "gap/x.sigmf-meta",
            "{\"global\": {\"core:datatype\": \"ri8\"}, \"captures\": [\n\
             {\"core:sample_start\": 2, \"core:header_bytes\": 2}]}",
            "line 2, `captures[0].core:header_bytes = 2`: npyd can't read data with bytes between samples",
        ),
    ];
    for (data, sidecar, text, _) in faults {
        fs::create_dir_all(site.path(format!("in/{data}")).parent().unwrap()).unwrap();
        site.drop_file(sidecar, text).drop_file(data, [1; 8]);
    }
    let history = site.settle("rejected", faults.len());
    for (data, _, _, words) in faults {
        let reason = history.of_source(data)["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{data}: {reason}");
    }
    assert_eq!(site.names("out"), [""; 0]);
}

/// Small texts that would take all memory, all time or the whole stack if they were read as they
/// are; the data beside them are told why, and the next drop is taken.
#[test]
fn sidecars_that_would_take_too_much() {
    let system = "<acquisitionSystem><nBits>16</nBits><nChannels>1</nChannels></acquisitionSystem>";
    let xml = |inner: &str| format!("<parameters>{system}{inner}</parameters>");
    let segments: Vec<String> = (0..20_000).map(|at| format!("\"a{at}\"")).collect();
    let binary = format!(
        "{{\"class\": \"a.BinaryRecordingExtractor\", \"relative_paths\": true, \"kwargs\": {{\"num_channels\": 1, \
         \"sampling_frequency\": 1, \"dtype\": \"<i2\", \"file_paths\": [{}]}}}}",
        segments.join(", ")
    );
    let values = format!("{{\"global\": {{}}, \"annotations\": [{}0]}}", "0,".repeat(2 << 20));
    let attributes: Vec<String> = (0..100_000).map(|at| format!("a{at}=''")).collect();
    let cases = [
        ("deep.dat", "deep.xml", xml(&("<a>".repeat(90_000) + &"</a>".repeat(90_000))), "nested"),
        ("many.dat", "many.xml", xml(&"<a/>".repeat(200_000)), "elements"),
        ("wide.dat", "wide.xml", xml(&format!("<a {}/>", attributes.join(" "))), "attributes"),
        ("traces_cached_seg0.raw", "binary.json", binary, "20000 segments"),
        ("x.sigmf-data", "x.sigmf-meta", values, "values"),
        ("y.sigmf-data", "y.sigmf-meta", "[".repeat(1 << 20), "nested too deep"),
    ];
    let site = Site::new();
    for (data, sidecar, text, _) in &cases {
        site.drop_file(sidecar, text).drop_file(data, [1; 8]);
    }
    let history = site.settle("rejected", cases.len());
    for (data, _, _, word) in cases {
        let reason = history.of_source(data)["reason"].as_str().unwrap();
        assert!(reason.contains(word), "{data}: {reason}");
    }
    site.scan("scan");
    site.settle("finalized", 1);
}

/// The array of so many samples of 16 bits, each one more than the one before it.
fn counted(shape: &[u64]) -> Vec<u8> {
    let values = 0..shape.iter().product::<u64>();
    let data: Vec<u8> =
        values.flat_map(|value| u16::try_from(value).unwrap().to_le_bytes()).collect();
    npy("'<i2'", false, shape, &data)
}

#[test]
fn spikeglx_records() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let mut daemon = site.daemon();
    let dir = site.path("in");
    let args = [dir.to_str().unwrap(), "run_g0_t0.nidq", "5"];
    let mut recorder = Producer::start(&python, "live_spikeglx.py", args);
    recorder.say("write 300");
    daemon.wait_for_log("the recording continues");
    recorder.say("write 200");
    assert!(!site.has("out/run_g0_t0.nidq.npy"));
    recorder.say("close");
    daemon.wait_for_file("out/run_g0_t0.nidq.npy");
    assert_eq!(site.read("out/run_g0_t0.nidq.npy"), counted(&[500, 5]));
    assert!(daemon.stop().success());
}

/// While it records, more samples are counted than have reached the file.
#[test]
fn open_ephys_records() {
    let Some(python) = python() else { return };
    let site = deep();
    let mut daemon = site.daemon();
    let dir = site.path("in/experiment1/recording1");
    let args = [dir.to_str().unwrap(), "Probe-100.AP", "3"];
    let mut recorder = Producer::start(&python, "live_open_ephys.py", args);
    let output = "out/experiment1/recording1/continuous/Probe-100.AP/continuous.npy";
    recorder.say("write 5000");
    daemon.wait_for_log("it has 4096 records, but 5000 are counted");
    recorder.say("write 100");
    assert!(!site.has(output));
    recorder.say("close");
    daemon.wait_for_file(output);
    assert_eq!(site.read(output), counted(&[5100, 3]));
    assert!(daemon.stop().success());
}

#[test]
fn a_radio_records() {
    let Some(python) = python() else { return };
    for ends in [&["close"][..], &["close", "hash"]] {
        let site = Site::new();
        let mut daemon = site.daemon();
        let stem = site.path("in/x");
        let mut radio = Producer::start(&python, "live_sigmf.py", [&stem]);
        radio.say("write 300").say("write 200");
        for end in ends {
            radio.say(end);
        }
        daemon.wait_for_file("out/x.npy");
        assert_eq!(site.read("out/x.npy"), counted(&[500, 2]));
        assert!(daemon.stop().success());
    }
}

/// The program writes the header last. Until then, nothing describes the data.
#[test]
fn an_export_from_python() {
    let Some(python) = python() else { return };
    let site = Site::new();
    let mut daemon = site.daemon();
    let dir = site.path("in");
    let mut export = Producer::start(&python, "live_pybv.py", [dir.to_str().unwrap(), "rest"]);
    export.say("eeg").say("vmrk");
    assert!(!site.has("out/rest.npy"));
    export.say("vhdr");
    daemon.wait_for_file("out/rest.npy");
    assert_eq!(site.read("out/rest.npy"), counted(&[200, 2]));
    assert_eq!(site.names("in"), ["rest.eeg", "rest.vhdr", "rest.vmrk"]);
    assert!(daemon.stop().success());
}
