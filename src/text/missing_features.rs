//! Features that the kernel or npyd's rights may lack: what that means, and what to do.

/// Leases on files of other users (`CAP_LEASE`).
pub(crate) const OWN_LEASES: &str = "leases only on files of its own user (no CAP_LEASE): npyd can't prove that another user's \
     file has no writer, and neither removes nor archives such a source without a `digest` or a \
     marker, or remove_unproven = true";

/// Pressure stall information (PSI).
pub(crate) const NO_PSI: &str =
    "this kernel does not measure the I/O pressure; boot it with psi=1, if it was built for that";
