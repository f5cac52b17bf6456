//! `npyd finalize -r`: finalizes all drops in a directory and below.

use std::path::Path;
use std::sync::Arc;

use super::refused::Refused;
use super::{Finalize, Session, absolute};
use crate::cli::tree::{TreeItem, walk};
use crate::config::DropDir;
use crate::decide::reason::Reason;
use crate::events::receipt_event::ReceiptEvent;
use crate::fs::{self, Dir};
use crate::probe::{ProbeResult, probe_standalone};

impl Finalize {
    /// Finalizes the drops of a directory, as a daemon would that finds them in a scan.
    pub(super) fn finalize_tree(&self, dir: &Path, session: &mut Session) {
        let opened = absolute(dir).and_then(|path| self.drop_dir_at(&path));
        let mut drop_dir = match opened {
            Ok(drop_dir) => drop_dir,
            Err(why) => {
                return self.report(dir, Err(Reason::Argument(why).into()), session);
            }
        };
        drop_dir.include_below();
        let drop_dir = Arc::new(drop_dir);
        let root = match Dir::open(&drop_dir.path) {
            Ok(root) => root,
            Err(error) => return self.report(dir, Err(error.into()), session),
        };
        walk(&drop_dir, &root, Path::new(""), &mut |rel, found| match found {
            TreeItem::File => self.finalize_found(&drop_dir, rel, session),
            TreeItem::Unreadable(error) => {
                self.report(&drop_dir.path.join(rel), Err(error.into()), session);
            }
            // All subdirectories are included, and only files hold data.
            TreeItem::Subdirectory | TreeItem::Other => {}
        });
    }

    /// Finalizes a file that was found, if it is the first data file of a drop: each drop is found
    /// under several names.
    fn finalize_found(&self, drop_dir: &Arc<DropDir>, rel: &Path, session: &mut Session) {
        let result = match probe_standalone(drop_dir, rel, &mut session.listed) {
            Ok(ProbeResult::Candidate(candidate)) if candidate.input.rel == rel => {
                drop(candidate);
                self.finalize_one(drop_dir, rel, None, session)
            }
            Ok(ProbeResult::AwaitingData { why, .. }) => {
                Err(Refused { event: ReceiptEvent::Waiting, reason: why })
            }
            Ok(ProbeResult::Ignored(Reason::Undescribed { .. })) => {
                return session.sum.add_undescribed();
            }
            Ok(_) => return,
            Err(error) if fs::FsError::is_missing(&error) => return,
            Err(error) => Err(error.into()),
        };
        self.report(&drop_dir.path.join(rel), result, session);
    }
}
