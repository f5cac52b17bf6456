//! What a crash leaves of a drop whose array is there already.

use std::path::Path;

use super::description::{Description, Meant, Says};
use super::{Place, rel_name};
use crate::candidate::{Part, Sidecar};
use crate::config::{OnChange, OnConflict};
use crate::disk::{self, DataFile, Dir};
use crate::recognize::FileName;
use crate::recognize::sidecar::Found;
use crate::stamp::Identity;

/// The attribute of an output that tells what it was made of: an [`Identity`].
pub const SOURCE_ATTR: &str = "user.npyd.source";

/// A manifest or sidecar whose data are gone, or some of their files, for they were finalized.
pub struct Leftover {
    /// The file.
    pub sidecar: Sidecar,
    /// What became of the data.
    pub finished: Finished,
}

/// An array that was made already.
pub struct Finished {
    /// The array.
    pub array: DataFile,
    /// What it was made of.
    pub mark: Identity,
    /// Whether the data file became the array itself, and was not removed or archived.
    pub became_the_array: bool,
    /// What stands there of data that were in several files.
    pub remains: Vec<Remains>,
}

/// A file of the data of an array.
pub struct Remains {
    /// The file.
    pub part: Part,
    /// Where the array's data begin in it.
    pub offset: u64,
    /// Where they are in the array.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

impl Place<'_> {
    /// The array of a description without data, or without all of them, that was left behind when
    /// npyd ended between dealing with the data and moving what describes them: then the output
    /// tells its identity.
    pub(super) fn finished(
        &self,
        by: &Description,
        number: usize,
        meant: &Meant,
    ) -> disk::Result<Option<Finished>> {
        let data = meant.paths().iter().filter_map(|path| rel_name(path).ok());
        let names: Vec<FileName> = match by.named_output() {
            Some(output) => vec![output.clone()],
            None => data.map(|name| name.as_npy()).collect(),
        };
        let base = self.inbox.output.as_ref().unwrap_or(&self.inbox.path);
        let parent = meant.paths().first().and_then(|path| path.parent()).unwrap_or(Path::new(""));
        let dir = match Dir::open_own(base, self.inbox.shared()).and_then(|dir| dir.below(parent)) {
            Ok(dir) => dir,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        for first in names {
            let (mut name, mut number_tried) = (first.clone(), 0);
            while let Some(array) = dir.open_file(name.as_ref())? {
                if let Some(mark) = made_with(&array, &by.sidecar)? {
                    let became_the_array = mark.is_of_inode(array.stat()?.ino);
                    let remains = self.remains(by, number, meant, &array)?;
                    return Ok(Some(Finished { array, mark, became_the_array, remains }));
                }
                let inbox = self.inbox;
                let is_numbered =
                    inbox.on_conflict == OnConflict::Number || inbox.on_change == OnChange::Number;
                if !is_numbered {
                    break;
                }
                number_tried += 1;
                name = first.numbered(number_tried);
            }
        }
        Ok(None)
    }

    /// The files that still stand of data that were in several.
    fn remains(
        &self,
        by: &Description,
        number: usize,
        meant: &Meant,
        array: &DataFile,
    ) -> disk::Result<Vec<Remains>> {
        let (Ok(Says::Arrays(_, arrays)), Meant::Parts(paths)) = (&by.says, meant) else {
            return Ok(Vec::new());
        };
        let described = &arrays[number];
        let (Some(data_len), Some(len)) = (described.layout.data_len(), described.share()) else {
            return Ok(Vec::new());
        };
        let data_at = array.stat()?.size.saturating_sub(data_len);
        let mut remains = Vec::new();
        for (at, rel) in paths.iter().enumerate() {
            let Ok(name) = rel_name(rel) else { continue };
            let Some((file, stat)) = self.open_regular(rel)? else { continue };
            let found = Found { file_len: stat.size, lines_end: Some(0), counted: 0 };
            let Ok(Some(offset)) = described.offset(found) else { continue };
            let written = file.written_upto(0)?;
            let part = Part { rel: rel.clone(), name, file, stat, written };
            remains.push(Remains { part, offset, at: data_at + at as u64 * len, len });
        }
        Ok(remains)
    }
}

/// What an array was made of, if it was made with that very description.
fn made_with(array: &DataFile, sidecar: &Sidecar) -> disk::Result<Option<Identity>> {
    if ![disk::own_uid(), sidecar.stat.uid].contains(&array.stat()?.uid) {
        return Ok(None);
    }
    let Some(mark) = array.attr(SOURCE_ATTR)? else { return Ok(None) };
    let mark = Identity::parse(&String::from_utf8_lossy(&mark));
    Ok(mark.was_described_by(&sidecar.name, &sidecar.stat).then_some(mark))
}
