//! Assertions about every input that npyd accepts, and about the message for every input that it
//! rejects.

use npyd::config::{Readers, RouteWishes};
use npyd::decide::constraints::Constraints;
use npyd::decide::plan::Plan;
use npyd::decide::route::Steps;
use npyd::describe::{Dump, LeadingBytes, Rows, SizeFit};
use npyd::model::{FileName, FsInfo, FsKind};
use npyd::npy::{Header, Kind, Preamble, parse_header};

/// Maximum length of a message, in characters. People do not read longer ones to their end.
const MESSAGE_MAX: usize = 1000;

/// Maximum length of a header's text that np.load accepts, in characters.
const TEXT_MAX: usize = 10_000;

/// The unit that a disk writes atomically, in bytes.
const SECTOR: usize = 512;

/// Returns a file name.
///
/// # Panics
/// The text is not a file name, which is a mistake of the target.
#[must_use]
pub fn name(text: &str) -> FileName {
    FileName::try_from(text.to_owned()).unwrap()
}

/// Asserts that a terminal and a log can show a message, whatever text the message quotes.
///
/// # Panics
/// It is not.
pub fn assert_clear(message: &str) {
    assert!(!message.trim().is_empty(), "an empty message");
    assert!(!message.ends_with('.') || message.ends_with("..."), "a full stop: {message}");
    assert!(!message.chars().any(char::is_control), "control characters: {message:?}");
    let len = message.chars().count();
    assert!(len <= MESSAGE_MAX, "{len} characters: {message:.200}");
}

/// Asserts that a message about a text is fit for a terminal and a log, and that the text has the
/// line that the message names.
///
/// # Panics
/// It is not, or the text does not have that line.
pub fn assert_clear_about(message: &str, text: &[u8]) {
    assert_clear(message);
    if let Some((_, rest)) = message.split_once("line ")
        && let Ok(line) = rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("").parse()
    {
        let lines = lines_of(text);
        assert!((1..=lines).contains(&line), "line {line} of {lines}: {message}");
    }
}

/// Counts the lines of a text in UTF-8, in UTF-16 with a byte order mark, or in Latin-1. A carriage
/// return alone also ends a line.
fn lines_of(text: &[u8]) -> usize {
    let wide = |unit: fn([u8; 2]) -> u16| -> Vec<u16> {
        text[2..].chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect()
    };
    let units = match text {
        [0xff, 0xfe, ..] => wide(u16::from_le_bytes),
        [0xfe, 0xff, ..] => wide(u16::from_be_bytes),
        _ => text.iter().map(|byte| u16::from(*byte)).collect(),
    };
    // A text that is not UTF-16 in spite of its mark is Latin-1.
    let is_text = char::decode_utf16(units.iter().copied()).all(|unit| unit.is_ok());
    let units = if is_text { units } else { text.iter().map(|byte| u16::from(*byte)).collect() };
    let (cr, lf) = (u16::from(b'\r'), u16::from(b'\n'));
    let ends =
        |(at, unit): (usize, &u16)| *unit == lf || *unit == cr && units.get(at + 1) != Some(&lf);
    1 + units.iter().enumerate().filter(|it| ends(*it)).count()
}

/// Asserts that np.load reads this very header from these bytes.
///
/// # Panics
/// It would not.
pub fn assert_loads(head: &[u8], header: &Header) {
    let preamble = Preamble::read(head).unwrap().expect("a header begins with its magic");
    assert_eq!(preamble.kind, Kind::Final);
    assert_eq!(preamble.data_offset, head.len() as u64);
    assert!(text_len(head, preamble.major) <= TEXT_MAX);
    assert_eq!(head.last(), Some(&b'\n'));
    let layout = parse_header(&preamble, head, head.len() as u64 + header.data_len()).unwrap();
    assert!(layout.header().unwrap().same_bytes(header), "{layout:?} is not {header:?}");
}

/// Returns the length of a header's text, in characters.
///
/// # Panics
/// The text is not in the encoding of its version.
#[must_use]
pub fn text_len(head: &[u8], major: u8) -> usize {
    match major {
        1 => head.len() - 10,
        2 => head.len() - 12,
        _ => str::from_utf8(&head[12..]).unwrap().chars().count(),
    }
}

/// Asserts that a data file of any size either becomes an array, by each route that the constraints
/// allow, or gets a message that says what is wrong with it.
///
/// # Panics
/// It does not.
pub fn assert_becomes_an_array(dump: &Dump) {
    dump.warnings.iter().for_each(|doubt| assert_clear(doubt));
    let least = dump.least_file_len().expect("its size was checked");
    let record = dump.layout.record_len();
    let beyond = [0, 1, record, record.saturating_mul(3), record.saturating_add(1), 1 << 40];
    let sizes = beyond.into_iter().map(|beyond| least.saturating_add(beyond));
    let sizes = sizes.chain([0, least.saturating_sub(1), i64::MAX.unsigned_abs()]);
    let mut planned = Vec::new();
    for size in sizes.chain(dump.facts.file_len).filter(|size| i64::try_from(*size).is_ok()) {
        for allow_trailing in [false, true] {
            let fit = dump.fit(size, allow_trailing);
            assert_clear(&fit.to_string());
            if !matches!(fit, SizeFit::Whole { .. }) {
                continue;
            }
            match dump.header(size) {
                Ok(header) => {
                    assert_fits(dump, &header, size, allow_trailing);
                    // Plans take the longest to check, and are the same for like arrays.
                    if planned.len() < 2 && !planned.contains(&header) {
                        assert_plans(dump, &header, size);
                        planned.push(header);
                    }
                }
                Err(error) => assert_clear(&error.to_string()),
            }
        }
        if let Some(salvaged) = dump.salvaged_header(size, size, Rows::All) {
            assert!(salvaged.data_len() <= size.saturating_sub(dump.data_offset));
        }
    }
}

fn assert_fits(dump: &Dump, header: &Header, size: u64, allow_trailing: bool) {
    let around = dump.data_offset + dump.trailing;
    let data = header.data_len();
    if allow_trailing {
        assert!(around + data <= size);
    } else {
        assert_eq!(around + data, size);
    }
}

/// Asserts that plans are right on file systems that insert ranges, share blocks, or do neither.
fn assert_plans(dump: &Dump, header: &Header, size: u64) {
    assert_loads(&header.numpy_bytes(), header);
    for kind in [FsKind::Ext4, FsKind::Btrfs, FsKind::Tmpfs] {
        for readers in [Readers::Numpy, Readers::Any] {
            let file_system = FsInfo { kind, network: false };
            let wishes = RouteWishes { readers, ..RouteWishes::any() };
            let terms = Constraints { wishes, ..Constraints::on(file_system) };
            assert_right(dump, &Plan::new(dump, header, size, &terms).unwrap());
        }
    }
}

/// Asserts that a plan makes the array, and that a crash between its steps leaves a file that npyd
/// can finish.
fn assert_right(dump: &Dump, plan: &Plan) {
    plan.skipped_routes.iter().for_each(|passed| assert_clear(&passed.to_string()));
    assert_loads(&plan.head(dump), &plan.header);
    let Steps::InPlace(writes) = &plan.steps else { return };
    let mut head = match &dump.front {
        LeadingBytes::Header(own) => own.bytes.clone(),
        _ => vec![0; usize::try_from(dump.data_offset).unwrap()],
    };
    assert_eq!(head.len() as u64, dump.data_offset, "the data begin behind the header");
    for write in writes {
        let at = usize::try_from(write.at).unwrap();
        let is_torn = at / SECTOR != (at + write.bytes.len() - 1) / SECTOR;
        let has_magic = matches!(dump.front, LeadingBytes::Header(_)) || at < 8;
        assert!(!is_torn || !has_magic, "a crash may leave half of {write:?}");
        head[at..][..write.bytes.len()].copy_from_slice(&write.bytes);
        // A crash here leaves what can be done again, or what is right.
        match Preamble::read(&head).unwrap_or(None) {
            Some(Preamble { kind: Kind::Final, .. }) => assert_loads(&head, &plan.header),
            Some(pending) => {
                parse_header(&pending, &head, i64::MAX.unsigned_abs()).unwrap();
            }
            None => assert!(matches!(dump.front, LeadingBytes::Reserved(_))),
        }
    }
    assert_loads(&head, &plan.header);
}
