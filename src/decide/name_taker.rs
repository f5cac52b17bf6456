//! What has the name of an array that is to be made, and what to do about it.

use std::fmt;
use std::path::PathBuf;

use crate::decide::reason_text::array_of;

/// What has the name of an array that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameTaker {
    /// A file that was not made of this drop.
    AnyFile,
    /// A directory, a link, a pipe, a socket or a device.
    NotRegular(&'static str),
    /// An array that was made of a file with the path of this drop.
    OwnArray {
        /// Whether it was made of this very file. If not, of an earlier file of its name.
        is_of_this_file: bool,
    },
    /// An array that was made of an earlier file with the path of this drop, beside its data, and
    /// that belongs to another user than the data of this drop.
    OthersArray,
    /// An array that the npyd of this user ID made of this very file.
    ArrayByOtherUser(u32),
    /// An array of another source, which has this name if the array has it.
    OtherArray(Option<PathBuf>),
    /// A file that npyd may not replace.
    ForeignFile,
}

impl fmt::Display for NameTaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameTaker::AnyFile => f.write_str(
                "already exists and was not made from this drop: move it away, set another output, \
                 or set on_conflict in the configuration",
            ),
            NameTaker::OwnArray { is_of_this_file: true } => f.write_str(
                "was made of this file, by another description or with other bytes: move it away, \
                 or set on_conflict = \"replace\" in the configuration",
            ),
            NameTaker::OwnArray { is_of_this_file: false } => f.write_str(
                "is the array of an earlier file of this name: move it away, drop the file under \
                 another name, or set `output` in its manifest; in the configuration, on_conflict \
                 = \"replace\" replaces it, \"number\" keeps both",
            ),
            NameTaker::OthersArray => f.write_str(
                "is the array of an earlier file of this name, and belongs to another user, whose \
                 array npyd does not replace beside the data: move it away, drop the file under \
                 another name, or set `output` in its manifest; on_conflict = \"number\" in the \
                 configuration keeps both",
            ),
            NameTaker::ArrayByOtherUser(uid) => write!(
                f,
                "was made of this file by npyd as another user (uid {uid}), whose arrays this one \
                 does not trust: make npyd's own user its owner (`chown`) and run `npyd retry`, or \
                 move the array away"
            ),
            NameTaker::NotRegular(what) => write!(
                f,
                "is {what}, and npyd replaces only regular files: move it away, or set another output"
            ),
            NameTaker::OtherArray(source) => write!(
                f,
                "is {}: move it away, set another output, or set on_conflict = \"replace-any\" in the \
                 configuration",
                array_of(source.as_deref())
            ),
            NameTaker::ForeignFile => f.write_str(
                "already exists and belongs to someone else: move it away, or set another output",
            ),
        }
    }
}
