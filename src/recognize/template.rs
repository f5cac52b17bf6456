//! Templates: what the configuration knows about files by their name alone, for instruments that
//! write the same frames every time.

use std::fmt;
use std::ops::Range;

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use toml::Spanned;

use super::declared::{Declared, Dims, Reserved, bytes, dtype, optional_digest, parsed};
use super::dump::{Dump, FileName, Kind, Metadata};
use crate::digest::Digest;
use crate::npy::{Dtype, Order};

/// A template that has been checked as a whole.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Keys")]
pub struct Template {
    names: Names,
    declared: Declared,
    marker: Option<Vec<u8>>,
    /// Where marker and shape stand in the configuration: what contradictions are about.
    marker_at: Range<usize>,
    shape_at: Range<usize>,
}

/// A template's keys: `match`, `marker`, and a manifest's keys but for the file names, which can't
/// be the same for every file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(rename = "match")]
    names: Names,
    marker: Option<Spanned<String>>,
    #[serde(deserialize_with = "dtype")]
    dtype: Dtype,
    shape: Spanned<Dims>,
    #[serde(default, deserialize_with = "parsed")]
    order: Order,
    #[serde(default, deserialize_with = "bytes")]
    offset: u64,
    #[serde(default, deserialize_with = "bytes")]
    trailing: u64,
    reserved: Option<Reserved>,
    #[serde(default, deserialize_with = "optional_digest")]
    digest: Option<Digest>,
}

/// A glob over file names: `*`, `?`, `[…]` and `{a,b}`; a leading dot must be written out.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
struct Names(GlobMatcher);

impl TryFrom<String> for Names {
    type Error = String;

    fn try_from(glob: String) -> Result<Self, String> {
        if glob.contains('/') {
            return Err(format!("`{glob}` has a slash: match speaks of file names, not of paths"));
        }
        GlobBuilder::new(&glob)
            .literal_separator(true)
            .build()
            .map(|glob| Names(glob.compile_matcher()))
            .map_err(|error| format!("`{glob}` is not a glob: {}", error.kind()))
    }
}

impl From<Keys> for Template {
    fn from(keys: Keys) -> Self {
        let Keys { names, marker, dtype, shape, order, offset, trailing, reserved, digest } = keys;
        let shape_at = shape.span();
        let marker_at = marker.as_ref().map(Spanned::span).unwrap_or_default();
        let marker = marker.map(|marker| marker.into_inner().into_bytes());
        let declared = Declared {
            dtype,
            shape: shape.into_inner().0,
            order,
            offset,
            trailing,
            reserved,
            data: None,
            output: None,
            digest,
        };
        Template { names, declared, marker, marker_at, shape_at }
    }
}

impl Template {
    /// Finds what no file could satisfy: that is the configuration's mistake, not each file's. The
    /// error tells where in the configuration's text it is.
    pub(crate) fn check(&self) -> Result<(), (Range<usize>, String)> {
        let at = |error| (self.shape_at.clone(), error);
        let at_marker = |error| (self.marker_at.clone(), error);
        if let Some(marker) = &self.marker {
            let Some(reserved) = self.declared.reserved else {
                let error = "marker needs reserved: the region whose first bytes it is";
                return Err(at_marker(error.to_owned()));
            };
            if marker.is_empty() || marker.len() as u64 > reserved.bytes() {
                return Err(at_marker(format!(
                    "marker must have 1 to {} bytes, as reserved has",
                    reserved.bytes()
                )));
            }
        }
        let any = FileName::try_from("any".to_owned()).map_err(at)?;
        self.dump(&any).map(drop).map_err(at)
    }

    /// Whether this template speaks of a file of that name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let hidden = name.starts_with('.') && !self.names.0.glob().glob().starts_with('.');
        !hidden && self.names.0.is_match(name)
    }

    /// The dump it makes of a file; the error says which of its keys contradict each other.
    pub fn dump(&self, data: &FileName) -> Result<Dump, String> {
        let dump = self.declared.clone().dump(Kind::Template, data, Metadata::new())?;
        Ok(Dump { marker: self.marker.clone(), ..dump })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.names.0.glob().glob())
    }
}
