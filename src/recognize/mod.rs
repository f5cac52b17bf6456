//! From names and texts to a [`Dump`]: which files describe raw data, and what they say.
//!
//! Everything here is pure: texts go in, dumps or reasons come out. A reason is written for the
//! person whose file was refused.

mod declared;
mod dump;
mod field;
mod fill;
pub mod formats;
mod json;
mod keys;
pub mod manifest;
mod names;
mod pending;
pub mod sidecar;
mod template;
pub(crate) mod wording;
mod xml;

pub use declared::{Declared, Reserved};
pub use dump::{Dump, FileName, Fit, Front, Kind, Metadata, OwnHeader, Told, is_array_backup};
pub use manifest::Manifest;
pub use pending::from_header;
pub use template::Template;
