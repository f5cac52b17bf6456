//! Natural order of numbered file names: numbers count by their value. Also finds gaps in the
//! numbering.

use std::cmp::Ordering;
use std::iter::zip;

use crate::model::FileName;

/// Maximum number of gaps that a remark lists.
const GAPS_MAX: usize = 5;

/// A part of a name: a number, or the text between two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Number(&'a str),
    Text(&'a str),
}

impl<'a> Piece<'a> {
    /// Returns the digits of a number without leading zeros.
    fn digits(self) -> Option<&'a str> {
        match self {
            Piece::Number(digits) => Some(digits.trim_start_matches('0')),
            Piece::Text(_) => None,
        }
    }
}

/// Compares two names in natural order: `frame_2` comes before `frame_10`.
#[must_use]
pub fn natural_order(name: &str, other: &str) -> Ordering {
    let by_pieces = zip(pieces(name), pieces(other)).map(|(ours, theirs)| {
        match (ours.digits(), theirs.digits(), ours, theirs) {
            (Some(ours), Some(theirs), ..) => {
                ours.len().cmp(&theirs.len()).then_with(|| ours.cmp(theirs))
            }
            (.., Piece::Text(ours), Piece::Text(theirs)) => ours.cmp(theirs),
            (ours, ..) => {
                if ours.is_some() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    });
    let first = by_pieces.into_iter().find(|order| order.is_ne());
    first.unwrap_or_else(|| pieces(name).len().cmp(&pieces(other).len())).then(name.cmp(other))
}

/// Splits a name into its numbers and the texts between them.
fn pieces(name: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = name;
    while let Some(first) = rest.bytes().next() {
        let is_number = first.is_ascii_digit();
        let end = rest.bytes().position(|byte| byte.is_ascii_digit() != is_number);
        let (piece, behind) = rest.split_at(end.unwrap_or(rest.len()));
        pieces.push(if is_number { Piece::Number(piece) } else { Piece::Text(piece) });
        rest = behind;
    }
    pieces
}

/// Returns remarks on the numbering of a series in natural order: its gaps, and two files of one
/// number. Returns none if the names differ in more than numbers.
#[must_use]
pub fn numbering_remarks(names: &[FileName]) -> Vec<String> {
    let split: Vec<Vec<Piece<'_>>> = names.iter().map(|name| pieces(name.as_str())).collect();
    let ([first, ..], [first_name, .., last_name]) = (&split[..], names) else {
        return Vec::new();
    };
    let is_alike = |(ours, theirs): (&Piece<'_>, &Piece<'_>)| match (ours, theirs) {
        (Piece::Number(_), Piece::Number(_)) => true,
        (ours, theirs) => ours == theirs,
    };
    if !split.iter().all(|it| it.len() == first.len() && zip(it, first).all(is_alike)) {
        return Vec::new();
    }
    let mut remarks = Vec::new();
    let have_one_number = |pieces: &[Piece<'_>], other: &[Piece<'_>]| {
        zip(pieces, other).all(|(a, b)| a.digits() == b.digits())
    };
    let is_twice = |at: &usize| have_one_number(&split[*at], &split[at + 1]);
    if let Some(at) = (0..names.len() - 1).find(is_twice) {
        remarks.push(format!(
            "`{}` and `{}` have one number: both are in the array",
            names[at],
            names[at + 1]
        ));
    }
    let mut split = split;
    split.dedup_by(|pieces, before| have_one_number(pieces, before));
    // A date or time before the counter increases as well, but in larger steps.
    let columns = (0..split[0].len()).filter_map(|column| increasing(&split, column));
    if let Some(numbers) = columns.min_by_key(|numbers| numbers[numbers.len() - 1] - numbers[0]) {
        remarks.extend(gaps(&numbers).map(|gaps| {
            format!("numbers are missing between `{first_name}` and `{last_name}`: {gaps}")
        }));
    }
    remarks
}

/// Returns the numbers in one column of the names if they increase from each name to the next.
fn increasing(split: &[Vec<Piece<'_>>], column: usize) -> Option<Vec<u128>> {
    let number = |pieces: &Vec<Piece<'_>>| match pieces[column] {
        Piece::Number(digits) => digits.parse().ok(),
        Piece::Text(_) => None,
    };
    let numbers: Vec<u128> = split.iter().map(number).collect::<Option<_>>()?;
    numbers.is_sorted_by(|number, next| number < next).then_some(numbers)
}

/// Lists the numbers that are missing in an increasing list, or returns `None` if none is.
fn gaps(numbers: &[u128]) -> Option<String> {
    let missing = zip(numbers, &numbers[1..]).filter(|(number, next)| *next - *number > 1);
    let mut missing = missing.map(|(number, next)| match (number + 1, next - 1) {
        (first, last) if first == last => first.to_string(),
        (first, last) => format!("{first} to {last}"),
    });
    let listed: Vec<String> = missing.by_ref().take(GAPS_MAX).collect();
    let more = if missing.next().is_some() { " and more" } else { "" };
    (!listed.is_empty()).then(|| format!("{}{more}", listed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<FileName> {
        names.iter().map(|name| FileName::try_from((*name).to_owned()).unwrap()).collect()
    }

    #[test]
    fn numbers_count_by_their_value() {
        let sorted = [
            "1.raw",
            "02.raw",
            "a",
            "frame_0.raw",
            "frame_1.raw",
            "frame_01.raw",
            "frame_2.raw",
            "frame_2_1.raw",
            "frame_2_10.raw",
            "frame_10.raw",
            "frame_99999999999999999999999999999999999999999.raw",
            "frame_100000000000000000000000000000000000000000.raw",
            "frame_.raw",
            "frame_a.raw",
        ];
        for (at, name) in sorted.iter().enumerate() {
            for (other_at, other) in sorted.iter().enumerate() {
                let order = natural_order(name, other);
                // Two spellings of one number are ordered, in whichever way.
                if [name, other].iter().all(|it| ["frame_1.raw", "frame_01.raw"].contains(it)) {
                    assert_eq!(order.is_eq(), name == other);
                } else {
                    assert_eq!(order, at.cmp(&other_at), "{name} {other}");
                }
            }
        }
    }

    #[test]
    fn gaps_in_the_numbering_are_found() {
        for (files, gap) in [
            (&["f_1.raw", "f_2.raw", "f_4.raw"][..], Some(": 3")),
            (&["f_1.raw", "f_5.raw", "f_7.raw"], Some(": 2 to 4, 6")),
            (&["f_009.raw", "f_010.raw", "f_012.raw"], Some(": 11")),
            (&["1", "3", "5", "7", "9", "11", "13"], Some(": 2, 4, 6, 8, 10 and more")),
            (&["t1015_1.raw", "t1020_2.raw", "t1025_4.raw"], Some(": 3")),
            (&["f_3_t1015.raw", "f_5_t1020.raw"], Some(": 4")),
            (&["f_3.raw", "f_4.raw"], None),
            (&["f_3.raw"], None),
            (&[], None),
            (&["tile_0_0", "tile_0_1", "tile_1_0", "tile_1_1"], None),
            (&["a.raw", "b.raw"], None),
            (&["f_1.raw", "f_3.img"], None),
            (&["f_1.raw", "f_3_old.raw"], None),
        ] {
            let remarks = numbering_remarks(&names(files));
            assert_eq!(remarks.len(), usize::from(gap.is_some()), "{files:?}: {remarks:?}");
            assert!(gap.is_none_or(|gap| remarks[0].ends_with(gap)), "{files:?}: {remarks:?}");
        }
    }

    #[test]
    fn two_files_of_one_number_are_found() {
        let remarks = numbering_remarks(&names(&["f_1.raw", "f_01.raw", "f_2.raw"]));
        assert_eq!(remarks, ["`f_1.raw` and `f_01.raw` have one number: both are in the array"]);
        let remarks = numbering_remarks(&names(&["f_1.raw", "f_01.raw", "f_3.raw"]));
        assert_eq!(
            remarks,
            [
                "`f_1.raw` and `f_01.raw` have one number: both are in the array",
                "numbers are missing between `f_1.raw` and `f_3.raw`: 2"
            ]
        );
        let remarks = numbering_remarks(&names(&["f_1.raw", "f_01.raw"]));
        assert_eq!(remarks.len(), 1, "{remarks:?}");
    }
}
