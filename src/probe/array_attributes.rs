//! The extended attributes of npyd's arrays.

/// The extended attribute of an output that stores what it was made of, as a `SourceIdentity`.
pub const SOURCE_ATTR: &str = "user.npyd.source";

/// The extended attribute of an output that stores where its source was, as an `Origin`.
pub const ORIGIN_ATTR: &str = "user.npyd.origin";

/// The extended attribute that names the route of an array whose data are not the bytes of its
/// source. npyd can't compare such an array with its source.
pub const ROUTE_ATTR: &str = "user.npyd.route";
