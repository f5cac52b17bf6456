//! The `.npy` format compared with NumPy, and properties that hold for any input.

use std::fs;

use npyd::npy::{
    Dtype, HEADER_MAX, Header, Layout, Literal, Order, PendingState, Preamble, parse_header,
    pending_bytes,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{python, run_python};

/// What NumPy takes and npyd does not, each with its reason.
const REFUSED_ON_PURPOSE: &[(&str, &str)] = &[
    (r"'\N{LESS-THAN SIGN}f4'", "characters by name would need their whole table"),
    ("[(b'a', '<i4')]", "a name in bytes is no text that a header could hold again"),
    ("'''<f\n4'''", "a type with a newline inside"),
    ("['ab']", "a text of two letters as a field's name and type"),
    (NESTED_NAMES, "types whose shape is a type: NumPy reads the innermost as none of them"),
    ("M8[0s]", "a unit of no length"),
    ("M8[ 5s]", "blanks and signs before a number, which C's strtol passes over"),
    ("M8[+5s]", "the same"),
    ("S 5", "the same"),
    ("S+5", "the same"),
    ("f4,2,3i4", "a shape without brackets"),
    ("\u{c} {'descr'", "blanks behind a form feed, which Python 2's rules for whole numbers drop"),
];

/// The beginning of a dtype that nests nothing but its name.
const NESTED_NAMES: &str = "[('a', ('a', ('a', ";

/// What npyd takes and NumPy does not.
const ACCEPTED_ON_PURPOSE: &[(&str, &str)] = &[(
    "version 3: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n  ",
    "blanks behind a newline: in version 3 Python takes them for an indentation",
)];

/// A header with this text.
fn head(version: u64, text: &[u8]) -> Vec<u8> {
    let mut head = b"\x93NUMPY".to_vec();
    head.extend([u8::try_from(version).unwrap(), 0]);
    match version {
        1 => head.extend(u16::try_from(text.len()).unwrap().to_le_bytes()),
        _ => head.extend(u32::try_from(text.len()).unwrap().to_le_bytes()),
    }
    head.extend(text);
    head
}

fn read(head: &[u8]) -> Result<Layout, String> {
    let preamble = Preamble::read(&head[..head.len().min(Preamble::LEN)])
        .map_err(|error| error.to_string())?
        .ok_or("no .npy")?;
    parse_header(&preamble, head, u64::MAX).map_err(|error| error.to_string())
}

/// Returns a layout in the form in which the script reports what NumPy read.
fn told(layout: &Layout) -> Value {
    json!({
        "descr": layout.dtype.to_string(),
        "shape": layout.shape.dims(),
        "fortran_order": layout.order == Order::F,
    })
}

fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let digit = DIGITS.iter().position(|it| *it == byte).unwrap();
        bits = (bits << 6 | u32::try_from(digit).unwrap()) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).unwrap());
        }
    }
    bytes
}

#[test]
fn headers_are_read_as_numpy_reads_them() {
    let Some(python) = python() else { return };
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in run_python(&python, "numpy/headers.py", [""; 0]).expect_code(0).json() {
        let accepted = &line["accepted"];
        let (name, ours) = if let Some(text) = line["dtype"].as_str() {
            let dtype = Dtype::from_text(text);
            let ours = dtype.map(|it| json!({"descr": it.to_string(), "itemsize": it.itemsize()}));
            (format!("dtype {text:?}"), ours.map_err(|error| error.to_string()))
        } else {
            let text = base64(line["text"].as_str().unwrap());
            let version = line["version"].as_u64().unwrap();
            let shown: String = String::from_utf8_lossy(&text).chars().take(200).collect();
            let ours = read(&head(version, &text)).map(|layout| told(&layout));
            (format!("version {version}: {shown}"), ours)
        };
        compared += 1;
        let on_purpose = |list: &[(&str, &str)]| list.iter().any(|(text, _)| name.contains(text));
        let right = match (&ours, accepted) {
            (Ok(ours), numpys) if ours == numpys => !on_purpose(REFUSED_ON_PURPOSE),
            (Err(_), Value::Null) => !on_purpose(ACCEPTED_ON_PURPOSE),
            (Err(_), _) => on_purpose(REFUSED_ON_PURPOSE),
            (Ok(_), _) => on_purpose(ACCEPTED_ON_PURPOSE),
        };
        if !right {
            wrong.push(format!("{name}\n  NumPy: {accepted}\n  npyd: {ours:?}"));
        }
    }
    assert!(compared > 1000, "{compared}");
    assert!(wrong.is_empty(), "{} of {compared}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn headers_are_written_as_numpy_writes_them() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    run_python(&python, "numpy/arrays.py", [dir.path()]).expect_code(0);
    let index = fs::read_to_string(dir.path().join("index.jsonl")).unwrap();
    for line in index.lines() {
        let array: Value = serde_json::from_str(line).unwrap();
        let file = fs::read(dir.path().join(array["name"].as_str().unwrap()).with_extension("npy"))
            .unwrap();
        let numpys = &file[..usize::try_from(array["header_len"].as_u64().unwrap()).unwrap()];
        let shape =
            array["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap()).collect();
        let order = array["order"].as_str().unwrap().parse().unwrap();
        let dtype = Dtype::from_text(array["descr"].as_str().unwrap()).unwrap();
        let header = Header::new(dtype, order, shape).unwrap();
        assert!(header.numpy_bytes() == numpys, "{line}");
        if numpys.len() <= 10_010 {
            assert_eq!(read(numpys).unwrap().header(), Some(header), "{line}");
        }
    }
}

/// Dtypes as text, nested up to `depth` times.
fn dtypes(depth: u32) -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "'<f4'",
        "'>i8'",
        "'|u1'",
        "'|b1'",
        "'<c16'",
        "'|S5'",
        "'<U3'",
        "'|V7'",
        "'<M8[25s]'",
        "'<m8'",
    ]);
    plain.prop_map(str::to_owned).prop_recursive(depth, 24, 4, |inner| {
        let shape = prop::collection::vec(0_u64..4, 1..3);
        let field = (".{1,6}", inner, prop::option::of(shape));
        prop::collection::vec(field, 0..4).prop_map(|fields| {
            let field =
                |(at, (name, dtype, shape)): (usize, (String, String, Option<Vec<u64>>))| {
                    let name = Literal::Str(format!("{name}{at}"));
                    match shape.as_deref() {
                        None => format!("({name}, {dtype})"),
                        Some([one]) => format!("({name}, {dtype}, ({one},))"),
                        Some(dims) => format!("({name}, {dtype}, ({}, {}))", dims[0], dims[1]),
                    }
                };
            let fields: Vec<_> = fields.into_iter().enumerate().map(field).collect();
            format!("[{}]", fields.join(", "))
        })
    })
}

fn headers() -> impl Strategy<Value = Header> {
    let shape = prop::collection::vec(0_u64..1000, 0..5);
    (dtypes(3), shape, any::<bool>()).prop_map(|(dtype, shape, fortran)| {
        let order = if fortran { Order::F } else { Order::C };
        Header::new(Dtype::from_text(&dtype).unwrap(), order, shape).unwrap()
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(header in headers()) {
        let bytes = header.numpy_bytes();
        prop_assert_eq!(bytes.len() % 64, 0);
        if bytes.len() as u64 <= 10_010 {
            let read = read(&bytes).unwrap().header().unwrap();
            prop_assert_eq!(read.numpy_bytes(), bytes);
            prop_assert_eq!(read.data_len(), header.data_len());
        }
    }

    #[test]
    fn a_region_is_filled_exactly_or_not_at_all(header in headers(), total in 0_u64..12_000) {
        match header.bytes_padded_to(total) {
            Ok(bytes) => {
                prop_assert_eq!(bytes.len() as u64, total);
                prop_assert_eq!(read(&bytes).unwrap().data_len(), Some(header.data_len()));
            }
            Err(error) => {
                let least = header.numpy_bytes().len() as u64;
                prop_assert!(total < least || total > 10_000, "{error}");
            }
        }
    }

    #[test]
    fn pending_headers_keep_their_open_axis(
        dtype in dtypes(2),
        rows in 1_i64..9,
        fortran in any::<bool>(),
    ) {
        let order = if fortran { Order::F } else { Order::C };
        let dims = if fortran { [rows, -1] } else { [-1, rows] };
        let layout = Layout::new(Dtype::from_text(&dtype).unwrap(), &dims, order).unwrap();
        let bytes = pending_bytes(&layout, PendingState::Writing, Some(8192)).unwrap();
        prop_assert_eq!(read(&bytes).unwrap(), layout);
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        for version in 1..=3 {
            let _ = read(&head(version, &bytes));
        }
    }

    #[test]
    fn no_text_is_too_much(text in ".{0,200}") {
        let _ = Literal::parse(&text);
        let _ = Literal::parse_python2(&text);
        let _ = Dtype::from_text(&text);
    }

    #[test]
    fn no_change_to_a_good_header_is_too_much(
        header in headers(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = header.numpy_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn literals_are_read_as_they_are_printed(
        text in ".{0,40}",
        number in any::<i64>(),
        bytes in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let literal = Literal::Tuple(vec![
            Literal::Str(text),
            Literal::List(vec![Literal::Int(number.into()), Literal::None, Literal::Bool(true)]),
            Literal::Dict(vec![(Literal::Bytes(bytes), Literal::Float(0.5))]),
        ]);
        prop_assert_eq!(Literal::parse(&literal.to_string()).unwrap(), literal);
    }
}

/// A header's length is what an attacker writes there: nothing is believed beyond the file's size.
#[test]
fn lengths_that_lie() {
    for (version, len) in [(1, 0_u32), (1, 65535), (2, u32::MAX), (3, u32::MAX)] {
        let mut bytes = b"\x93NUMPY".to_vec();
        bytes.extend([version, 0]);
        bytes.extend(len.to_le_bytes());
        let preamble = Preamble::read(&bytes).unwrap().unwrap();
        assert!(parse_header(&preamble, &bytes, bytes.len() as u64).is_err(), "{version}, {len}");
    }
    let long = head(2, &vec![b' '; usize::try_from(HEADER_MAX).unwrap()]);
    let preamble = Preamble::read(&long[..12]).unwrap().unwrap();
    assert!(parse_header(&preamble, &long, u64::MAX).unwrap_err().to_string().contains("10000"));
}
