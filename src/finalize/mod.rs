//! Finalizes complete drops: makes the array, whole and durable under its final name, then disposes
//! of the source, and returns the receipt.

mod archive_search;
mod array_proof;
mod array_trust;
mod choice;
mod copying;
mod digest_check;
mod disposition;
mod header_room;
pub(crate) mod intent_log;
mod interrupted_insert;
pub mod interruption;
pub mod job;
mod known_dirs;
mod locations;
mod marks;
mod metadata;
mod named_parts;
mod npyd_users;
mod numbering;
mod output_name;
mod parallel;
mod pending_name;
mod pipeline;
mod preview;
mod quarantine;
mod quarantine_dir;
mod reject_note;
mod remake;
mod replaceable;
mod rest;
mod restore;
pub mod route_planning;
mod routes;
mod source_checks;
mod standing_array;
mod transfer;
pub mod writer_proof;

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use disposition::not_proven;

use crate::config::DropDir;
use crate::decide::constraints::Constraints;
use crate::decide::evidence::Evidence;
use crate::decide::plan::Plan;
use crate::decide::route::Route;
use crate::decide::source_identity::SourceIdentity;
use crate::describe::digest::Hasher;
use crate::describe::{Dump, LeadingBytes};
use crate::finalize::intent_log::IntentLog;

pub use archive_search::find_archived;
pub use array_proof::{array_mark, find_renamed, why_not_array};
pub use digest_check::verify_now;
pub use disposition::recover_residue;
pub use interrupted_insert::{insert_obstacle, recover_insert};
pub use interruption::Interruption;
pub use job::{Job, parts_of_input};
pub use known_dirs::{OTHER_FILE_SYSTEM, is_known, remember_dirs};
pub(crate) use marks::read_origin;
pub use named_parts::has_part;
pub use npyd_users::NpydUsers;
pub use pipeline::complete_keys::complete_keys;
pub use pipeline::redo_array::{ArrayJob, check_array_job, redo_array};
pub use pipeline::{Finalized, finalize, finalize_all};
pub use preview::{Preview, check_name, preview};
pub use quarantine::{Aside, quarantine};
pub use quarantine_dir::{Quarantine, Quarantined};
pub use remake::{Backups, count_backups};
pub use rest::{rest_of, rest_path};
pub use restore::{RejectedDrop, Restored, rejected_paths, restore_rejected};
pub use route_planning::{constraints_of_dirs, plan_candidate};
pub use writer_proof::why_source_stays;
