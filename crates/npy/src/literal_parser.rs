//! The parser of Python literals: from text to [`Literal`], with limited nesting.

use crate::literal::{Literal, LiteralError};
use crate::sanitize::sanitize;

/// Maximum nesting depth of lists, tuples and dicts.
const DEPTH_MAX: usize = 64;

type Parsed<T> = Result<T, LiteralError>;

/// Parses a text that consists of one literal. `long_suffix` allows the `L` of Python 2.
pub(crate) fn read(text: &str, long_suffix: bool) -> Parsed<Literal> {
    if let Some(at) = text.find('\0') {
        let line = 1 + text[..at].matches('\n').count();
        return Err(LiteralError { at, line, what: "a zero byte: pad with spaces".to_owned() });
    }
    // Before and after the value, newlines have no meaning, as inside brackets.
    let mut reader = Reader { text, at: 0, nesting: 1, long_suffix };
    reader.skip_blanks();
    reader.nesting = 0;
    reader.check_indentation()?;
    let literal = reader.value(0)?;
    reader.nesting = 1;
    reader.end()?;
    Ok(literal)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Number of open brackets. Newlines inside brackets have no meaning.
    nesting: usize,
    long_suffix: bool,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn error<T>(&self, what: impl Into<String>) -> Parsed<T> {
        let line = 1 + self.text[..self.at].matches('\n').count();
        Err(LiteralError { at: self.at, line, what: sanitize(&what.into()) })
    }

    fn unexpected<T>(&self, wanted: &str) -> Parsed<T> {
        match self.peek() {
            Some(found) => self.error(format!("expected {wanted}, found {found:?}")),
            None => self.error(format!("expected {wanted}, but the text ends")),
        }
    }

    /// Skips blanks and joined lines, and inside brackets also newlines and comments.
    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blanks: &[char] = if self.nesting > 0 {
                &[' ', '\t', '\x0c', '\n', '\r']
            } else {
                &[' ', '\t', '\x0c']
            };
            let trimmed = rest.trim_start_matches(blanks);
            self.at += rest.len() - trimmed.len();
            if let Some(joined) =
                ["\\\n", "\\\r\n"].iter().find(|joined| trimmed.starts_with(**joined))
            {
                self.at += joined.len();
            } else if self.nesting > 0 && trimmed.starts_with('#') {
                self.at += trimmed.find(['\n', '\r']).unwrap_or(trimmed.len());
            } else {
                return;
            }
        }
    }

    /// Rejects an indented line. `ast.literal_eval` skips blanks only on the first line.
    fn check_indentation(&self) -> Parsed<()> {
        let before = self.text[..self.at].trim_start_matches([' ', '\t']);
        match before.rsplit(['\n', '\r', '\x0c']).next() {
            Some(blanks) if blanks.contains([' ', '\t']) => self.error("an indented line"),
            _ => Ok(()),
        }
    }

    /// Checks that only blanks, newlines and comments follow the value.
    fn end(&mut self) -> Parsed<()> {
        self.skip_blanks();
        match self.peek() {
            None if !self.text.trim_end_matches([' ', '\n']).ends_with('\\') => Ok(()),
            None => self.error("a backslash at the end: remove it"),
            Some(_) => self.error("text after the end: pad with spaces"),
        }
    }

    fn value(&mut self, depth: usize) -> Parsed<Literal> {
        if depth > DEPTH_MAX {
            return self.error(format!("nested deeper than {DEPTH_MAX}"));
        }
        self.skip_blanks();
        match self.peek() {
            Some('(') => self.tuple(depth),
            Some('[') => Ok(Literal::List(self.items(']', depth)?.0)),
            Some('{') => self.dict(depth),
            Some('+' | '-') => self.signed(depth),
            Some('0'..='9' | '.') => self.number(),
            Some('"' | '\'') => self.strings(),
            Some(first) if first.is_ascii_alphabetic() => self.word(),
            _ => self.unexpected("a value"),
        }
    }

    /// Returns the items up to the closing bracket, and whether a comma follows the last one.
    fn items(&mut self, close: char, depth: usize) -> Parsed<(Vec<Literal>, bool)> {
        self.at += 1;
        self.nesting += 1;
        let mut items = Vec::new();
        let mut comma = false;
        loop {
            self.skip_blanks();
            if self.peek() == Some(close) {
                break;
            }
            if !items.is_empty() && !comma {
                return self.unexpected(&format!("`,` or `{close}`"));
            }
            items.push(self.value(depth + 1)?);
            self.skip_blanks();
            comma = self.peek() == Some(',');
            self.at += usize::from(comma);
        }
        self.at += 1;
        self.nesting -= 1;
        Ok((items, comma))
    }

    /// Parses a tuple. One value in parentheses without a comma is not a tuple but that value.
    fn tuple(&mut self, depth: usize) -> Parsed<Literal> {
        let (mut items, comma) = self.items(')', depth)?;
        match items.len() {
            1 if !comma => Ok(items.remove(0)),
            _ => Ok(Literal::Tuple(items)),
        }
    }

    fn dict(&mut self, depth: usize) -> Parsed<Literal> {
        self.at += 1;
        self.nesting += 1;
        let mut items = Vec::new();
        loop {
            self.skip_blanks();
            if self.peek() == Some('}') {
                break;
            }
            let key = self.value(depth + 1)?;
            if !key.is_hashable() {
                return self.error(format!("{key} can't be a key of a dict"));
            }
            self.skip_blanks();
            if self.peek() != Some(':') {
                return self.unexpected("`:`");
            }
            self.at += 1;
            items.push((key, self.value(depth + 1)?));
            self.skip_blanks();
            match self.peek() {
                Some(',') => self.at += 1,
                Some('}') => {}
                _ => return self.unexpected("`,` or `}`"),
            }
        }
        self.at += 1;
        self.nesting -= 1;
        Ok(Literal::Dict(items))
    }

    fn signed(&mut self, depth: usize) -> Parsed<Literal> {
        let negative = self.peek() == Some('-');
        self.at += 1;
        // Parentheses around the number are allowed, but a second sign inside them is not.
        let rest = self.rest().trim_start_matches(|c: char| c == '(' || c.is_ascii_whitespace());
        if rest.starts_with(['+', '-', '#', '\\']) {
            return self.unexpected("a number");
        }
        match self.value(depth + 1)? {
            Literal::Int(number) if negative => Ok(Literal::Int(-number)),
            Literal::Float(number) if negative => Ok(Literal::Float(-number)),
            number @ (Literal::Int(_) | Literal::Float(_)) => Ok(number),
            _ => self.error("a sign must be followed by a number"),
        }
    }

    fn number(&mut self) -> Parsed<Literal> {
        let rest = self.rest();
        let digits = |text: &'a str| {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
            &text[..end.unwrap_or(text.len())]
        };
        let mut word = digits(rest);
        // The exponent may have a sign, as in `1e-3`.
        let radix = word.get(..2).map(str::to_ascii_lowercase);
        let is_hex = radix.as_deref() == Some("0x");
        if !is_hex && word.ends_with(['e', 'E']) && rest[word.len()..].starts_with(['+', '-']) {
            word = &rest[..word.len() + 1 + digits(&rest[word.len() + 1..]).len()];
        }
        let value = match radix.as_deref() {
            Some("0x") => integer(&word[2..], 16, true),
            Some("0o") => integer(&word[2..], 8, true),
            Some("0b") => integer(&word[2..], 2, true),
            _ => self.decimal(word),
        };
        match value {
            Some(value) => {
                self.at += word.len();
                Ok(value)
            }
            None => self.error(format!("`{word}` is not a number")),
        }
    }

    fn decimal(&self, word: &str) -> Option<Literal> {
        let whole = if self.long_suffix { word.strip_suffix('L').unwrap_or(word) } else { word };
        if whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_') {
            // Python rejects `03`, but accepts `00`.
            let zeros =
                whole.starts_with('0') && whole.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
            return if zeros { None } else { integer(whole, 10, false) };
        }
        let plain = without_underscores(word, false)?;
        let shape = plain
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        plain.parse().ok().filter(|_| shape).map(Literal::Float)
    }

    fn word(&mut self) -> Parsed<Literal> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = &rest[..end];
        if rest[end..].starts_with(['"', '\'']) {
            return self.strings();
        }
        let literal = match word {
            "None" => Literal::None,
            "True" => Literal::Bool(true),
            "False" => Literal::Bool(false),
            _ => return self.error(not_a_literal(word, rest)),
        };
        self.at += end;
        Ok(literal)
    }

    /// Parses one or more adjacent strings, which Python joins.
    fn strings(&mut self) -> Parsed<Literal> {
        let mut whole = self.string()?;
        loop {
            self.skip_blanks();
            let rest = self.rest();
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            if !rest[letters..].starts_with(['"', '\'']) {
                return Ok(whole);
            }
            match (&mut whole, self.string()?) {
                (Literal::Str(whole), Literal::Str(next)) => whole.push_str(&next),
                (Literal::Bytes(whole), Literal::Bytes(next)) => whole.extend(next),
                _ => return self.error("strings and bytes can't be joined"),
            }
        }
    }

    fn string(&mut self) -> Parsed<Literal> {
        let rest = self.rest();
        let prefix = &rest[..rest.find(['"', '\'']).unwrap_or(0)];
        let lower = prefix.to_ascii_lowercase();
        let (raw, bytes) = match lower.as_str() {
            "" | "u" => (false, false),
            "r" => (true, false),
            "b" => (false, true),
            "br" | "rb" => (true, true),
            _ => return self.error(format!("`{prefix}` is not a known prefix of a string")),
        };
        self.at += prefix.len();
        let quote = self.peek().unwrap_or('"');
        let triple = [quote; 3].iter().collect::<String>();
        let close = if self.rest().starts_with(&triple) { triple } else { quote.to_string() };
        self.at += close.len();
        let mut text = String::new();
        while !self.rest().starts_with(&close) {
            match self.peek() {
                None => return self.error("the string does not end"),
                Some('\n' | '\r') if close.len() == 1 => {
                    return self.error("the string does not end on its line");
                }
                Some('\\') => self.escape(raw, bytes, &mut text)?,
                Some('\r') => {
                    // Python reads every kind of line ending as a newline.
                    self.at += if self.rest().starts_with("\r\n") { 2 } else { 1 };
                    text.push('\n');
                }
                Some(c) if bytes && !c.is_ascii() => {
                    return self.error("bytes may contain ASCII only");
                }
                Some(c) => {
                    text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        self.at += close.len();
        Ok(if bytes {
            Literal::Bytes(text.chars().map(|c| c as u8).collect()) // each is below 256
        } else {
            Literal::Str(text)
        })
    }

    /// Parses an escape sequence.
    fn escape(&mut self, raw: bool, bytes: bool, text: &mut String) -> Parsed<()> {
        let Some(next) = self.rest()[1..].chars().next() else {
            return self.error("the string does not end");
        };
        if raw {
            text.push('\\');
            text.push(next);
            self.at += 1 + next.len_utf8();
            return Ok(());
        }
        let simple = match next {
            '\n' => Some(None),
            '\r' => {
                self.at += if self.rest()[1..].starts_with("\r\n") { 3 } else { 2 };
                return Ok(());
            }
            '\\' | '\'' | '"' => Some(Some(next)),
            'a' => Some(Some('\x07')),
            'b' => Some(Some('\x08')),
            'f' => Some(Some('\x0c')),
            'n' => Some(Some('\n')),
            'r' => Some(Some('\r')),
            't' => Some(Some('\t')),
            'v' => Some(Some('\x0b')),
            _ => None,
        };
        if let Some(meant) = simple {
            text.extend(meant);
            self.at += 2;
            return Ok(());
        }
        let (digits, radix) = match next {
            'x' => (2, 16),
            'u' if !bytes => (4, 16),
            'U' if !bytes => (8, 16),
            '0'..='7' => {
                let rest = &self.rest()[1..];
                let len =
                    rest.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
                return self.code(1, len, 8, text);
            }
            'N' if !bytes => return self.error("characters by name (`\\N`) are not supported"),
            _ => {
                // Python keeps the backslash of an unknown escape.
                text.push('\\');
                self.at += 1;
                return Ok(());
            }
        };
        self.code(2, digits, radix, text)
    }

    fn code(&mut self, skip: usize, digits: usize, radix: u32, text: &mut String) -> Parsed<()> {
        let code = self.rest().get(skip..skip + digits).filter(|code| !code.starts_with('+'));
        let meant =
            code.and_then(|code| u32::from_str_radix(code, radix).ok()).and_then(char::from_u32);
        match meant {
            Some(c) => {
                text.push(c);
                self.at += skip + digits;
                Ok(())
            }
            None => self.error("the escape is not a valid character"),
        }
    }
}

/// The longest value that a message repeats, in bytes.
const QUOTED_MAX: usize = 40;

/// Builds the message for a word at the start of `rest` that is not a literal. NumPy 2 prints its
/// scalars as `np.int64(2)`, so that is what the `repr` of a shape or a dict with them contains.
fn not_a_literal(word: &str, rest: &str) -> String {
    let name = rest[word.len()..].strip_prefix('.').unwrap_or_default();
    let end = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    let (name, behind) = name.split_at(end);
    let value = behind.strip_prefix('(').and_then(|inner| Some(inner.split_once(')')?.0));
    match (word, name, value) {
        ("np" | "numpy", "True_" | "False_", _) => {
            let plain = name.trim_end_matches('_');
            format!(
                "`{word}.{name}` is NumPy 2's repr, not a literal: write `{plain}`, as bool() does"
            )
        }
        ("np" | "numpy", _, Some(value)) if !name.is_empty() && value.len() <= QUOTED_MAX => {
            let convert = match name.trim_start_matches('u').get(..3) {
                Some("int" | "lon") => "int()",
                Some("flo") => "float()",
                Some("str") => "str()",
                _ => ".item()",
            };
            format!(
                "`{word}.{name}({value})` is NumPy 2's repr, not a literal: write `{value}`, \
                 as {convert} does"
            )
        }
        ("true" | "false" | "null", ..) => {
            let plain = match word {
                "true" => "True",
                "false" => "False",
                _ => "None",
            };
            format!("`{word}` is not a literal of Python: write `{plain}`")
        }
        _ => format!("`{word}` is not a literal"),
    }
}

fn integer(digits: &str, radix: u32, after_prefix: bool) -> Option<Literal> {
    let plain = without_underscores(digits, after_prefix)?;
    let digits_only = !plain.is_empty() && plain.chars().all(|c| c.is_digit(radix));
    digits_only.then(|| i128::from_str_radix(&plain, radix).ok()).flatten().map(Literal::Int)
}

/// Removes underscores. Python allows single ones between digits and, if `leading`, after `0x`.
fn without_underscores(word: &str, leading: bool) -> Option<String> {
    let inner = if leading { word.strip_prefix('_').unwrap_or(word) } else { word };
    let misplaced = inner.starts_with('_') || inner.ends_with('_') || inner.contains("__");
    let beside_point =
        ["_.", "._", "_e", "_E", "e_", "E_"].iter().any(|pair| !leading && inner.contains(pair));
    (!misplaced && !beside_point).then(|| inner.replace('_', ""))
}
