//! The users as whom npyd may run on one state directory.

use crate::finalize::intent_log::IntentLog;
use crate::fs;

/// The users as whom npyd may run: that of this process, the owner of the state directory, and
/// root, whose `npyd sweep` may run beside the daemon.
#[derive(Debug, Clone, Copy)]
pub struct NpydUsers {
    /// The owner of the state directory, if there is one.
    daemon: Option<u32>,
}

impl NpydUsers {
    /// Returns the users of a state directory, whose intent log this is.
    #[must_use]
    pub fn of(intents: Option<&IntentLog>) -> Self {
        NpydUsers { daemon: intents.and_then(IntentLog::owner) }
    }

    /// Returns whether npyd may run as a user.
    pub(crate) fn contains(self, uid: u32) -> bool {
        uid == fs::own_uid() || uid == 0 || self.daemon == Some(uid)
    }
}
