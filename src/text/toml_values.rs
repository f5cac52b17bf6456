//! Values in TOML that are written as in Python: `shape = (2, 3)`, `shape = 2, 3`,
//! `dtype = np.uint16`.

/// Returns how to write the value of a line that is not TOML because it is a list without brackets
/// or a text without quotes; `None` if the line is something else.
pub(crate) fn value_remedy(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.split('#').next().unwrap_or_default().trim());
    let is_tuple = value.starts_with('(');
    let inner = value.strip_prefix('(').and_then(|it| it.strip_suffix(')')).unwrap_or(value);
    let items: Vec<&str> = inner.split(',').map(str::trim).filter(|it| !it.is_empty()).collect();
    let are_numbers = !items.is_empty() && items.iter().all(|it| it.parse::<i64>().is_ok());
    match (is_tuple, are_numbers) {
        (true, true) => Some(format!("TOML has no tuples: write `{key} = [{}]`", items.join(", "))),
        (true, false) => Some("TOML has no tuples: write brackets, as in `[2, 3]`".to_owned()),
        (false, true) if value.contains(',') => {
            Some(format!("a list needs brackets: write `{key} = [{}]`", items.join(", ")))
        }
        (false, _) if is_bare_text(value) && line.parse::<toml::Table>().is_err() => {
            Some(format!("a text needs quotes: write `{key} = '{value}'`"))
        }
        (false, _) => None,
    }
}

/// Returns whether a value is the text of a type, name or word, without any quotes.
fn is_bare_text(value: &str) -> bool {
    value.starts_with(|c: char| c.is_ascii_alphabetic() || "<>|=/*".contains(c))
        && !value.contains(['"', '\'', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks what the remedies of these lines contain, and that the others have none.
    fn expect(remedies: &[(&str, &str)], without: &[&str]) {
        for (line, words) in remedies {
            let remedy = value_remedy(line).unwrap_or_default();
            assert!(remedy.contains(words), "{line}: {remedy}");
        }
        for line in without {
            assert_eq!(value_remedy(line), None, "{line}");
        }
    }

    #[test]
    fn lists_of_python() {
        let remedies = [
            ("shape = (2, 3)", "write `shape = [2, 3]`"),
            ("shape=(-1,)  # frames", "write `shape = [-1]`"),
            ("shape = 2, 3", "needs brackets: write `shape = [2, 3]`"),
            ("shape = ()", "write brackets"),
            ("shape = (2,", "write brackets"),
            ("dtype = ('<f4', (2,))", "write brackets"),
        ];
        let without = ["shape = [2, 3]", "shape = 6", "gain = 2,5 V", "shape (2, 3)", "", "a = 'x"];
        expect(&remedies, &without);
    }

    #[test]
    fn texts_without_quotes() {
        let remedies = [
            ("dtype = np.float32", "write `dtype = 'np.float32'`"),
            ("dtype=<f4 # little", "write `dtype = '<f4'`"),
            ("order = F", "write `order = 'F'`"),
            ("path = /data/in", "write `path = '/data/in'`"),
        ];
        let without =
            ["x = true", "x = nan", "x = \"y", "x = 'y", "x = 2 V", "x = np.dtype('<u2')"];
        expect(&remedies, &without);
    }
}
