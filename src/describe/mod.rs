//! From names and texts to a [`Dump`]: which files describe raw data, and what they say.
//!
//! Everything here is pure: texts go in, dumps or reasons come out. A reason is written for the
//! person whose file was refused.

mod correction;
mod declared;
pub mod digest;
mod dump;
pub mod formats;
mod keys;
pub mod manifest;
mod pending;
pub mod sidecar;
mod template;
mod template_fields;
pub(crate) mod text;

pub use correction::Correction;
pub use declared::{Declared, Reserved};
pub use dump::{
    DeclaredBy, Dump, LeadingBytes, Metadata, OwnHeader, SidecarFacts, SizeFit, is_array_backup,
};
pub use manifest::Manifest;
pub use pending::from_header;
pub use template::Template;
