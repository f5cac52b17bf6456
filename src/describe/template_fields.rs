//! Placeholders in templates: `"{w}"` stands for the text that the named group `w` of the
//! template's regular expression matched in a file's name.

use crate::describe::DescribeError;
use regex::Captures;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A value, or a text with placeholders from which the value is parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Templated<T> {
    /// The value.
    Value(T),
    /// A text with placeholders.
    Pattern(String),
}

/// The form of the value in TOML: a number or a text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a text in quotes")]
enum Written {
    Number(i64),
    Text(String),
}

impl<T> Templated<T> {
    /// Deserializes a number, or a text with placeholders.
    pub(crate) fn number<'de, D: Deserializer<'de>>(
        from: D,
        of: impl FnOnce(i64) -> Result<T, DescribeError>,
    ) -> Result<Self, D::Error> {
        match Written::deserialize(from)? {
            Written::Number(number) => of(number).map(Templated::Value).map_err(D::Error::custom),
            Written::Text(text) if has_placeholder(&text) => Ok(Templated::Pattern(text)),
            Written::Text(text) => Err(D::Error::custom(format!(
                "{text:?} is neither a number nor a text with a placeholder such as {{w}}"
            ))),
        }
    }

    /// Returns the names of the groups that the value depends on.
    pub(crate) fn groups(&self) -> Vec<&str> {
        match self {
            Templated::Value(_) => Vec::new(),
            Templated::Pattern(text) => Self::groups_of(text).collect(),
        }
    }

    /// Returns the names of all groups in a text with placeholders.
    pub(crate) fn groups_of(text: &str) -> impl Iterator<Item = &str> {
        placeholders(text).map(|(_, group)| group)
    }

    /// Returns the value for a file's name: replaces all placeholders and parses the result.
    pub(crate) fn fill(
        &self,
        captures: Option<&Captures<'_>>,
        parse: impl FnOnce(&str) -> Result<T, DescribeError>,
    ) -> Result<T, DescribeError>
    where
        T: Clone,
    {
        match self {
            Templated::Value(value) => Ok(value.clone()),
            Templated::Pattern(text) => {
                // The inserted text is not searched, because it may look like a placeholder.
                let (mut filled, mut rest) = (String::new(), text.as_str());
                for (placeholder, group) in placeholders(text) {
                    let (before, after) = rest.split_once(placeholder).unwrap_or((rest, ""));
                    let matched = captures.and_then(|captures| captures.name(group));
                    filled.extend([before, matched.map_or("", |it| it.as_str())]);
                    rest = after;
                }
                filled.push_str(rest);
                parse(&filled)
            }
        }
    }
}

pub(crate) fn has_placeholder(text: &str) -> bool {
    placeholders(text).next().is_some()
}

/// Returns each `{group}` of a text, with and without its braces.
fn placeholders(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let start = rest.find('{')?;
        let end = start + rest[start..].find('}')?;
        let found = (&rest[start..=end], &rest[start + 1..end]);
        rest = &rest[end + 1..];
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled() {
        let regex = regex::Regex::new(r"^(?<w>\d+)x(?<h>\d+)$").unwrap();
        let captures = regex.captures("640x480");
        let fill = Templated::<String>::Pattern("{w}-{h}-{w}".to_owned());
        assert_eq!(fill.groups(), ["w", "h", "w"]);
        let filled = fill.fill(captures.as_ref(), |text| Ok(text.to_owned()));
        assert_eq!(filled.unwrap(), "640-480-640");
        let odd = regex::Regex::new("^(?<w>.*)x(?<h>.*)$").unwrap();
        let filled = fill.fill(odd.captures("{h}x{w}").as_ref(), |text| Ok(text.to_owned()));
        assert_eq!(filled.unwrap(), "{h}-{w}-{h}");
        assert!(!has_placeholder("{") && !has_placeholder("}{") && has_placeholder("{}"));
    }
}
