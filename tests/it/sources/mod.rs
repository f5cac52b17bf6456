//! Checks of the repository itself: the layers of the sources, and the catalogue of durability.

mod durability;
mod source_rules;
