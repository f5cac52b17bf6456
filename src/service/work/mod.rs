//! Work: the jobs, the threads that run them, and what all of them share. Nothing here knows the
//! trackers, which send the jobs.

pub(crate) mod committer;
pub mod context;
pub(crate) mod drop_jobs;
pub(crate) mod failure;
pub(crate) mod in_work;
pub(crate) mod outcome;
pub(crate) mod request_jobs;
pub mod worker_pool;
