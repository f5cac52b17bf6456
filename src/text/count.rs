//! Numbers with their nouns.

/// Returns a number with its noun in singular or plural.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 {
        return format!("1 {noun}");
    }
    match noun.strip_suffix('y') {
        Some(stem) => format!("{count} {stem}ies"),
        None => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singular_and_plural() {
        assert_eq!(counted(4, "file"), "4 files");
        assert_eq!(counted(4, "directory"), "4 directories");
        assert_eq!(counted(1, "directory"), "1 directory");
        assert_eq!(counted(0, "drop"), "0 drops");
    }
}
