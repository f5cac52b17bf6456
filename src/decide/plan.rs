//! The plan for one array: its header, the [`Route`] that its data take, and the steps of that
//! route.

use crate::decide::route::{Constraints, NewFile, Obstacle, Route, SkippedRoute, Write};
use crate::decide::routes::{CHEAPEST_FIRST, Request, copy_steps};
use crate::describe::{Dump, LeadingBytes};
use crate::npy::Header;

/// What to do with the data of one drop, down to the bytes that are written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The header of the array.
    pub header: Header,
    /// The steps of the route.
    pub steps: Steps,
    /// The routes that would move fewer bytes, and why they do not apply.
    pub skipped_routes: Vec<SkippedRoute>,
}

/// The steps of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// The data are synced, then each of these writes is made and synced.
    InPlace(Vec<Write>),
    /// A new file with this header shares the blocks of the data.
    Reflink(NewFile),
    /// This header is written into a range inserted at the front of the data file.
    Insert(Vec<u8>),
    /// The data are copied into a new file behind this header.
    Copy(NewFile),
}

impl Plan {
    /// Returns the route.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.steps {
            Steps::InPlace(_) => Route::InPlace,
            Steps::Reflink(_) => Route::Reflink,
            Steps::Insert(_) => Route::InsertRange,
            Steps::Copy(_) => Route::Copy,
        }
    }

    /// Returns the header as it will be in the file.
    #[must_use]
    pub fn head(&self, dump: &Dump) -> Vec<u8> {
        let writes = match &self.steps {
            Steps::Reflink(new) | Steps::Copy(new) => return new.head.clone(),
            Steps::Insert(head) => return head.clone(),
            Steps::InPlace(writes) => writes,
        };
        let mut head = match &dump.front {
            LeadingBytes::Header(own) => own.bytes.clone(),
            _ => vec![0; dump.data_offset as usize],
        };
        for Write { at, bytes } in writes {
            head[*at as usize..][..bytes.len()].copy_from_slice(bytes);
        }
        head
    }

    /// Plans an array with this header for a data file of `size` bytes; in salvage, the size that
    /// the file has once its rest is cut off. Chooses the first route that applies.
    #[must_use]
    pub fn new(dump: &Dump, header: Header, size: u64, constraints: &Constraints) -> Self {
        let request = Request { dump, header: &header, size, constraints };
        let mut skipped_routes = Vec::new();
        let cheaper = CHEAPEST_FIRST.iter().find_map(|candidate| {
            let skip = |Obstacle { why, is_noteworthy }| {
                skipped_routes.push(SkippedRoute { route: candidate.route, why, is_noteworthy });
            };
            (candidate.steps)(&request).map_err(skip).ok()
        });
        let steps = cheaper.unwrap_or_else(|| copy_steps(&request));
        Plan { header, steps, skipped_routes }
    }
}
