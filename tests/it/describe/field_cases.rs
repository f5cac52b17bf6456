//! Inputs from the field: files that people and instruments write beside their data. Each case has
//! the expected array, or the words of the expected rejection.

use crate::support::{Receipts, Site, npy};

/// The data of most cases: 24 `<u2`, 0 to 23.
fn counts() -> Vec<u8> {
    (0..24_u16).flat_map(u16::to_le_bytes).collect()
}

fn utf16(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
}

fn utf16_be(text: &str) -> Vec<u8> {
    [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
}

/// An EHdr sidecar as programs for maps write it, with the type in `more` or in its no-data value.
fn ehdr(rows: &str, bits: &str, more: &str) -> String {
    format!(
        "xdim 30\r\nncols 4\r\nnrows {rows}\r\nnbits {bits}\r\nnbands 1\r\nbyteorder I\r\n\
         layout bil\r\nskipbytes 0\r\n{more}\r\nnodatavalue -9999\r\n"
    )
}

/// A sidecar, its data, and the array that they become.
struct Case {
    sidecar: (&'static str, Vec<u8>),
    data: &'static str,
    array: (&'static str, &'static str, &'static [u64]),
    /// Words of the remark in the receipt.
    remark: &'static str,
}

fn case(
    sidecar: &'static str,
    text: impl Into<Vec<u8>>,
    data: &'static str,
    array: (&'static str, &'static str, &'static [u64]),
    remark: &'static str,
) -> Case {
    Case { sidecar: (sidecar, text.into()), data, array, remark }
}

const ENVI: &str =
    "ENVI\r\nsamples = 4\r\nlines = 3\r\nbands = 2\r\ndata type = 12\r\ninterleave = bsq\r\n";

const MHD: &str =
    "ObjectType = Image\r\nNDims = 3\r\nDimSize = 4 3\r\n  2\r\nElementType = MET_USHORT\r\n";

const NRRD: &str = "NRRD0004\ntype: unsigned short\ndimension: 3\nsizes: 4 3 2\nendian: little\n\
    encoding: raw\n";

const INCA: &str = "(MLX::key value)\r\n(MLX::width : 4)\r\n(MLX::height : 3)\r\n(MLX::depth : 2)\r\n\
    (MLX::offset : 0)\r\n(MLX::data-length : 2)\r\n(MLX::data-type : UNSIGNED)\r\n\
    (MLX::byte-order : LITTLE-ENDIAN)\r\n(MLX::record-by : VECTOR)\r\n";

fn sigmf(field: &str) -> String {
    format!("{{\"global\": {{\"core:version\": \"1.0.0\", {field}}}, \"captures\": []}}")
}

const CI16: &str = "\"core:datatype\": \"ci16_le\"";

fn spikeinterface(gain: &str) -> String {
    format!(
        "{{\"class\": \"spikeinterface.core.binaryrecordingextractor.BinaryRecordingExtractor\",\n\
         \"kwargs\": {{\"file_paths\": [\"traces_cached_seg0.raw\"], \"sampling_frequency\": 30000.0,\n\
         \"num_channels\": 3, \"dtype\": \"<i2\", \"gain_to_uV\": [{gain}]}},\n\
         \"relative_paths\": true}}"
    )
}

fn image_cases() -> Vec<Case> {
    const CUBE: (&str, &str, &[u64]) = ("x.npy", "'<u2'", &[2, 3, 4]);
    vec![
        case("x.hdr", ENVI, "x.raw", CUBE, "`byte order`"),
        case("x.hdr", utf16(ENVI), "x.raw", CUBE, "`byte order`"),
        case("x.hdr", ENVI.replace("\r\n", "\r"), "x.raw", CUBE, "`byte order`"),
        case(
            "x.hdr",
            "ncols 4\nnrows 6\nnbits 16\n",
            "x.bil",
            ("x.npy", "'>u2'", &[6, 4]),
            "`BYTEORDER`",
        ),
        case(
            "x.mhd",
            format!("{MHD}ElementDataFile = C:\\Users\\x\\x.raw\r\n"),
            "x.raw",
            CUBE,
            "path of Windows",
        ),
        case(
            "x.mhd",
            format!("{MHD}ElementDataFile = data/x.raw\r\n"),
            "data/x.raw",
            ("data/x.npy", "'<u2'", &[2, 3, 4]),
            "MSB",
        ),
        case(
            "x.nhdr",
            format!("{NRRD}data file: data/x.raw\n"),
            "data/x.raw",
            ("data/x.npy", "'<u2'", &[2, 3, 4]),
            "",
        ),
        case("x.rpl", INCA, "x.raw", ("x.npy", "'<u2'", &[3, 4, 2]), ""),
        case("x.hdr", utf16_be(ENVI), "x.raw", CUBE, "`byte order`"),
        case("x.hdr", format!("\u{feff}{ENVI}"), "x.raw", CUBE, "`byte order`"),
        case(
            "x.mhd",
            format!("{MHD}ElementDataFile = C:/Users/x/x.raw\r\n"),
            "x.raw",
            CUBE,
            "path of Windows",
        ),
        case(
            "x.nhdr",
            format!("{NRRD}data file: C:\\Users\\x\\x.raw\n"),
            "x.raw",
            CUBE,
            "path of Windows",
        ),
        case("x.hdr", ehdr("6", "16", "datatype S16"), "x.bil", ("x.npy", "'<i2'", &[6, 4]), ""),
        case("x.hdr", ehdr("6", "16", "datatype U16"), "x.bil", ("x.npy", "'<u2'", &[6, 4]), ""),
        case("x.hdr", ehdr("3", "32", "datatype R32"), "x.bil", ("x.npy", "'<f4'", &[3, 4]), ""),
        case("x.hdr", ehdr("6", "16", ""), "x.bil", ("x.npy", "'<i2'", &[6, 4]), ""),
    ]
}

fn signal_cases() -> Vec<Case> {
    const IQ: (&str, &str, &[u64]) = ("x.npy", "'<i2'", &[12, 2]);
    vec![
        case(
            "x.sigmf-meta",
            sigmf(&format!("{CI16}, \"core:sample_rate\": NaN")),
            "x.sigmf-data",
            IQ,
            "sample_rate",
        ),
        case(
            "x.sigmf-meta",
            sigmf(&format!("{CI16}, \"core:sha512\": \"\"")),
            "x.sigmf-data",
            IQ,
            "",
        ),
        case(
            "x.sigmf-meta",
            sigmf(&format!("{CI16}, \"core:num_channels\": 1.0")),
            "x.sigmf-data",
            IQ,
            "",
        ),
        case(
            "x.sigmf-meta",
            sigmf(&format!("{CI16}, \"core:sample_rate\": \"2000000\"")),
            "x.sigmf-data",
            IQ,
            "sample_rate",
        ),
        case(
            "x.sigmf-meta",
            sigmf("\"core:datatype\": \"cs16\""),
            "x.sigmf-data",
            IQ,
            "little-endian",
        ),
        case(
            "x.meta",
            "nSavedChans=3\nfileSHA1=0\nfileSizeBytes=48",
            "x.bin",
            ("x.npy", "'<i2'", &[8, 3]),
            "",
        ),
        case(
            "binary.json",
            spikeinterface("NaN, Infinity, -Infinity"),
            "traces_cached_seg0.raw",
            ("traces_cached_seg0.npy", "'<i2'", &[8, 3]),
            "",
        ),
    ]
}

fn manifest_cases() -> Vec<Case> {
    vec![
        case(
            "x.raw.toml",
            utf16("dtype = \"<u2\"\r\nshape = [-1, 4]\r\n"),
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.toml",
            utf16_be("dtype = \"<u2\"\r\nshape = [-1, 4]\r\n"),
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.json",
            "\u{feff}{\"dtype\": \"<u2\", \"shape\": [-1, 4]}",
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.toml",
            "dtype = \"<u2\"\rshape = [-1, 4]\r",
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.toml",
            "dtype = \"u16\"\nshape = \"(6, 4)\"\n",
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.json",
            "{'dtype': 'np.uint16', 'shape': (24,), 'lamp': None}",
            "x.raw",
            ("x.npy", "'<u2'", &[24]),
            "",
        ),
        case(
            "x.raw.json",
            "{'dtype': '<u2', 'shape': (np.int64(6), np.int64(4)), 'gain': np.float64(nan)}",
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.toml",
            "dtype = \"<u2\"\nshape = \"(np.int64(6), 4)\"\n",
            "x.raw",
            ("x.npy", "'<u2'", &[6, 4]),
            "",
        ),
        case(
            "x.raw.json",
            "{\"dtype\": \"uint16be\", \"shape\": [3.0, 8.0], \"t\": NaN}",
            "x.raw",
            ("x.npy", "'>u2'", &[3, 8]),
            "",
        ),
        case(
            "x.raw.json",
            "{\"dtype\": \"dtype('<u2')\", \"shape\": [24]}",
            "x.raw",
            ("x.npy", "'<u2'", &[24]),
            "",
        ),
        case(
            "x.raw.json",
            "{\"dtype\": \"<class 'numpy.float32'>\", \"shape\": [12]}",
            "x.raw",
            ("x.npy", "'<f4'", &[12]),
            "",
        ),
        case(
            "x.raw.json",
            "{\"dtype\": \"Mono16\", \"shape\": [24]}",
            "x.raw",
            ("x.npy", "'<u2'", &[24]),
            "",
        ),
        case(
            "x.raw.json",
            "{\"dtype\": \"{'names': ['a', 'b'], 'formats': ['u1', '<f8'], \
             'offsets': [0, 8], 'itemsize': 16, 'aligned': True}\", \"shape\": [3]}",
            "x.raw",
            ("x.npy", "[('a', '|u1'), ('', '|V7'), ('b', '<f8')]", &[3]),
            "",
        ),
    ]
}

/// What programs and people write for a dtype: the text of the key, the array's, and its shape.
fn dtype_cases() -> Vec<Case> {
    const DTYPES: [(&str, &str, &str, &[u64]); 14] = [
        ("\"<f4\"", "'<f4'", "[3, 4]", &[3, 4]),
        ("\"float32\"", "'<f4'", "[3, 4]", &[3, 4]),
        ("\"dtype('float32')\"", "'<f4'", "[3, 4]", &[3, 4]),
        ("\"np.float32\"", "'<f4'", "[3.0, 4.0]", &[3, 4]),
        ("\"bool\"", "'|b1'", "[48]", &[48]),
        ("\"|S3\"", "'|S3'", "[16]", &[16]),
        ("\"<U3\"", "'<U3'", "[4]", &[4]),
        ("\"|V6\"", "'|V6'", "[8]", &[8]),
        ("\"datetime64[us]\"", "'<M8[us]'", "[6]", &[6]),
        ("\"float128\"", "'<f16'", "[3]", &[3]),
        ("\"|V48\"", "'|V48'", "[]", &[]),
        ("[[\"t\", \"<i8\"], [\"v\", \">f4\", [2]]]", STRUCT, "[3]", &[3]),
        ("\"[('t', '<i8'), ('v', '>f4', (2,))]\"", STRUCT, "[3]", &[3]),
        ("[[\"a\", \"|u1\"], [\"\", \"|V7\"], [\"b\", \"<f8\"]]", ALIGNED, "[3]", &[3]),
    ];
    const STRUCT: &str = "[('t', '<i8'), ('v', '>f4', (2,))]";
    const ALIGNED: &str = "[('a', '|u1'), ('', '|V7'), ('b', '<f8')]";
    let case_of = |(dtype, descr, shape, dims): (&str, &'static str, &str, &'static [u64])| {
        let text = format!("{{\"dtype\": {dtype}, \"shape\": {shape}}}");
        case("x.raw.json", text, "x.raw", ("x.npy", descr, dims), "")
    };
    DTYPES.into_iter().map(case_of).collect()
}

#[test]
fn inputs_from_the_field_become_their_arrays() {
    let cases = image_cases().into_iter().chain(signal_cases()).chain(manifest_cases());
    let cases = cases.chain(dtype_cases());
    for Case { sidecar: (sidecar, text), data, array: (array, descr, shape), remark } in cases {
        let site = Site::with("recursive = true");
        std::fs::create_dir(site.path("in/data")).unwrap();
        site.drop_file(data, counts()).drop_file(sidecar, &text);
        let outcome = site.sweep();
        let account = format!("{sidecar}: {}\n{outcome}", String::from_utf8_lossy(&text));
        assert_eq!(outcome.code, 0, "{account}");
        assert!(site.has(&format!("out/{array}")), "{account}");
        let expected = npy(descr, false, shape, &counts());
        assert_eq!(site.read(&format!("out/{array}")), expected, "{account}");
        let receipts = outcome.json();
        let reason = receipts.of_event("finalized")[0]["reason"].to_string();
        assert!(remark.is_empty() || reason.contains(remark), "{remark}: {account}");
    }
}

const VHDR: &str = "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n\
    DataFile=sub2.eeg\nDataFormat=BINARY\nDataOrientation=MULTIPLEXED\nNumberOfChannels=2\n\
    [Binary Infos]\nBinaryFormat=INT_16\n[Channel Infos]\nCh1=Fp1,,0.5\nCh2=Fp2,,0.5\n";

/// Names change their letter case on the way from Windows. The one file that fits is taken.
#[test]
fn data_in_other_letter_case() {
    for (sidecar, named, data) in [
        ("sub2.vhdr", "sub2.eeg", "SUB2.EEG"),
        ("SUB2.VHDR", "SUB2.eeg", "SUB2.EEG"),
        ("sub2.vhdr", "SUB2.EEG", "sub2.eeg"),
        ("Sub2.vhdr", "Sub2.eeg", "SUB2.eeg"),
        ("other.vhdr", "sub2.eeg", "sub2.EEG"),
    ] {
        for source in ["keep", "remove"] {
            let site = Site::with(&format!("source = \"{source}\""));
            site.drop_file(data, counts()).drop_file(sidecar, VHDR.replace("sub2.eeg", named));
            let receipts = site.sweep_until("finalized").json();
            assert!(receipts.of_source(data)["event"] == "finalized", "{named}: {receipts:#?}");
            let array = format!("out/{}.npy", data.split_once('.').unwrap().0);
            assert_eq!(site.read(&array), npy("'<i2'", false, &[12, 2], &counts()), "{named}");
            assert_eq!(site.sweep().json(), Vec::<serde_json::Value>::new(), "{named}");
        }
    }
}

/// No file is guessed: where several fit, where the right one is there, or where a file has a
/// sidecar of its own.
#[test]
fn data_in_other_letter_case_that_may_not_be_meant() {
    let site = Site::new();
    site.drop_file("sub2.vhdr", VHDR).drop_file("SUB2.EEG", counts());
    site.drop_file("sub2.EEG", counts());
    let waiting = site.sweep().expect_code(0).only_receipt();
    let reason = waiting["reason"].to_string();
    assert!(reason.contains("`sub2.EEG`, `SUB2.EEG`; rename the right one"), "{waiting:#?}");

    let site = Site::new();
    site.drop_file("sub2.vhdr", VHDR).drop_file("SUB2.EEG", [0; 4]);
    site.drop_file("sub2.eeg", counts());
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(receipts.of_event("finalized").len(), 1, "{receipts:#?}");
    assert_eq!(site.names("out"), ["sub2.npy"]);

    let site = Site::new();
    site.drop_file("sub2.vhdr", VHDR).drop_file("SUB2.EEG", counts());
    site.drop_file("SUB2.vhdr", VHDR.replace("sub2", "SUB2"));
    let receipts = site.sweep_until("finalized").json();
    assert_eq!(receipts.of_source("SUB2.EEG")["event"], "finalized", "{receipts:#?}");
    let reason = receipts.of_source("sub2.vhdr")["reason"].to_string();
    assert!(reason.contains("not there yet: `sub2.eeg`, `sub2.dat`"), "{receipts:#?}");
}

/// A sidecar that can't be used is rejected even if its data are missing.
#[test]
fn a_sidecar_that_cannot_be_used_is_rejected() {
    let cut = spikeinterface("0.1");
    for (name, text, words) in [
        ("x.hdr", "ENVI\nsamples = x\n", "line 2"),
        ("binary.json", &cut[..cut.len() - 9], "binary.json"),
        ("x.mhd", "NDims = 2\nDimSize = 4 x\n", "line 2"),
        ("x.toml", "dtype = '<u2'\nshape = [2\n", "x.toml"),
    ] {
        let site = Site::new();
        site.drop_file(name, text);
        let outcome = site.sweep().expect_code(1);
        let receipts = outcome.json();
        let reason = receipts.of_event("rejected")[0]["reason"].to_string();
        assert!(reason.contains(words), "{name}: {reason}");
        assert_eq!(site.history().of_event("rejected").len(), 1);
        assert!(site.sweep().json().of_event("rejected").is_empty(), "once is enough");
    }
}

/// A recording of 4 rows that is quiet although another number of them is counted.
fn miscounted(settings: &str, counted: u64) -> Site {
    let site = Site::with(&format!("recursive = true\n{settings}"));
    std::fs::create_dir_all(site.path("in/rec/continuous/A")).unwrap();
    site.drop_file(
        "rec/structure.oebin",
        "{\"continuous\": [{\"folder_name\": \"A/\", \"num_channels\": 6}]}",
    );
    site.drop_file("rec/continuous/A/continuous.dat", counts());
    recount(&site, counted);
    site
}

fn recount(site: &Site, counted: u64) {
    let times = vec![0; usize::try_from(8 * counted).unwrap()];
    let count = npy("'<i8'", false, &[counted], &times);
    site.drop_file("rec/continuous/A/timestamps.npy", count);
}

/// npyd takes the rows that both files have. The readers of Open Ephys do so as well, with a
/// warning.
#[test]
fn a_recording_that_counts_other_rows_than_it_has() {
    let array = "out/rec/continuous/A/continuous.npy";
    let data = "in/rec/continuous/A/continuous.dat";
    for (counted, rows, remark) in [
        (3, 3, "3 rows (4 are there, 3 are counted), and 12 bytes behind them"),
        (5, 4, "4 rows (4 are there, 5 are counted)"),
    ] {
        for source in ["keep", "remove"] {
            let settings = format!("source = \"{source}\"\nremove_unproven = true");
            let site = miscounted(&settings, counted);
            let receipt = site.sweep_until("finalized").only_receipt();
            assert_eq!(receipt["evidence"], "common-rows", "{receipt:#?}");
            assert!(receipt["reason"].to_string().contains(remark), "{receipt:#?}");
            let expected = npy("'<i2'", false, &[rows, 6], &counts()[..12 * rows as usize]);
            assert_eq!(site.read(array), expected);
            if source == "keep" {
                assert_eq!(site.read(data), counts());
            } else if rows < 4 {
                let rest = site.read("out/rec/continuous/A/continuous.dat.rest");
                assert_eq!(rest, counts()[36..]);
            }
            let again = site.sweep().expect_code(0).json();
            assert!(again.of_event("finalized").is_empty(), "{again:#?}");
        }
    }
}

/// npyd's own manifest counts more than the sidecar and its count.
#[test]
fn a_manifest_beside_a_miscounted_recording() {
    let site = miscounted("", 3);
    site.drop_file("rec/continuous/A/continuous.toml", "dtype = '<i2'\nshape = [-1, 6]\n");
    let receipt = site.sweep_until("finalized").only_receipt();
    assert!(receipt["reason"].to_string().contains("the manifest `continuous.toml` counts"));
    let expected = npy("'<i2'", false, &[4, 6], &counts());
    assert_eq!(site.read("out/rec/continuous/A/continuous.npy"), expected);
    assert_eq!(site.sweep().expect_code(0).stdout, "");
}

/// An EMPAD acquisition without a scan has as many frames as its file.
#[test]
fn an_acquisition_without_a_scan_size() {
    let site = Site::new();
    let frames = vec![7; 3 * 130 * 128 * 4];
    site.drop_file("mydata.raw", &frames);
    site.drop_file("acq.xml", "<root name=\"a\"><raw_file filename=\"mydata.raw\"/></root>");
    let receipt = site.sweep_until("finalized").only_receipt();
    assert!(receipt["reason"].to_string().contains("number of frames"), "{receipt:#?}");
    let frame = "[('data', '<f4', (128, 128)), ('footer', '<f4', (2, 128))]";
    assert_eq!(site.read("out/mydata.npy"), npy(frame, false, &[3], &frames));
}

/// The data of a sidecar that was cut off wait, then are rejected by its name.
#[test]
fn data_whose_sidecar_is_cut_off() {
    let site = Site::new();
    let text = spikeinterface("0.1");
    site.drop_file("binary.json", &text[..text.len() - 9]);
    site.drop_file("traces_cached_seg0.raw", counts());
    let receipt = site.sweep_until("rejected").only_receipt();
    let reason = receipt["reason"].to_string();
    assert!(reason.contains("`binary.json` can't be used") && reason.contains("incomplete"));
    site.drop_file("binary.json", &text).sweep_until("finalized");
    assert_eq!(site.read("out/traces_cached_seg0.npy"), npy("'<i2'", false, &[8, 3], &counts()));
}

/// Data in a directory below that are missing are named as the sidecar names them.
#[test]
fn missing_data_in_a_directory_are_named_with_it() {
    let site = Site::with("recursive = true");
    std::fs::create_dir(site.path("in/sub")).unwrap();
    site.drop_file("sub/x.mhd", format!("{MHD}ElementDataFile = data/x.raw\n"));
    let told = site.sweep().expect_code(0);
    told.expect_words(&["its data file `data/x.raw` is not there yet"]);
}

/// The count may be corrected later.
#[test]
fn a_recording_that_is_counted_again() {
    let site = miscounted("", 3);
    site.sweep_until("finalized");
    recount(&site, 4);
    let receipt = site.sweep_until("remade").only_receipt();
    assert_eq!(receipt["evidence"], "size", "{receipt:#?}");
    let expected = npy("'<i2'", false, &[4, 6], &counts());
    assert_eq!(site.read("out/rec/continuous/A/continuous.npy"), expected);
}

/// A header is Python's literal, which NumPy reads. What is none is rejected, with a remedy.
#[test]
fn a_header_that_is_not_a_literal_is_rejected() {
    for (shape, words) in [
        ("(np.int64(2), np.int64(3))", "`np.int64(2)` is NumPy 2's repr, not a literal: write `2`"),
        ("(numpy.uint8(6),)", "write `6`, as int() does"),
        ("(2, true)", "write `True`"),
        ("(two, 3)", "`two` is not a literal"),
    ] {
        let site = Site::new();
        let dict = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}");
        let header = [b"\x93NPEND\x01rv\0", format!("{dict:117}\n").as_bytes()].concat();
        site.drop_file("x.npy.pending", [&header[..], &[0; 24]].concat());
        let receipt = site.sweep_until("rejected").only_receipt();
        let reason = receipt["reason"].as_str().unwrap();
        assert!(reason.contains(words), "{reason}");
        assert_eq!(site.names("out"), [""; 0]);
    }
}

/// Such files belong to other programs.
#[test]
fn files_without_the_mark_of_a_format_are_not_rejected() {
    let site = Site::new();
    for (name, text) in [
        ("a.hdr", "#include <stdio.h>\n"),
        ("b.json", "{\"name\": "),
        ("binary.json", "{\"name\": "),
        ("c.xml", "<svg>"),
        ("d.meta", "title=x\n"),
        ("e.json", "{}"),
    ] {
        site.drop_file(name, text);
    }
    let receipts = site.sweep().expect_code(0).json();
    assert!(receipts.of_event("rejected").is_empty(), "{receipts:?}");
}

/// A file that lacks the mark of a format is not its sidecar, but `explain` says what it lacks.
#[test]
fn near_misses_are_explained() {
    for (name, text, data, words) in [
        ("x.hdr", ENVI.replace("ENVI", "Envi"), "x.img", "an ENVI sidecar, but its first line"),
        ("x.hdr", ENVI.replace("ENVI", "\u{feff}EVNI"), "x.img", "its first line is not `ENVI`"),
        ("x.mhd", MHD.replace("Dim", "dim"), "x.raw", "neither `NDims` nor `DimSize`"),
        ("x.nhdr", NRRD.replace("NRRD0004", "NRRD"), "x.raw", "begin with `NRRD0004`"),
        ("x.toml", "type = 'u2'\nname = 'x'\n".to_owned(), "x.raw", "neither `dtype` nor `shape`"),
    ] {
        let site = Site::new();
        site.drop_file(name, &text).drop_file(data, counts());
        let told = site.npyd(&["explain", &format!("in/{data}")]);
        told.expect_words(&[&format!("`{name}` "), words, "ignored"]);
        if name != "x.toml" {
            let told = site.npyd(&["explain", &format!("in/{name}")]);
            told.expect_words(&["; it looks like a", words]);
        }
        let receipts = site.sweep().expect_code(0).json();
        assert!(receipts.is_empty(), "{name}: {receipts:?}");
        let told = site.npyd(&["finalize", &format!("in/{data}")]).expect_code(1);
        told.expect_words(&[words, "describe it with --dtype and --shape"]);
    }
}

/// A manifest that was not synced before a power cut is empty.
#[test]
fn data_with_an_empty_manifest_are_rejected_until_it_is_written() {
    let site = Site::new();
    site.drop_file("a.raw", counts()).drop_file("a.toml", "");
    site.drop_file("b.raw", counts()).drop_file("b.toml", "").drop_file("b.rpl", INCA);
    site.drop_file("c.json", "");
    let receipts = site.sweep().expect_code(1).json();
    let rejected = receipts.of_event("rejected");
    assert_eq!(rejected.len(), 1, "{receipts:?}");
    assert!(rejected[0]["reason"].to_string().contains("`a.toml` is empty"), "{rejected:?}");
    assert!(site.has("out/b.npy"), "another description counts");
    // The manifest belongs to the rejected drop, and is not listed beside it.
    site.npyd(&["explain", "in/a.toml"]).expect_words(&["rejected", "`a.toml` is empty"]);
    let listed = site.npyd(&["explain", "in"]).expect_code(0).stdout;
    assert_eq!(listed.lines().filter(|line| line.contains("a.toml")).count(), 1, "{listed}");
    assert!(listed.contains("c.json: it has no manifest"), "{listed}");
    site.drop_file("a.toml", "dtype = '<u2'\nshape = [24]\n");
    site.sweep().expect_code(0);
    assert_eq!(site.read("out/a.npy"), npy("'<u2'", false, &[24], &counts()));
}
