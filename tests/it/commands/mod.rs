//! The commands other than `npyd run`: their output and exit codes.

mod advice;
mod archived;
mod changed_arrays;
mod config;
mod explain;
mod explain_descriptions;
mod explain_dir;
mod explain_states;
mod finalize;
mod history;
mod inspect;
mod part_names;
mod redo;
mod redo_arrays;
mod redo_targets;
mod redo_undescribed;
mod refusals;
mod rejects;
mod sweep;
mod take;
