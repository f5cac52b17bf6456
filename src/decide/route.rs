//! A route: the way that the data of a drop take into the array, with its steps.

use std::fmt;

use crate::decide::new_file::NewFile;
use crate::decide::route_obstacle::RouteObstacle;
use crate::decide::write::Write;
use crate::describe::{Dump, LeadingBytes};

/// The way that the data of a drop take into the array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// The header is written into room at the front of the data file.
    InPlace,
    /// A new file shares the data's blocks behind its header.
    Reflink,
    /// The file system inserts room for the header at the front of the data file.
    InsertRange,
    /// The data are copied behind a new header.
    Copy,
}

impl Route {
    /// All routes.
    pub const ALL: [Route; 4] = [Route::InPlace, Route::Reflink, Route::InsertRange, Route::Copy];

    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Route::InPlace => "in-place",
            Route::Reflink => "reflink",
            Route::InsertRange => "insert-range",
            Route::Copy => "copy",
        }
    }

    /// Returns the route that has this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Route::ALL.into_iter().find(|route| route.as_str() == name)
    }

    /// Returns whether the data file itself becomes the array.
    #[must_use]
    pub fn consumes_source(self) -> bool {
        matches!(self, Route::InPlace | Route::InsertRange)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
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

impl Steps {
    /// Returns the header as it will be in the file.
    pub(crate) fn head(&self, dump: &Dump) -> Vec<u8> {
        let writes = match self {
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
}

/// A route that does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRoute {
    /// The route.
    pub route: Route,
    /// Why it does not apply.
    pub why: RouteObstacle,
}

impl fmt::Display for SkippedRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.route, self.why)
    }
}
