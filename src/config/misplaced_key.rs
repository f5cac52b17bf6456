//! Keys of a configuration that are in the wrong table: which table has such a key.

use serde::de::DeserializeOwned;

use crate::config::{Config, DropDir};
use crate::describe::Template;

/// A table of a configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Top,
    Drop,
    Template,
}

impl Table {
    const ALL: [Table; 3] = [Table::Top, Table::Drop, Table::Template];

    /// Returns serde's message about a key that the table does not have, which lists its keys.
    fn refusal(self) -> String {
        fn of<T: DeserializeOwned>() -> String {
            let unknown = toml::from_str::<T>("'' = 0").err();
            unknown.map_or_else(String::new, |error| error.message().to_owned())
        }
        match self {
            Table::Top => of::<Config>(),
            Table::Drop => of::<DropDir>(),
            Table::Template => of::<Template>(),
        }
    }

    /// Returns where in the text the keys of this table are, if the key is in table `from`.
    fn place(self, from: Option<Table>) -> &'static str {
        match (self, from) {
            (Table::Top, _) => "at the top, above the first [[drop]]",
            (Table::Drop, Some(Table::Template)) => {
                "under [[drop]], above its first [[drop.template]]"
            }
            (Table::Drop, _) => "under [[drop]]",
            (Table::Template, _) => "under [[drop.template]]",
        }
    }
}

/// Returns the message about an unknown key that another table has. `message` is that of serde.
pub(super) fn misplaced_key(message: &str) -> Option<String> {
    let (quoted, known) = message.strip_prefix("unknown field ")?.split_once(", expected ")?;
    let key = quoted.trim_matches('`');
    if key == "template" {
        return Some("[[template]] belongs to a [[drop]]: write [[drop.template]]".to_owned());
    }
    let lists = Table::ALL.map(|table| (table, table.refusal()));
    let keys = |text: &str| text.split_once(", expected ").map(|it| it.1.to_owned());
    let from = lists.iter().find(|(_, text)| keys(text).as_deref() == Some(known)).map(|it| it.0);
    let places: Vec<_> = lists
        .iter()
        .filter(|(table, text)| Some(*table) != from && text.contains(quoted))
        .map(|(table, _)| table.place(from))
        .collect();
    (!places.is_empty()).then(|| format!("{quoted} belongs {}", places.join(" or ")))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::describe::keys::KEYS;
    use crate::describe::lookalike_keys::without_effect;

    /// A manifest with a key of the configuration gets a remark, unless the key is also one of a
    /// manifest, or a word that people use for their metadata.
    #[test]
    fn manifests_do_not_have_the_keys_of_the_configuration() {
        let words = ["archive", "drop", "history", "ignore", "path", "template", "workers"];
        let values = ["keep", "auto", "numpy", "none"].map(serde_json::Value::from);
        for table in Table::ALL {
            let refusal = table.refusal();
            let keys: Vec<_> = refusal.split('`').skip(3).step_by(2).collect();
            assert!(keys.len() > 5, "{refusal}");
            for key in keys {
                let place = values.iter().find_map(|value| without_effect(key, value));
                let is_other = words.contains(&key) || KEYS.contains(&key);
                assert_ne!(is_other, place.is_some(), "{key}");
                let at = table.place(None).split(',').next().unwrap();
                assert!(place.is_none_or(|place| place.contains(at)), "{key}: {place:?}");
            }
        }
    }

    #[test]
    fn a_key_in_the_wrong_table() {
        let drop = "[[drop]]\npath = '/in'\n";
        let template = "[[drop.template]]\nmatch = '*.raw'\ndtype = '<f4'\nshape = [4]\n";
        for (text, words) in [
            (format!("source = 'remove'\n{drop}"), "line 1: `source` belongs under [[drop]]"),
            (format!("quiet = '1s'\n{drop}"), "`quiet` belongs under [[drop]]"),
            (format!("path = '/in'\n{drop}"), "`path` belongs under [[drop]]"),
            (format!("match = '*'\n{drop}"), "`match` belongs under [[drop.template]]"),
            (
                format!("output = '/out'\n{drop}"),
                "`output` belongs under [[drop]] or under [[drop.template]]",
            ),
            (
                format!("{drop}workers = 2\n"),
                "`workers` belongs at the top, above the first [[drop]]",
            ),
            (format!("{drop}dtype = '<f4'\n"), "`dtype` belongs under [[drop.template]]"),
            (
                format!("{drop}{template}source = 'remove'\n"),
                "`source` belongs under [[drop]], above its first [[drop.template]]",
            ),
            (format!("{drop}{template}state_dir = '/s'\n"), "`state_dir` belongs at the top"),
            (
                format!("{drop}[[template]]\nmatch = '*'\n"),
                "[[template]] belongs to a [[drop]]: write [[drop.template]]",
            ),
            (format!("{drop}[template]\nmatch = '*'\n"), "write [[drop.template]]"),
            // No table has such a key.
            (format!("sourc = 'remove'\n{drop}"), "unknown key `sourc`: the keys here are"),
            (format!("[drops]\nx = 1\n{drop}"), "unknown key `drops`: the keys here are"),
        ] {
            let error = Config::parse(&text, Path::new("npyd.toml"), Path::new("/etc"));
            let error = error.unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
