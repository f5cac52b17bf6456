//! Descriptions: manifests, sidecars, templates, pending headers and digests.

mod descriptions;
mod digest;
mod field_cases;
mod hostile_inputs;
mod letter_case;
mod manifest;
mod pending;
mod sidecar;
mod sidecars;
mod streams;
mod template;
