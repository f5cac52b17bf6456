//! How a settled dump becomes a `.npy`: its header, and the [`Route`].

use std::fmt;
use std::ops::Range;

use crate::config::Readers;
use crate::disk::FsInfo;
use crate::npy::{self, Header, commit_bytes};
use crate::recognize::{Dump, Front, OwnHeader};

/// The block of the common file systems that share blocks, in bytes. A header of that length keeps
/// the mapped data aligned, and np.load takes it.
const PAGE: u64 = 4096;

/// What a disk writes whole or not at all, in bytes.
pub const SECTOR: usize = 512;

/// From how many bytes on moving blocks, with the syncs that make it safe, takes less time than
/// copying bytes.
const WORTH_INSERTING: u64 = 16 << 20;

/// The one padded header length that every known reader takes, in bytes.
const UNIVERSAL_LEN: u64 = 128;

/// The way the data take, or don't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Route {
    /// The header is written before the data, where there is room for it.
    InPlace,
    /// A new file shares the data's blocks behind its header.
    Reflink,
    /// The file system opens up room for the header at the front of the data file.
    InsertRange,
    /// The data are copied behind a new header.
    Copy,
}

impl Route {
    /// The name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Route::InPlace => "in-place",
            Route::Reflink => "reflink",
            Route::InsertRange => "insert-range",
            Route::Copy => "copy",
        }
    }

    /// Whether the data file itself becomes the array.
    #[must_use]
    pub fn takes_the_file(self) -> bool {
        matches!(self, Route::InPlace | Route::InsertRange)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is to be done, down to the bytes.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the array's header says.
    pub header: Header,
    /// What becomes of the data.
    pub work: Work,
    /// The routes that would have moved less, and why they were not taken.
    pub passed_over: Vec<PassedOver>,
}

/// A route that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// The route.
    pub route: Route,
    /// Why not.
    pub why: String,
    /// Whether somebody who knows the settings and the file system could wonder about it.
    pub is_noteworthy: bool,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: {}", self.route, self.why)
    }
}

/// The work of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Work {
    /// Synced data first; then each of these writes, each synced before the next.
    InPlace(Vec<Write>),
    /// A new file: this header, and the data shared behind it.
    Reflink(NewFile),
    /// This header, in room made for it at the front of the data file.
    Insert(Vec<u8>),
    /// A new file: this header, and the data copied behind it.
    Copy(NewFile),
}

/// A file to be made: a header, and behind it so many bytes of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// The new file's header.
    pub head: Vec<u8>,
    /// Where the data begin in the source.
    pub offset: u64,
    /// How many bytes they have; where they are in several files, all together.
    pub len: u64,
}

/// Bytes to be written over those at an offset of the data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The offset.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// What limits the choice of a route.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who must be able to read the header.
    pub readers: Readers,
    /// Whether the data file can be renamed to its final name.
    pub same_file_system: bool,
    /// The file system that the array goes to.
    pub file_system: FsInfo,
    /// How many files the data are in.
    pub files: usize,
    /// Whether the data file is needed as it is.
    pub keeps_source: bool,
    /// Whether there is a place to note down what a crash would leave half done.
    pub has_intents: bool,
    /// Routes that turned out to be none, and why.
    pub ruled_out: Vec<(Route, String)>,
}

impl Terms {
    fn allow(&self, route: Route) -> Result<(), Why> {
        let found = self.ruled_out.iter().find(|(ruled_out, _)| *ruled_out == route);
        found.map_or(Ok(()), |(_, why)| Err(why.clone().into()))
    }
}

impl Plan {
    /// The route.
    #[must_use]
    pub fn route(&self) -> Route {
        match self.work {
            Work::InPlace(_) => Route::InPlace,
            Work::Reflink(_) => Route::Reflink,
            Work::Insert(_) => Route::InsertRange,
            Work::Copy(_) => Route::Copy,
        }
    }

    /// The header as it will stand in the file.
    #[must_use]
    pub fn head(&self, dump: &Dump) -> Vec<u8> {
        let writes = match &self.work {
            Work::Reflink(new) | Work::Copy(new) => return new.head.clone(),
            Work::Insert(head) => return head.clone(),
            Work::InPlace(writes) => writes,
        };
        let mut head = match &dump.front {
            Front::Header(own) => own.bytes.clone(),
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
    pub fn new(dump: &Dump, header: Header, size: u64, terms: &Terms) -> Self {
        let mut passed_over = Vec::new();
        let mut pass = |route, why: Why| {
            let Why { why, is_noteworthy } = why;
            passed_over.push(PassedOver { route, why, is_noteworthy });
        };
        let work = match in_place(dump, &header, size, terms) {
            Ok(writes) => Work::InPlace(writes),
            Err(why) => {
                pass(Route::InPlace, why);
                match share(dump, &header, terms) {
                    Ok(new) => Work::Reflink(new),
                    Err(why) => {
                        pass(Route::Reflink, why);
                        match insert(dump, &header, size, terms) {
                            Ok(head) => Work::Insert(head),
                            Err(why) => {
                                pass(Route::InsertRange, why);
                                Work::Copy(copy(dump, &header))
                            }
                        }
                    }
                }
            }
        };
        Plan { header, work, passed_over }
    }
}

/// Why a route is none.
struct Why {
    why: String,
    is_noteworthy: bool,
}

/// What the settings or the file system rule out for every drop alike.
fn as_expected<T>(why: &str) -> Result<T, Why> {
    Err(Why { why: why.to_owned(), is_noteworthy: false })
}

impl From<String> for Why {
    fn from(why: String) -> Self {
        Why { why, is_noteworthy: true }
    }
}

/// The writes that make the data file the array.
fn in_place(dump: &Dump, header: &Header, size: u64, terms: &Terms) -> Result<Vec<Write>, Why> {
    if matches!(dump.front, Front::Bare) {
        return as_expected("there is no room reserved at the front of the file");
    }
    let surplus = size.saturating_sub(dump.end_of(header));
    if surplus > 0 {
        return Err(
            format!("{surplus} bytes lie behind the array, and would be in its file").into()
        );
    }
    if !terms.same_file_system {
        return Err("the output is on another file system".to_owned().into());
    }
    terms.allow(Route::InPlace)?;
    Ok(match &dump.front {
        Front::Bare => Vec::new(),
        Front::Reserved(room) => fill_reserved(header, *room, terms.readers)?,
        Front::Header(own) => commit(own, header, terms.readers)?,
    })
}

fn copy(dump: &Dump, header: &Header) -> NewFile {
    NewFile { head: header.numpy_bytes(), offset: dump.data_offset, len: header.data_len() }
}

/// A header of one page, and the data shared behind it.
fn share(dump: &Dump, header: &Header, terms: &Terms) -> Result<NewFile, Why> {
    terms.allow(Route::Reflink)?;
    if !terms.file_system.may_share() {
        return as_expected("the file system does not share blocks");
    }
    Ok(NewFile {
        head: page(dump, header, terms)?,
        offset: dump.data_offset,
        len: header.data_len(),
    })
}

/// A header of one page, for which room is made before the data.
fn insert(dump: &Dump, header: &Header, size: u64, terms: &Terms) -> Result<Vec<u8>, Why> {
    if terms.keeps_source {
        return as_expected("the source is kept");
    }
    if dump.told.has_live_readers {
        return as_expected("the data file is read with its sidecar, too, and stays as it is");
    }
    if !terms.file_system.may_insert() {
        return as_expected("the file system can't do it, or not safely");
    }
    if !terms.has_intents {
        return as_expected("only a daemon or a sweep does it, which can undo it after a crash");
    }
    if matches!(dump.front, Front::Header(_)) {
        return Err("it has a header of its own".to_owned().into());
    }
    if header.data_len() < WORTH_INSERTING {
        return as_expected("it is so small that a copy is faster");
    }
    if !terms.same_file_system {
        return Err("the output is on another file system".to_owned().into());
    }
    if dump.data_offset != 0 || size != header.data_len() {
        return Err("the file holds more than the data".to_owned().into());
    }
    terms.allow(Route::InsertRange)?;
    page(dump, header, terms)
}

/// A header that leaves the data where their blocks begin.
fn page(dump: &Dump, header: &Header, terms: &Terms) -> Result<Vec<u8>, Why> {
    if header.data_len() == 0 {
        return as_expected("there are no data");
    }
    if terms.readers == Readers::Any {
        return Err("a header of a page is not one that every reader takes".to_owned().into());
    }
    if terms.files > 1 {
        return Err("the data are in several files".to_owned().into());
    }
    if !dump.data_offset.is_multiple_of(PAGE) {
        let offset = dump.data_offset;
        return Err(format!("the data begin at byte {offset}, not at a multiple of {PAGE}").into());
    }
    header.bytes_filling(PAGE).map_err(|error| error.to_string().into())
}

/// The header in the reserved region. The file's name is not final while it is written; only a
/// header that a tear could leave half valid needs its first bytes to decide.
fn fill_reserved(header: &Header, room: u64, readers: Readers) -> Result<Vec<Write>, String> {
    let is_universal = room == UNIVERSAL_LEN || room == header.numpy_bytes().len() as u64;
    if readers == Readers::Any && !is_universal {
        return Err(format!("a header of {room} bytes is not one that every reader takes"));
    }
    let bytes = header.bytes_filling(room).map_err(|error| error.to_string())?;
    if bytes.len() <= SECTOR {
        return Ok(vec![Write { at: 0, bytes }]);
    }
    let (magic, rest) = bytes.split_at(8);
    Ok(vec![Write { at: 8, bytes: rest.to_vec() }, Write { at: 0, bytes: magic.to_vec() }])
}

/// The dict, where it must change, and the magic over a pending header.
fn commit(own: &OwnHeader, header: &Header, readers: Readers) -> Result<Vec<Write>, String> {
    let preamble = &own.preamble;
    // However the producer spelled it, what gets the magic is NumPy's own spelling.
    let text = header
        .bytes_filling_version(preamble.data_offset, preamble.major)
        .map_err(|error| error.to_string())?;
    let universal = preamble.data_offset == UNIVERSAL_LEN && preamble.major == 1;
    if readers == Readers::Any && !universal && text[8..] != header.numpy_bytes()[8..] {
        return Err(format!(
            "a header of {} bytes is not one that every reader takes",
            preamble.data_offset
        ));
    }
    let mut writes = Vec::new();
    if let Some(changed) = difference(&own.bytes, &text) {
        if changed.start / SECTOR != (changed.end - 1) / SECTOR {
            return Err(
                "the shape in its header crosses a disk sector, where a crash could tear it"
                    .to_owned(),
            );
        }
        writes.push(Write { at: changed.start as u64, bytes: text[changed].to_vec() });
    }
    if preamble.kind != npy::Kind::Final {
        writes.push(Write { at: 0, bytes: commit_bytes(preamble.major).to_vec() });
    }
    Ok(writes)
}

/// The range behind the magic in which two headers of one length differ.
fn difference(old: &[u8], new: &[u8]) -> Option<Range<usize>> {
    let differs = |&at: &usize| old[at] != new[at];
    let first = (8..new.len()).find(differs)?;
    let last = (8..new.len()).rfind(differs)?;
    Some(first..last + 1)
}
