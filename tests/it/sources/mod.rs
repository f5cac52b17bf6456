//! Checks of the repository itself: the layers of the sources, and the catalogue of durability,
//! and the description of the log.

mod durability;
mod log_docs;
mod source_rules;
