//! Decisions from values alone: is a drop complete, what identifies it, which route does it take?
//! Nothing here makes a system call or reads a clock.

pub mod abandoned;
pub mod ambiguity;
pub mod archived_source;
pub mod argument_problem;
pub mod array_receipt;
pub mod change;
pub mod completeness;
pub mod constraints;
pub mod description_remark;
pub mod evidence;
pub mod file_snapshot;
pub mod fingerprint;
pub mod growth;
pub mod name_list;
pub mod name_taker;
pub mod new_file;
pub mod observation;
pub mod origin;
pub mod output_problem;
pub mod quiescence;
pub mod quiet_time;
pub mod reason;
pub mod reason_kind;
pub(crate) mod reason_text;
pub mod request_kind;
pub mod request_problem;
pub mod request_target;
pub mod route;
pub mod route_obstacle;
pub mod route_problem;
pub mod routes;
pub mod source_identity;
pub mod wait;
pub mod work_error;
pub mod write;

pub use routes::plan;
