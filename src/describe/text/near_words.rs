//! Misspelt words: those that differ from a known word in one letter.

/// Returns whether the keys differ only in letter case and in one insertion, deletion, replacement
/// or swap of adjacent letters.
pub(crate) fn is_near(known: &str, key: &str) -> bool {
    let lower = key.to_lowercase();
    match differences(known.as_bytes(), lower.as_bytes()) {
        ([first, second], [third, fourth]) => (first, second) == (fourth, third),
        ([_], [_]) => known.len() > 5, // `date` is not a misspelt `data`
        (ours, theirs) => ours.len() <= 1 && theirs.len() <= 1,
    }
}

/// Returns whether the keys differ only in letter case and in one replaced letter.
pub(crate) fn are_equal_but_one(known: &str, key: &str) -> bool {
    let lower = key.to_lowercase();
    matches!(differences(known.as_bytes(), lower.as_bytes()), ([_], [_]))
}

/// Returns both texts without their common prefix and suffix.
fn differences<'a>(ours: &'a [u8], theirs: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    let ahead = ours.iter().zip(theirs).take_while(|(x, y)| x == y).count();
    let (ours, theirs) = (&ours[ahead..], &theirs[ahead..]);
    let behind = ours.iter().rev().zip(theirs.iter().rev()).take_while(|(x, y)| x == y).count();
    (&ours[..ours.len() - behind], &theirs[..theirs.len() - behind])
}
