//! Values that a template takes from a file's name: `"{w}"` is what the named group `w` of its
//! regular expression matched.

use regex::Captures;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// A value that is known, or a text with placeholders for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Templated<T> {
    /// The value.
    Value(T),
    /// A text in which the name is still to be filled in.
    Pattern(String),
}

/// As it stands in TOML: a number, or text.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a number or a text in quotes")]
enum Written {
    Number(i64),
    Text(String),
}

impl<T> Templated<T> {
    /// Reads a value that is a number unless it has placeholders.
    pub(crate) fn number<'de, D: Deserializer<'de>>(
        from: D,
        of: impl FnOnce(i64) -> Result<T, String>,
    ) -> Result<Self, D::Error> {
        match Written::deserialize(from)? {
            Written::Number(number) => of(number).map(Templated::Value).map_err(D::Error::custom),
            Written::Text(text) if has_placeholder(&text) => Ok(Templated::Pattern(text)),
            Written::Text(text) => Err(D::Error::custom(format!(
                "{text:?} is not a number, and has no placeholder such as {{w}} either"
            ))),
        }
    }

    /// The names of the groups that it takes its value from.
    pub(crate) fn groups(&self) -> Vec<&str> {
        match self {
            Templated::Value(_) => Vec::new(),
            Templated::Pattern(text) => Self::groups_of(text).collect(),
        }
    }

    /// The same of a text that has placeholders in any case.
    pub(crate) fn groups_of(text: &str) -> impl Iterator<Item = &str> {
        placeholders(text).map(|(_, group)| group)
    }

    /// The value for a file's name.
    pub(crate) fn fill(
        &self,
        captures: Option<&Captures<'_>>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, String>
    where
        T: Clone,
    {
        match self {
            Templated::Value(value) => Ok(value.clone()),
            Templated::Pattern(text) => {
                // What is filled in may look like a placeholder, and stays as it is.
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

/// Each `{group}` of a text, with and without its braces.
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
