//! Drops: when npyd considers them complete, which drops it rejects, and what hostile or careless
//! producers do.

mod abandoned;
mod attacker;
mod crowd;
mod ignore;
mod quarantine;
mod races;
mod rejection;
mod reports;
mod settle;
mod untrusted_files;
mod writer;
