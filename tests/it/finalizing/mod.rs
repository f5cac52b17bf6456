//! Finalizing: the routes, the output name, what becomes of the source, and disks that fail.

mod change;
mod conflict;
mod disk_full;
mod failing_syscalls;
mod filesystems;
mod insert;
mod large;
mod long_names;
mod mapped;
mod mounts;
mod parts;
mod proof;
mod protected;
mod recheck;
mod series;
mod source;
mod sparse;
mod standing_array;
mod thin_provisioning;
mod transfer;
