//! The checks of the fuzz targets, on their seeds and on changed seeds: the changes are drawn at
//! random, but are the same in each run. `fuzz/run` goes on for as long as one likes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is the library of the fuzz targets")]
mod fuzz;

/// Number of changed seeds for each target.
const CHANGED: usize = 100_000;

/// Maximum length of a changed seed, in bytes.
const LEN_MAX: usize = 20_000;

/// Numbers that parsers get wrong.
const NUMBERS: [&str; 8] =
    ["0", "1", "-1", "255", "65536", "2147483648", "9223372036854775807", "18446744073709551616"];

/// Numbers drawn at random, always the same (`SplitMix64`: Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Returns a number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// Returns a short range within `len` bytes.
    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..(start + self.below(32)).min(len)
    }
}

/// Changes a seed in one way.
fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[Vec<u8>], random: &mut Random) {
    let (at, range) = (random.below(input.len() + 1), random.range(input.len()));
    match random.below(9) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.next() as u8,
        2 => drop(input.drain(range)),
        3 => input.extend_from_within(range),
        4 => input.truncate(at),
        5 => drop(input.splice(range, random.of(words).iter().copied())),
        6 => {
            let other = random.of(seeds);
            let piece = random.range(other.len());
            drop(input.splice(at..at, other[piece].iter().copied()));
        }
        7 => {
            // The rest of another seed.
            let other = random.of(seeds);
            let from = random.below(other.len() + 1);
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
        _ => {
            let digits = |byte: &u8| byte.is_ascii_digit();
            let Some(start) = input[at..].iter().position(digits).map(|found| at + found) else {
                return;
            };
            let len = input[start..].iter().take_while(|byte| digits(byte)).count();
            drop(input.splice(start..start + len, random.of(&NUMBERS).bytes()));
        }
    }
}

/// The words of `fuzz/tokens.dict`.
fn words() -> Vec<Vec<u8>> {
    let lines = include_str!("../../../fuzz/tokens.dict").lines();
    let quoted = lines.filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
    let words: Vec<_> = quoted.map(unescaped).collect();
    assert!(words.len() > 20);
    words
}

/// Reads the escapes of libFuzzer's dictionaries: `\\`, `\"` and `\xAB`.
fn unescaped(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        let escaped = &rest[at + 1..];
        let len = if let Some(hex) = escaped.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&hex[..2], 16).unwrap());
            3
        } else {
            bytes.push(escaped.as_bytes()[0]);
            1
        };
        rest = &escaped[len..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

/// Checks the seeds of a target, and changed seeds.
fn check_inputs(target: &'static str, check: fn(&[u8])) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
    let mut paths: Vec<_> = dir.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let seeds: Vec<_> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
    assert!(seeds.len() > 20, "{}", dir.display());
    let (words, mut random) = (words(), Random(1));
    for number in 0..seeds.len() + CHANGED {
        let mut input = seeds.get(number).unwrap_or_else(|| random.of(&seeds)).clone();
        if number >= seeds.len() {
            for _ in 0..=random.below(4) {
                change(&mut input, &seeds, &words, &mut random);
            }
            input.truncate(LEN_MAX);
        }
        let is_right = catch_unwind(AssertUnwindSafe(|| check(&input))).is_ok();
        assert!(is_right, "{target}: input {number}: {:?}", String::from_utf8_lossy(&input));
    }
}

/// Runs it with the stack that a program has.
fn run(target: &'static str, check: fn(&[u8])) {
    let checks = move || check_inputs(target, check);
    let thread = thread::Builder::new().stack_size(8 << 20).spawn(checks).unwrap();
    assert!(thread.join().is_ok(), "see above");
}

macro_rules! targets {
    ($($target:ident)*) => {$(
        #[test]
        fn $target() {
            run(stringify!($target), fuzz::$target::check);
        }
    )*};
}

targets! { config dtype header literal manifest pending sidecar }
