//! Problems that leave no route for an array.

use thiserror::Error;

use crate::decide::route::SkippedRoute;

/// Why no route, or not the required one, can make an array.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RouteProblem {
    /// No route applies.
    #[error("no route is left for its array{}", tried(.0))]
    NoneLeft(Vec<SkippedRoute>),
    /// The file system refused to insert room for the header.
    #[error("{INSERT_REFUSED}: it will be copied")]
    InsertRefused,
    /// The route needs the data in one file.
    #[error("the data are in several files")]
    SeveralFiles,
    /// A template matches a file that is an array already.
    #[error("it already is a .npy file with another header: move it away")]
    OtherHeader,
    /// The options reserve bytes that are in use.
    #[error(
        "its first {room} bytes are not all zeros (byte {at} is 0x{byte:02x}): --reserved would \
         overwrite them; --offset {room} makes a new file instead"
    )]
    Occupied {
        /// Number of reserved bytes.
        room: u64,
        /// Offset of the first byte that is not zero.
        at: usize,
        /// That byte.
        byte: u8,
    },
}

/// Why insert-range does not apply to a file for which it failed before.
pub const INSERT_REFUSED: &str = "the file system could not insert space in it, or rename it";

fn tried(skipped: &[SkippedRoute]) -> String {
    let skipped: Vec<_> = skipped.iter().map(ToString::to_string).collect();
    if skipped.is_empty() { String::new() } else { format!(": {}", skipped.join("; ")) }
}
