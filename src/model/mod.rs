//! Plain values that all layers share: file names, file attributes, file systems, limits, failed
//! system calls.

mod dir_fault;
mod file_name;
mod file_path;
mod file_stat;
mod fs_info;
mod fs_kind;
mod limits;
mod operation;
mod reserved_names;
mod system_error;
mod writer;

pub use dir_fault::{DirDenial, DirFault, DirFaultKind};
pub use file_name::{FileName, FileNameError, NAME_MAX, NUMBER_MAX, is_npy_name};
pub(crate) use file_name::{cut, is_array_backup, split_backup, with_suffix, without_extension};
pub use file_path::parent_of;
pub use file_stat::{Protection, Stat};
pub use fs_info::FsInfo;
pub use fs_kind::FsKind;
pub use limits::{Limit, Rate};
pub use operation::Operation;
pub(crate) use operation::OperationTarget;
pub use reserved_names::is_reserved_name;
pub(crate) use reserved_names::{ExchangeName, PREFIX, SUFFIX, is_unfinished};
pub use system_error::{Shortfall, SystemError, SystemErrorCause, SystemErrorRemedy, UNNAMED};
pub use writer::{Unprovable, Writer};
