//! Descriptions of raw data: parses manifests, sidecars, templates and pending headers into a
//! [`Dump`].
//!
//! All functions take names and texts and return a dump or a reason. A reason is a message for the
//! person whose file was rejected.

mod bits_or_bytes;
mod correction;
mod data_names;
pub mod data_path;
mod declared;
mod declared_by;
pub mod described;
pub mod digest;
mod dump;
pub(crate) mod file_names;
pub mod formats;
pub(crate) mod keys;
mod leading_bytes;
pub(crate) mod lookalike_keys;
pub mod manifest;
mod name_pattern;
pub mod natural_order;
pub mod near_miss;
mod pending;
pub mod series;
pub mod sidecar;
mod sidecar_facts;
mod size_fit;
mod taken;
mod template;
mod template_fields;
pub(crate) mod text;

pub use bits_or_bytes::BitsOrBytes;
pub use correction::Correction;
pub use data_names::DataNames;
pub use declared::{Declared, Reserved};
pub use declared_by::DeclaredBy;
pub use dump::{Division, Dump};
pub use leading_bytes::{LeadingBytes, OwnHeader};
pub use manifest::Manifest;
pub use name_pattern::NamePattern;
pub use pending::from_header;
pub use sidecar_facts::{SidecarFacts, Unfinished};
pub use size_fit::SizeFit;
pub use taken::{Rows, Taken};
pub use template::Template;
pub use text::Metadata;
pub use text::error::DescribeError;
