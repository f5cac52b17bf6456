//! Validates configured paths: rejects empty ones, and an unexpanded `~` or `$NAME`.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error};

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    let text = path.to_string_lossy();
    if text.is_empty() {
        return Err(D::Error::custom(
            "the path is empty: write the path of a directory, or leave the key out",
        ));
    }
    if text.starts_with(['~', '$']) {
        return Err(D::Error::custom(format!(
            "`{text}` is not expanded as in a shell: write the whole path, or `./{text}` \
             for a directory of that name"
        )));
    }
    Ok(path)
}

pub(crate) fn deserialize_some<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    deserialize(from).map(Some)
}
