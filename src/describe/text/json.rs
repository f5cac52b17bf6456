//! JSON sidecars: values that know where they stand, so that a message can point at the line.

use std::fmt::Write as _;

use serde_json::Value;

use crate::describe::dump::Metadata;
use crate::describe::text::fields::on_line;
use crate::text::serde_errors::humanize;

/// The most values that are read: in memory, each takes far more than in the text.
const VALUES_MAX: usize = 1 << 20;

/// A JSON text (RFC 8259), read.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    text: &'a str,
    root: Value,
}

impl<'a> Json<'a> {
    /// Reads a text. The error says line and remedy.
    pub(crate) fn read(text: &'a str) -> Result<Self, String> {
        if text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > VALUES_MAX {
            return Err(format!(
                "it has more than {VALUES_MAX} values: leave out what is not needed"
            ));
        }
        match serde_json::from_str(text) {
            Ok(root) => Ok(Json { text, root }),
            Err(error) => {
                let message = error.to_string();
                let message = match message.rsplit_once(" at line ") {
                    _ if error.is_eof() => "the text ends here, in the middle",
                    Some((message, _)) => message,
                    None => &message,
                };
                let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
                Err(on_line(error.line(), line, &humanize(message)))
            }
        }
    }

    /// The outermost value.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { json: self, path: Vec::new(), value: &self.root }
    }

    /// All of it, to be kept; nothing where it is no object.
    pub(crate) fn into_metadata(self) -> Metadata {
        match self.root {
            Value::Object(fields) => fields,
            _ => Metadata::new(),
        }
    }
}

/// A value in a JSON text.
#[derive(Debug, Clone)]
pub(crate) struct Node<'a> {
    json: &'a Json<'a>,
    path: Vec<Step<'a>>,
    value: &'a Value,
}

/// From a value to one inside it.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> Node<'a> {
    /// The value itself.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// The value under this key, unless it is null.
    pub(crate) fn get(&self, key: &'a str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.inner(Step::Key(key), value))
    }

    /// The same, where nothing can be done without it.
    pub(crate) fn need(&self, key: &'a str) -> Result<Self, String> {
        self.get(key).ok_or_else(|| self.error(&format!("it has no `{key}`: add it")))
    }

    /// The values of a list.
    pub(crate) fn items(&self) -> Result<Vec<Self>, String> {
        let list = self.value.as_array().ok_or_else(|| self.error("that is not a list"))?;
        let items = list.iter().enumerate();
        Ok(items.map(|(at, value)| self.inner(Step::Item(at), value)).collect())
    }

    /// The value as text.
    pub(crate) fn text(&self) -> Result<&'a str, String> {
        self.value.as_str().ok_or_else(|| self.error("that is not a text in quotes"))
    }

    /// The value as a whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, String> {
        let count = self.value.as_u64();
        count.ok_or_else(|| self.error("that is not a whole number, 0 or more"))
    }

    /// The value as a whole number of one or more.
    pub(crate) fn length(&self) -> Result<i64, String> {
        let length = self.value.as_i64().filter(|length| *length > 0);
        length.ok_or_else(|| self.error("that is not a whole number, 1 or more"))
    }

    /// The value as a number above 0.
    pub(crate) fn positive(&self) -> Result<f64, String> {
        let number = self.value.as_f64().filter(|number| *number > 0.0);
        number.ok_or_else(|| self.error("that is not a number above 0"))
    }

    /// A message about this value.
    #[must_use]
    pub(crate) fn error(&self, what: &str) -> String {
        if self.path.is_empty() {
            return what.to_owned();
        }
        let mut shown = String::new();
        for step in &self.path {
            // Writing to a string can't fail.
            let _ = match step {
                Step::Key(key) if shown.is_empty() => write!(shown, "{key}"),
                Step::Key(key) => write!(shown, ".{key}"),
                Step::Item(at) => write!(shown, "[{at}]"),
            };
        }
        if !self.value.is_object() && !self.value.is_array() {
            let _ = write!(shown, " = {}", self.value);
        }
        on_line(line_of(self.json.text, &self.path), &shown, what)
    }

    fn inner(&self, step: Step<'a>, value: &'a Value) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Node { json: self.json, path, value }
    }
}

/// The number of the line, from 1, on which the value at the end of `path` begins, in a text that
/// is known to be JSON and to have it.
fn line_of(text: &str, path: &[Step<'_>]) -> usize {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    for step in path {
        scan.blanks();
        match step {
            Step::Key(key) => scan.enter_object(key),
            Step::Item(at) => scan.enter_list(*at),
        }
    }
    1 + text.bytes().take(scan.at).filter(|byte| *byte == b'\n').count()
}

/// A place in a text that is known to be JSON. In any other it stays within.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// From an object's brace to the value under this key; the last, as it is the one that counts.
    fn enter_object(&mut self, key: &str) {
        let mut found = self.at;
        while matches!(self.byte(), Some(b'{' | b',')) {
            self.at += 1;
            self.blanks();
            let from = self.at;
            self.string();
            let written = self.text.get(from..self.at).unwrap_or_default();
            let is_key = serde_json::from_slice::<String>(written).is_ok_and(|it| it == key);
            self.blanks();
            self.at += 1; // the colon
            self.blanks();
            if is_key {
                found = self.at;
            }
            self.value();
            self.blanks();
        }
        self.at = found;
    }

    /// From a list's bracket to one of its values.
    fn enter_list(&mut self, item: usize) {
        for _ in 0..item {
            self.at += 1; // the bracket or comma
            self.blanks();
            self.value();
            self.blanks();
        }
        self.at += 1;
        self.blanks();
    }

    /// Behind a text in quotes.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    /// Behind a value, with all in it.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            match byte {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' | b',' if depth == 0 => return,
                b'}' | b']' => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => self.at += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{
  "a": {"x\"}": [1, [2],
      "two",
      3.5]
  },
  "b": 1, "b":
     2,
  "c": null
}"#;

    #[test]
    fn values_know_their_lines() {
        let json = Json::read(TEXT).unwrap();
        let root = json.root();
        let list = root.need("a").unwrap().need("x\"}").unwrap();
        let lines: Vec<String> = list.items().unwrap().iter().map(|it| it.error("no")).collect();
        assert_eq!(
            lines,
            [
                "line 2, `a.x\"}[0] = 1`: no",
                "line 2, `a.x\"}[1]`: no",
                "line 3, `a.x\"}[2] = \"two\"`: no",
                "line 4, `a.x\"}[3] = 3.5`: no",
            ]
        );
        assert_eq!(root.need("b").unwrap().error("no"), "line 7, `b = 2`: no");
        assert_eq!(root.need("c").unwrap_err(), "it has no `c`: add it");
        assert_eq!(list.need("d").unwrap_err(), "line 2, `a.x\"}`: it has no `d`: add it");
        assert!(list.items().unwrap()[3].count().unwrap_err().ends_with("0 or more"));
    }

    #[test]
    fn what_is_no_json_is_refused_by_its_line() {
        let torn = Json::read(&TEXT[..37]).unwrap_err();
        assert_eq!(torn, "line 3, `\"two`: the text ends here, in the middle");
        let deep = Json::read(&"[".repeat(1000)).unwrap_err();
        assert!(deep.ends_with("nested too deeply"), "{deep}");
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert!(Json::read(&many).unwrap_err().contains("more than 1048576 values"));
        assert!(Json::read("[1]").unwrap().into_metadata().is_empty());
    }
}
