//! Checks of the repository itself: the layers of the sources, the types of reasons, the catalogue
//! of durability, and the description of the log.

mod durability;
mod log_docs;
mod reason_rules;
mod source_rules;
