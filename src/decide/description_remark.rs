//! Remarks about files that look like the description of data that nothing describes.

use thiserror::Error;

use crate::decide::name_list::NameList;
use crate::decide::reason::Reason;
use crate::describe::DescribeError;
use crate::describe::manifest::SIZE_MAX;
use crate::describe::near_miss::NearMiss;
use crate::model::FileName;

/// Why a file beside the data, or the data file itself, is not their description.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescriptionRemark {
    /// The data file looks like a sidecar.
    #[error("it {0}")]
    DataNearMiss(NearMiss),
    /// A file beside the data looks like a sidecar.
    #[error("`{0}` {1}")]
    NearMiss(FileName, NearMiss),
    /// A file beside the data is a sidecar, but can't be used.
    #[error("`{name}` can't be used: {}", why_unusable(why))]
    Unusable {
        /// Its name.
        name: FileName,
        /// Why.
        why: Box<Reason>,
    },
    /// The text of a description that can't be used names the data.
    #[error("`{name}` names it, but can't be used: {}", why_unusable(why))]
    NamedByUnusable {
        /// Its name.
        name: FileName,
        /// Why.
        why: Box<Reason>,
    },
    /// A file is named like a manifest, and is too long for one.
    #[error("`{name}` has {size} bytes, but a manifest may have at most {SIZE_MAX}")]
    TooLong {
        /// Its name.
        name: FileName,
        /// Its size in bytes.
        size: u64,
    },
    /// A manifest that is named for the data names other data.
    #[error("`{name}` describes other data: its key `data` is {data}")]
    OtherData {
        /// The name of the manifest.
        name: FileName,
        /// The data files that it names, or its glob.
        data: NameList,
    },
    /// A sidecar that is named for the data names other data.
    #[error("`{name}` describes other data: it names {data}")]
    SidecarOfOtherData {
        /// The name of the sidecar.
        name: FileName,
        /// The data files that it names.
        data: NameList,
    },
    /// A file is named like a manifest, and has none of the keys of one.
    #[error("`{0}` is not a manifest, because it has neither `dtype` nor `shape`")]
    NotManifest(FileName),
}

/// Returns why a description can't be used, without its name.
#[must_use]
pub fn why_unusable(why: &Reason) -> String {
    match why {
        Reason::Description(
            DescribeError::Sidecar { source, .. } | DescribeError::Manifest { source, .. },
        ) => source.to_string(),
        why => why.to_string(),
    }
}
