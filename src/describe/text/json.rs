//! JSON sidecars: values with their place in the text, so that a message can quote the line.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use crate::describe::text::Metadata;
use crate::describe::text::error::DescribeError;
use crate::describe::text::fields::on_line;
use crate::describe::text::python_json;
use crate::text::serde_errors::humanize;

/// Maximum number of values, because a value needs far more memory than its text.
const VALUES_MAX: usize = 1 << 20;

/// Every whole number below this one is exact as a 64-bit float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Returns the value of a number such as `3.0`, which some programs write for whole numbers.
pub(crate) fn whole_number(number: &Value) -> Option<i64> {
    let number = number.as_f64().filter(|number| number.fract() == 0.0)?;
    (number.abs() < WHOLE_MAX).then_some(number as i64)
}

/// A parsed JSON text (RFC 8259), or one in the notation of Python.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    text: Cow<'a, str>,
    root: Value,
}

impl<'a> Json<'a> {
    /// Parses a text.
    ///
    /// # Errors
    /// The text is not JSON or has too many values. The message names the line.
    pub(crate) fn read(text: &'a str) -> Result<Self, DescribeError> {
        if text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > VALUES_MAX {
            return Err(format!(
                "it has more than {VALUES_MAX} values: leave out what is not needed"
            )
            .into());
        }
        if let Ok(root) = serde_json::from_str(text) {
            return Ok(Json { text: text.into(), root });
        }
        let text = python_json::to_json(text);
        match serde_json::from_str(&text) {
            Ok(root) => Ok(Json { text, root }),
            Err(error) => {
                let message = error.to_string();
                let message = match message.rsplit_once(" at line ") {
                    _ if error.is_eof() => "the text is incomplete: it ends here",
                    Some((message, _)) => message,
                    None => &message,
                };
                let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
                Err(on_line(error.line(), line, humanize(message)))
            }
        }
    }

    /// Returns the outermost value.
    pub(crate) fn root(&self) -> Node<'_> {
        Node { json: self, path: Vec::new(), value: &self.root }
    }

    /// Returns the whole object as metadata; empty metadata if the text is not an object.
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

/// A step from a value to one inside it.
#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> Node<'a> {
    /// Returns the JSON value.
    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    /// Returns the value of this key, unless it is null.
    pub(crate) fn get(&self, key: &'a str) -> Option<Self> {
        let value = self.value.get(key).filter(|value| !value.is_null())?;
        Some(self.inner(Step::Key(key), value))
    }

    /// Returns the value of this key.
    ///
    /// # Errors
    /// There is no such key, or its value is null.
    pub(crate) fn need(&self, key: &'a str) -> Result<Self, DescribeError> {
        self.get(key).ok_or_else(|| self.error(format!("it has no `{key}`: add it")))
    }

    /// Returns the values of a list.
    pub(crate) fn items(&self) -> Result<Vec<Self>, DescribeError> {
        let list = self.value.as_array().ok_or_else(|| self.error("the value must be a list"))?;
        let items = list.iter().enumerate();
        Ok(items.map(|(at, value)| self.inner(Step::Item(at), value)).collect())
    }

    /// Returns the value as text.
    pub(crate) fn text(&self) -> Result<&'a str, DescribeError> {
        self.value.as_str().ok_or_else(|| self.error("the value must be a text in quotes"))
    }

    /// Returns the value as a whole number, 0 or more.
    pub(crate) fn count(&self) -> Result<u64, DescribeError> {
        let whole = || whole_number(self.value).and_then(|count| u64::try_from(count).ok());
        let count = self.value.as_u64().or_else(whole);
        count.ok_or_else(|| self.error("the value must be a whole number, 0 or more"))
    }

    /// Returns the value as a whole number, 1 or more.
    pub(crate) fn length(&self) -> Result<i64, DescribeError> {
        let length = self.value.as_i64().or_else(|| whole_number(self.value));
        let length = length.filter(|length| *length > 0);
        length.ok_or_else(|| self.error("the value must be a whole number, 1 or more"))
    }

    /// Returns the value as a number above 0.
    pub(crate) fn positive(&self) -> Result<f64, DescribeError> {
        let number = self.value.as_f64().filter(|number| *number > 0.0);
        number.ok_or_else(|| self.error("the value must be a number above 0"))
    }

    /// Returns a finite number, which may also be written as a text in quotes.
    pub(crate) fn lenient_number(&self) -> Option<f64> {
        let text = || self.value.as_str().and_then(|text| text.trim().parse().ok());
        self.value.as_f64().or_else(text).filter(|number: &f64| number.is_finite())
    }

    /// Returns a message about this value.
    #[must_use]
    pub(crate) fn error(&self, what: impl Into<DescribeError>) -> DescribeError {
        if self.path.is_empty() {
            return what.into();
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
        on_line(line_of(&self.json.text, &self.path), &shown, what)
    }

    fn inner(&self, step: Step<'a>, value: &'a Value) -> Self {
        let mut path = self.path.clone();
        path.push(step);
        Node { json: self.json, path, value }
    }
}

/// Returns the line number, from 1, of the value at `path`. The text must be valid JSON that
/// contains this value.
fn line_of(text: &str, path: &[Step<'_>]) -> usize {
    let mut scan = Scan { text: text.as_bytes(), at: 0 };
    for step in path {
        scan.skip_blanks();
        match step {
            Step::Key(key) => scan.enter_object(key),
            Step::Item(at) => scan.enter_list(*at),
        }
    }
    1 + text.bytes().take(scan.at).filter(|byte| *byte == b'\n').count()
}

/// A cursor in a text that must be valid JSON. In any other text it stays within bounds.
struct Scan<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_blanks(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Moves from an object's brace to the value of this key; to the last one if the key is
    /// repeated, because that one is effective.
    fn enter_object(&mut self, key: &str) {
        let mut found = self.at;
        while matches!(self.byte(), Some(b'{' | b',')) {
            self.at += 1;
            self.skip_blanks();
            let from = self.at;
            self.string();
            let written = self.text.get(from..self.at).unwrap_or_default();
            let is_key = serde_json::from_slice::<String>(written).is_ok_and(|it| it == key);
            self.skip_blanks();
            self.at += 1; // the colon
            self.skip_blanks();
            if is_key {
                found = self.at;
            }
            self.value();
            self.skip_blanks();
        }
        self.at = found;
    }

    /// Moves from a list's bracket to one of its values.
    fn enter_list(&mut self, item: usize) {
        for _ in 0..item {
            self.at += 1; // the bracket or comma
            self.skip_blanks();
            self.value();
            self.skip_blanks();
        }
        self.at += 1;
        self.skip_blanks();
    }

    /// Moves past a string in quotes.
    fn string(&mut self) {
        self.at += 1;
        while let Some(byte) = self.byte() {
            self.at += if byte == b'\\' { 2 } else { 1 };
            if byte == b'"' {
                return;
            }
        }
    }

    /// Moves past a value and everything inside it.
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
    fn messages_name_the_line_of_a_value() {
        let json = Json::read(TEXT).unwrap();
        let root = json.root();
        let list = root.need("a").unwrap().need("x\"}").unwrap();
        let lines: Vec<String> =
            list.items().unwrap().iter().map(|it| it.error("no").to_string()).collect();
        assert_eq!(
            lines,
            [
                "line 2, `a.x\"}[0] = 1`: no",
                "line 2, `a.x\"}[1]`: no",
                "line 3, `a.x\"}[2] = \"two\"`: no",
                "line 4, `a.x\"}[3] = 3.5`: no",
            ]
        );
        assert_eq!(root.need("b").unwrap().error("no").to_string(), "line 7, `b = 2`: no");
        assert_eq!(root.need("c").unwrap_err().to_string(), "it has no `c`: add it");
        assert_eq!(
            list.need("d").unwrap_err().to_string(),
            "line 2, `a.x\"}`: it has no `d`: add it"
        );
        assert!(list.items().unwrap()[3].count().unwrap_err().to_string().ends_with("0 or more"));
    }

    #[test]
    fn invalid_json_is_rejected_with_its_line() {
        let torn = Json::read(&TEXT[..37]).unwrap_err().to_string();
        assert_eq!(torn, "line 3, `\"two`: the text is incomplete: it ends here");
        let deep = Json::read(&"[".repeat(1000)).unwrap_err().to_string();
        assert!(deep.ends_with("nested too deeply"), "{deep}");
        let many = format!("[{}0]", "0,".repeat(VALUES_MAX));
        assert!(Json::read(&many).unwrap_err().to_string().contains("more than 1048576 values"));
        assert!(Json::read("[1]").unwrap().into_metadata().is_empty());
    }
}
