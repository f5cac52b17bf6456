//! Completeness as timelines: what npyd observes when, and what it then decides. The test sets the
//! clock.

use std::time::{Duration, Instant};

use npyd::decide::completeness::{Rules, Verdict, assess, quiet_after};
use npyd::decide::observation::Observation;
use npyd::decide::quiescence::Quiescence;
use npyd::describe::digest::Digest;
use npyd::describe::{Declared, DeclaredBy, Dump, Metadata, from_header};
use npyd::model::{FileName, Unprovable, Writer};
use npyd::npy::{Dtype, Layout, Order, Preamble};
use proptest::prelude::*;

const RULES: Rules = Rules { quiet: Duration::from_secs(2), allow_trailing: false, remakes: 0 };

fn name(text: &str) -> FileName {
    FileName::try_from(text.to_owned()).unwrap()
}

/// `<u2` data behind `offset` bytes.
fn raw(shape: &[i64], offset: u64) -> Dump {
    let declared = Declared {
        dtype: Dtype::from_text("<u2").unwrap(),
        shape: shape.to_vec(),
        order: Order::C,
        offset,
        trailing: 0,
        reserved: None,
        data: None,
        output: None,
        digest: None,
    };
    declared.dump(DeclaredBy::Manifest, &name("scan.raw"), Metadata::new()).unwrap()
}

fn with_digest(dump: Dump) -> Dump {
    let digest: Digest = "crc32c:00000000".parse().unwrap();
    Dump { digest: Some(digest), ..dump }
}

/// A pending file of `<u2`, marked `w` or `r`, with a header of 128 bytes.
fn pending(shape: &[i64], mark: u8) -> Dump {
    let layout = Layout::new(Dtype::from_text("<u2").unwrap(), shape, Order::C).unwrap();
    let state = if mark == b'r' {
        npyd::npy::PendingState::Ready
    } else {
        npyd::npy::PendingState::Writing
    };
    let head = npyd::npy::pending_bytes(&layout, state, Some(128)).unwrap();
    let preamble = Preamble::read(&head).unwrap().unwrap();
    from_header(&name("x.npy"), preamble, head, 1 << 40).unwrap().unwrap()
}

/// A moment: seconds, size, who writes, and what must be decided.
type Moment = (f64, u64, Writer, &'static str);

/// What a verdict comes to, in a word or two.
fn word(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Ready(evidence) => format!("ready: {evidence}"),
        Verdict::Wait(wait) if wait.ready_in.is_some() => "time".to_owned(),
        Verdict::Wait(_) => "wait".to_owned(),
        Verdict::Abandoned => "abandoned".to_owned(),
        Verdict::Refused(_) => "refused".to_owned(),
    }
}

fn observation(size: u64, writer: Writer, unchanged: Duration) -> Observation {
    let (allocated, first_bytes) = (size, Vec::new());
    Observation {
        size,
        unfit: None,
        allocated,
        solid: true,
        writer,
        sidecar_writer: None,
        count_writer: None,
        first_bytes,
        unchanged,
        timestamp_granularity: Duration::ZERO,
    }
}

fn plays(dump: &Dump, timeline: &[Moment]) {
    let start = Instant::now();
    let mut stillness = Quiescence::new(timeline[0].1, start, None);
    for &(at, size, writer, expected) in timeline {
        let unchanged = stillness.observe(size, start + Duration::from_secs_f64(at), None);
        let verdict = assess(dump, &observation(size, writer, unchanged), &RULES);
        assert_eq!(word(&verdict), expected, "at {at} s with {size} bytes: {verdict:?}");
    }
}

use Writer::{None as Nobody, Present as Somebody};

const UNKNOWN: Writer = Writer::Unknown(Unprovable::NoLeases);

#[test]
fn a_known_size_needs_no_quiet() {
    plays(
        &raw(&[4], 0),
        &[(0.0, 0, Somebody, "wait"), (0.1, 8, Somebody, "wait"), (0.2, 8, Nobody, "ready: size")],
    );
}

#[test]
fn a_short_file_waits_for_as_long_as_it_takes() {
    plays(
        &raw(&[4], 0),
        &[(0.0, 6, Nobody, "wait"), (1e6, 6, Nobody, "wait"), (2e6, 8, Nobody, "ready: size")],
    );
}

#[test]
fn a_long_file_is_refused_once_it_is_quiet() {
    plays(
        &raw(&[4], 0),
        &[
            (0.0, 10, Somebody, "wait"),
            (1.0, 10, Nobody, "time"),
            (1.9, 12, Nobody, "time"),
            (3.8, 12, Nobody, "time"),
            (3.9, 12, Nobody, "refused"),
        ],
    );
}

#[test]
fn an_open_shape_needs_quiet_and_whole_records() {
    plays(
        &raw(&[-1, 2], 6),
        &[
            (0.0, 3, Nobody, "wait"),
            (1.0, 6, Nobody, "wait"), // no record yet
            (9.0, 6, Nobody, "wait"),
            (10.0, 10, Somebody, "wait"),
            (13.0, 10, Nobody, "ready: no-writer"),
            (14.0, 12, Nobody, "wait"), // a torn record
            (15.0, 14, Nobody, "time"),
            (17.0, 14, Nobody, "ready: no-writer"),
        ],
    );
}

#[test]
fn where_no_lease_is_to_be_had_quiet_must_do() {
    plays(
        &raw(&[4], 0),
        &[(0.0, 8, UNKNOWN, "time"), (1.9, 8, UNKNOWN, "time"), (2.0, 8, UNKNOWN, "ready: quiet")],
    );
}

#[test]
fn a_digest_needs_no_quiet_either() {
    plays(
        &with_digest(raw(&[-1], 0)),
        &[(0.0, 8, Somebody, "wait"), (0.1, 8, Nobody, "ready: digest")],
    );
}

#[test]
fn the_producers_word_counts_while_it_still_holds_the_file() {
    plays(&pending(&[4], b'r'), &[(0.0, 136, Somebody, "ready: ready")]);
    plays(&pending(&[-1, 2], b'r'), &[(0.0, 136, UNKNOWN, "ready: ready")]);
    plays(&pending(&[-1, 2], b'r'), &[(0.0, 138, Somebody, "wait")]);
    plays(&pending(&[4], b'r'), &[(0.0, 135, Somebody, "wait"), (9.0, 137, Nobody, "refused")]);
}

#[test]
fn a_pending_file_is_abandoned_when_its_writer_is_gone_for_good() {
    plays(
        &pending(&[4], b'w'),
        &[
            (0.0, 136, Somebody, "wait"),
            (99.0, 136, Somebody, "wait"),
            (99.5, 140, Nobody, "time"),
            (101.5, 140, Nobody, "abandoned"),
        ],
    );
    plays(&pending(&[4], b'w'), &[(0.0, 136, UNKNOWN, "wait"), (1e6, 136, UNKNOWN, "wait")]);
}

#[test]
fn a_description_still_being_written_is_not_believed() {
    let mut observation = observation(8, Nobody, Duration::ZERO);
    observation.sidecar_writer = Some(Somebody);
    assert_eq!(word(&assess(&raw(&[4], 0), &observation, &RULES)), "wait");
    observation.sidecar_writer = Some(UNKNOWN);
    assert_eq!(word(&assess(&raw(&[4], 0), &observation, &RULES)), "time");
}

#[test]
fn a_preallocated_file_must_also_be_quiet() {
    let mut observation = observation(8, Nobody, Duration::ZERO);
    observation.solid = false;
    assert_eq!(word(&assess(&raw(&[4], 0), &observation, &RULES)), "time");
    observation.unchanged = RULES.quiet;
    assert_eq!(word(&assess(&raw(&[4], 0), &observation, &RULES)), "ready: no-writer");
}

/// The quiet time of a drop grows with each remake, unless the producer declares that the drop is
/// complete.
#[test]
fn remakes_double_the_quiet_time() {
    let at = |unchanged, remakes| {
        let observation = observation(8, Nobody, Duration::from_secs(unchanged));
        let rules = Rules { quiet: quiet_after(RULES.quiet, remakes), remakes, ..RULES };
        move |dump: &Dump| assess(dump, &observation, &rules)
    };
    for (remakes, quiet) in [(1, 4), (2, 8), (10, 2048), (11, 3600), (40, 3600), (4000, 3600)] {
        for (dump, word_then) in [(raw(&[4], 0), "size"), (raw(&[-1], 0), "no-writer")] {
            assert_eq!(word(&at(quiet - 1, remakes)(&dump)), "time", "{remakes}");
            assert_eq!(word(&at(quiet, remakes)(&dump)), format!("ready: {word_then}"));
        }
    }
    assert_eq!(word(&at(0, 0)(&raw(&[4], 0))), "ready: size");
    assert_eq!(word(&at(0, 9)(&with_digest(raw(&[4], 0)))), "ready: digest");
    let ready = observation(136, Nobody, Duration::ZERO);
    let rules = Rules { remakes: 9, ..RULES };
    assert_eq!(word(&assess(&pending(&[4], b'r'), &ready, &rules)), "ready: ready");
    let Verdict::Wait(wait) = at(0, 2)(&raw(&[4], 0)) else { panic!() };
    assert_eq!(wait.ready_in, Some(Duration::from_secs(8)));
    for words in ["must be unchanged for 8s", "was made again 2 times"] {
        assert!(wait.why.to_string().contains(words), "{}", wait.why);
    }
    // A quiet time that is longer stays as it is.
    assert_eq!(quiet_after(Duration::from_hours(2), 3), Duration::from_hours(2));
}

/// A recording that another file counts: the rows that both have, once it has long been quiet.
#[test]
fn a_miscounted_recording_needs_a_longer_quiet() {
    let counted = |rows| {
        let mut dump = raw(&[-1, 2], 0);
        dump.facts.counted = Some(rows);
        dump
    };
    let long = Duration::from_secs(20);
    let almost = Duration::from_millis(19_999);
    for (rows, size, count_writer, unchanged, then) in [
        (2, 12, Some(Nobody), almost, "time"),
        (2, 12, Some(Nobody), long, "ready: common-rows"),
        (2, 12, Some(UNKNOWN), long, "ready: common-rows"),
        (4, 12, Some(Nobody), long, "ready: common-rows"),
        (3, 12, None, Duration::ZERO, "ready: size"),
        (2, 12, Some(Somebody), long, "wait"),
        (2, 12, None, long, "wait"), // counted nowhere
        (0, 12, Some(Nobody), long, "wait"),
        (2, 0, Some(Nobody), long, "wait"),
        (2, 10, Some(Nobody), long, "wait"), // a torn record
    ] {
        let observation =
            |writer| Observation { count_writer, ..observation(size, writer, unchanged) };
        let verdict = assess(&counted(rows), &observation(Nobody), &RULES);
        assert_eq!(word(&verdict), then, "{rows} {size} {count_writer:?} {unchanged:?}");
        assert_eq!(word(&assess(&counted(rows), &observation(Somebody), &RULES)), "wait");
    }
    // The values of one channel follow each other: no rows can be cut off.
    let mut channels = counted(2);
    channels.layout = Layout::open_on(channels.layout.dtype.clone(), &[2, 0], 1).unwrap();
    let observation = Observation { count_writer: Some(Nobody), ..observation(12, Nobody, long) };
    assert_eq!(word(&assess(&channels, &observation, &RULES)), "wait");
}

/// A decision that depends on file times waits until a later change would alter these times.
#[test]
fn a_coarse_clock_is_waited_for() {
    let at = |age_ms, size, quiet| {
        let timestamp_granularity = Duration::from_secs(2);
        let observation = Observation {
            timestamp_granularity,
            ..observation(size, Nobody, Duration::from_millis(age_ms))
        };
        let rules = Rules { quiet, ..RULES };
        move |dump: &Dump| word(&assess(dump, &observation, &rules))
    };
    let short = Duration::from_millis(20);
    for (dump, size, then) in [
        (raw(&[4], 0), 8, "ready: size"),
        (with_digest(raw(&[-1], 0)), 8, "ready: digest"),
        (raw(&[-1], 0), 8, "ready: no-writer"),
        (raw(&[4], 0), 9, "refused"),
        (pending(&[4], b'w'), 136, "abandoned"),
    ] {
        for (age_ms, word) in [(0, "time"), (1999, "time"), (2000, then)] {
            assert_eq!(at(age_ms, size, short)(&dump), word, "{then} after {age_ms} ms");
        }
    }
    assert_eq!(at(0, 136, short)(&pending(&[4], b'r')), "ready: ready");
    assert_eq!(at(0, 6, short)(&raw(&[4], 0)), "wait");
    let marked = Dump { marker: Some(b"X".to_vec()), ..raw(&[4], 64) };
    let observation =
        Observation { first_bytes: b"X".to_vec(), ..observation(72, Somebody, Duration::ZERO) };
    let observation = Observation { timestamp_granularity: Duration::from_secs(2), ..observation };
    assert_eq!(word(&assess(&marked, &observation, &RULES)), "ready: marker");
}

#[test]
fn a_marker_decides_alone() {
    let dump = Dump { marker: Some(b"DONE".to_vec()), ..raw(&[-1], 64) };
    let mut observation = observation(72, Somebody, Duration::ZERO);
    assert_eq!(word(&assess(&dump, &observation, &RULES)), "wait");
    observation.first_bytes = b"DONE".to_vec();
    assert_eq!(word(&assess(&dump, &observation, &RULES)), "ready: marker");
    observation.size = 73;
    assert_eq!(word(&assess(&dump, &observation, &RULES)), "wait");
}

#[test]
fn the_file_systems_clock_can_prove_quiet_at_first_sight() {
    let (start, secs) = (Instant::now(), Duration::from_secs);
    let mut stillness = Quiescence::new(1, start, Some(secs(9)));
    assert_eq!(stillness.observe(1, start, Some(secs(9))), secs(9));
    assert_eq!(stillness.observe(2, start + secs(5), Some(secs(1))), secs(1));
    assert_eq!(stillness.observe(2, start + secs(8), None), secs(4));
}

/// A producer that appends a frame each second is not done because somebody set the clock, or the
/// machine slept.
#[test]
fn a_clock_that_is_set_proves_nothing() {
    let (start, secs) = (Instant::now(), Duration::from_secs);
    let hour = Some(secs(3600));
    let mut stillness = Quiescence::new(1, start, Some(Duration::ZERO));
    assert_eq!(stillness.observe(1, start + secs(1), hour), secs(1));
    assert_eq!(stillness.observe(2, start + secs(2), hour), secs(1));
    assert_eq!(stillness.observe(2, start + secs(3), None), secs(2));
}

proptest! {
    /// However a file grows, nothing is said to be ready while somebody writes, or while it is
    /// short of what was declared; and in the end it always is.
    #[test]
    fn never_too_early_and_always_in_the_end(
        steps in proptest::collection::vec((1u64..5000, 0u64..64), 0..40),
        items in 1u64..600,
        open in any::<bool>(),
        lease in any::<bool>(),
    ) {
        let total = items * 2;
        let dump = raw(&[if open { -1 } else { i64::try_from(items).unwrap() }], 0);
        let start = Instant::now();
        let mut stillness = Quiescence::new(0, start, None);
        let (mut now, mut size) = (Duration::ZERO, 0);
        let writer = if lease { Somebody } else { UNKNOWN };
        for (pause_ms, bytes) in steps {
            // Without a lease only quiet can tell: a writer that pauses for longer can't be told
            // from one that is done.
            now += Duration::from_millis(if lease { pause_ms } else { pause_ms % 2000 });
            size = (size + bytes).min(total - 1);
            let unchanged = stillness.observe(size, start + now, None);
            let verdict = assess(&dump, &observation(size, writer, unchanged), &RULES);
            let early = matches!(verdict, Verdict::Ready(_) | Verdict::Abandoned);
            prop_assert!(!early || (open && !lease && unchanged >= RULES.quiet), "{verdict:?}");
            prop_assert!(!matches!(verdict, Verdict::Refused(_)));
        }
        stillness.observe(total, start + now, None);
        let unchanged = stillness.observe(total, start + now + RULES.quiet, None);
        let writer = if lease { Nobody } else { UNKNOWN };
        let verdict = assess(&dump, &observation(total, writer, unchanged), &RULES);
        prop_assert!(matches!(verdict, Verdict::Ready(_)), "{verdict:?}");
    }
}
