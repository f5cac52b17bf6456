//! Descriptions of raw data: parses manifests, sidecars, templates and pending headers into a
//! [`Dump`].
//!
//! All functions take names and texts and return a dump or a reason. A reason is a message for the
//! person whose file was rejected.

mod correction;
mod declared;
pub mod digest;
mod dump;
pub mod formats;
mod keys;
pub mod manifest;
mod pending;
pub mod sidecar;
mod taken;
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
pub use taken::{Rows, Taken};
pub use template::Template;
