//! A wait of a drop.

use std::time::Duration;

use crate::decide::reason::Reason;

/// Why a drop waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The reason.
    pub why: Reason,
    /// When the drop becomes ready by waiting alone, if nothing changes until then.
    pub ready_in: Option<Duration>,
}

impl Wait {
    /// A wait for an action outside npyd.
    #[must_use]
    pub fn on_external(why: Reason) -> Self {
        Wait { why, ready_in: None }
    }
}
