//! Route wishes: the settings of a drop directory that only the choice of a route depends on.

use crate::config::{Disposition, DropDir, Readers};

/// What the settings ask of the route of each drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteWishes {
    /// Which programs must be able to read the header.
    pub readers: Readers,
    /// What becomes of the data file.
    pub source: Disposition,
}

impl RouteWishes {
    /// Returns the wishes of a drop directory.
    #[must_use]
    pub fn of(drop_dir: &DropDir) -> Self {
        let DropDir { readers, source, .. } = *drop_dir;
        RouteWishes { readers, source }
    }

    /// Returns the wishes that exclude no route.
    #[must_use]
    pub fn any() -> Self {
        RouteWishes { readers: Readers::default(), source: Disposition::Remove }
    }
}
