//! Directories as they are meant: npyd is no shell.

use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de::Error};

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    let path = PathBuf::deserialize(from)?;
    let text = path.to_string_lossy();
    if text.is_empty() {
        return Err(D::Error::custom(
            "an empty text names no directory: write its path, or leave the key out",
        ));
    }
    if text.starts_with(['~', '$']) {
        return Err(D::Error::custom(format!(
            "`{text}` is not replaced as a shell would: write the whole path, or `./{text}` \
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
