//! How a settled dump becomes a `.npy`: its header, and the [`Route`].

use crate::decide::route::{Constraints, NewFile, Route, SkippedRoute, Why, Write};
use crate::decide::routes;
use crate::describe::{Dump, LeadingBytes};
use crate::npy::Header;

/// What is to be done, down to the bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the array's header says.
    pub header: Header,
    /// What becomes of the data.
    pub steps: Steps,
    /// The routes that would have moved less, and why they were not taken.
    pub skipped_routes: Vec<SkippedRoute>,
}

/// The work of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// Synced data first; then each of these writes, each synced before the next.
    InPlace(Vec<Write>),
    /// A new file: this header, and the data shared behind it.
    Reflink(NewFile),
    /// This header, in room made for it at the front of the data file.
    Insert(Vec<u8>),
    /// A new file: this header, and the data copied behind it.
    Copy(NewFile),
}

impl Plan {
    /// The route.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.steps {
            Steps::InPlace(_) => Route::InPlace,
            Steps::Reflink(_) => Route::Reflink,
            Steps::Insert(_) => Route::InsertRange,
            Steps::Copy(_) => Route::Copy,
        }
    }

    /// The header as it will stand in the file.
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

    /// The plan for an array with this header in the dump's data file of `size` bytes; in salvage,
    /// the size that the file has once its rest is cut off.
    #[must_use]
    pub fn new(dump: &Dump, header: Header, size: u64, constraints: &Constraints) -> Self {
        let mut skipped_routes = Vec::new();
        let mut pass = |route, why: Why| {
            let Why { why, is_noteworthy } = why;
            skipped_routes.push(SkippedRoute { route, why, is_noteworthy });
        };
        let steps = match routes::in_place::in_place(dump, &header, size, constraints) {
            Ok(writes) => Steps::InPlace(writes),
            Err(why) => {
                pass(Route::InPlace, why);
                match routes::reflink::share(dump, &header, constraints) {
                    Ok(new) => Steps::Reflink(new),
                    Err(why) => {
                        pass(Route::Reflink, why);
                        match routes::insert_range::insert(dump, &header, size, constraints) {
                            Ok(head) => Steps::Insert(head),
                            Err(why) => {
                                pass(Route::InsertRange, why);
                                Steps::Copy(routes::copy::copy(dump, &header))
                            }
                        }
                    }
                }
            }
        };
        Plan { header, steps, skipped_routes }
    }
}
