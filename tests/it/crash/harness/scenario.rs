//! Scenarios: what is dropped, which route it must take, and which files must exist in the end.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::support::{PendingFile, is_long, npy_filling};

/// A way from a drop to its array.
pub(crate) struct Route {
    /// What it is called here.
    pub(crate) name: &'static str,
    /// What receipts call it.
    pub(crate) told: &'static str,
    /// The data file, from the drop directory; a second drop's has `twin` for `scan`.
    pub(crate) file: &'static str,
    /// How many drops there are.
    drops: usize,
    front: LeadingBytes,
    /// How many records of three 4-byte integers the data have.
    records: u32,
    /// The length of the array's header.
    header_len: usize,
    /// Further settings of the drop directory.
    pub(crate) settings: &'static str,
    /// Whether the array stays in the drop directory.
    pub(crate) beside: bool,
    /// The directory that is on another file system, if one is.
    pub(crate) elsewhere: Option<&'static str>,
    /// What becomes of a file that has the array's name before, where there is one.
    pub(crate) old: Old,
    /// The file systems that have it.
    pub(crate) kinds: &'static [&'static str],
    /// The dispositions of the source that it is for.
    pub(crate) dispositions: &'static [Disposition],
    /// Of this many points, the short form tries one.
    pub(crate) stride: usize,
}

impl Route {
    /// Whether it moves so many bytes that few trials of it can be made.
    pub(crate) fn is_largest(&self) -> bool {
        self.records == RECORDS_MAX
    }
}

/// What stands before the data in the data file.
enum LeadingBytes {
    Nothing,
    /// Reserved room: the number of zeros, and whether the manifest has a digest.
    Room(usize, bool),
    /// A pending header, and the first length of its shape.
    Pending(i64),
    /// A pending header whose producer died within a record, and the first length of its shape.
    Abandoned(i64),
    /// Nothing, and the data are in two files, which an NRRD header lists.
    Parts,
    /// Nothing, and the data are in two files, which a manifest names so, of a shape that is open
    /// or not.
    Series(&'static str, bool),
    /// The same of a page, spelled by its producer so that what would have to change crosses a
    /// sector.
    Sprawling,
}

/// The fate of an older file that has the array's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Old {
    /// There is none.
    None,
    /// The array replaces it, and its metadata.
    Replaced,
    /// The array takes another name.
    Stays,
    /// It is an array of the same drop, which was not filled yet: the new array replaces it.
    Remade,
    /// It is an array of the same drop, which was rewritten: it stays as a backup.
    BackedUp,
}

impl Old {
    /// Whether it is an array that npyd made of the same drop.
    pub(crate) fn is_of_this_drop(self) -> bool {
        matches!(self, Old::Remade | Old::BackedUp)
    }
}

/// The fate of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Keep,
    Remove,
    Archive,
}

use Disposition::{Archive, Keep, Remove};

const ALL: &[Disposition] = &[Keep, Remove, Archive];
const ANYWHERE: &[&str] = &["ext4", "xfs", "btrfs"];
/// Where the power of two of them can be cut.
const TWICE: &[&str] = &["ext4", "xfs"];

const BARE: Route = Route {
    name: "copy",
    told: "copy",
    file: "scan.raw",
    drops: 1,
    front: LeadingBytes::Nothing,
    records: RECORDS,
    header_len: 128,
    settings: "readers = \"any\"", // which no other way allows
    beside: false,
    elsewhere: None,
    old: Old::None,
    kinds: ANYWHERE,
    dispositions: ALL,
    stride: 1,
};

/// Of which only a sample is tried in the short form.
const RARE: Route = Route { kinds: &["ext4"], stride: 5, ..BARE };

const ROOM: Route = Route {
    name: "room",
    told: "in-place",
    front: LeadingBytes::Room(128, false),
    settings: "",
    ..BARE
};

const ELSEWHERE: Route = Route {
    name: "copy-elsewhere",
    elsewhere: Some("out"),
    kinds: TWICE,
    dispositions: &[Remove],
    ..BARE
};

const PENDING: Route = Route {
    name: "pending-closed",
    file: "scan.npy",
    front: LeadingBytes::Pending(RECORDS as i64),
    ..ROOM
};

/// Its rest is cut off.
const ABANDONED: Route = Route {
    name: "pending-abandoned",
    front: LeadingBytes::Abandoned(-1),
    settings: "salvage = \"whole-records\"",
    dispositions: &[Remove],
    kinds: RARE.kinds,
    stride: RARE.stride,
    ..PENDING
};

/// Takes its own source's name.
const SPRAWLING: Route = Route {
    name: "copy-beside",
    file: "scan.npy",
    front: LeadingBytes::Sprawling,
    beside: true,
    dispositions: &[Remove],
    ..BARE
};

/// Every way there is. One that a file system does not have yet is a line more.
pub(crate) const ROUTES: &[Route] = &[
    BARE,
    Route {
        name: "copy-replacing",
        settings: "readers = \"any\"\non_conflict = \"replace-any\"\nmetadata = \"json\"",
        old: Old::Replaced,
        ..BARE
    },
    Route {
        name: "copy-numbered",
        settings: "readers = \"any\"\non_conflict = \"number\"",
        old: Old::Stays,
        dispositions: &[Remove, Archive],
        ..RARE
    },
    Route { name: "copy-backed-up", old: Old::BackedUp, dispositions: &[Keep, Remove], ..BARE },
    Route { name: "copy-remade", old: Old::Remade, ..RARE },
    Route {
        name: "copy-below",
        file: "sub/scan.raw",
        settings: "readers = \"any\"\nrecursive = true",
        dispositions: &[Remove, Archive],
        ..RARE
    },
    // Their syncs are shared.
    Route { name: "copy-of-two", drops: 2, dispositions: &[Remove, Archive], ..RARE },
    Route { name: "parts", front: LeadingBytes::Parts, ..RARE },
    Route {
        name: "list",
        front: LeadingBytes::Series("['scan.raw', 'scan_rest.raw']", false),
        dispositions: &[Remove, Archive],
        ..RARE
    },
    // Those that are left of it look like a shorter drop.
    Route {
        name: "glob",
        front: LeadingBytes::Series("'scan*.raw'", true),
        dispositions: &[Remove],
        ..RARE
    },
    // Of a size from which on blocks are allocated ahead.
    Route {
        name: "copy-allocated",
        records: 30_000,
        kinds: &["ext4"],
        dispositions: &[Remove],
        ..BARE
    },
    // Of a size from which on the output is mapped.
    Route {
        name: "copy-mapped",
        records: RECORDS_MAPPED,
        kinds: &["ext4", "xfs"],
        dispositions: &[Remove],
        stride: RARE.stride,
        ..BARE
    },
    // So large that the disk is waited for amid the copy; there is room for it on one of them.
    Route {
        name: "copy-behind",
        records: RECORDS_MAX,
        kinds: &["xfs"],
        dispositions: &[Remove],
        ..BARE
    },
    ROOM,
    Route {
        name: "room-of-a-page",
        front: LeadingBytes::Room(4096, true),
        header_len: 4096,
        ..ROOM
    },
    Route {
        name: "room-with-metadata",
        settings: "metadata = \"json\"",
        dispositions: &[Remove],
        kinds: RARE.kinds,
        stride: RARE.stride,
        ..ROOM
    },
    PENDING,
    Route { name: "pending-beside", beside: true, ..PENDING },
    SPRAWLING,
    Route {
        name: "pending-open",
        file: "scan.npy.pending",
        front: LeadingBytes::Pending(-1),
        ..PENDING
    },
    // The dict is rewritten under the final name.
    Route {
        name: "pending-open-beside",
        front: LeadingBytes::Pending(-1),
        beside: true,
        settings: "metadata = \"json\"",
        dispositions: &[Keep],
        kinds: RARE.kinds,
        stride: RARE.stride,
        ..PENDING
    },
    ABANDONED,
    // The header counts fewer records than there are, and the rest is beside the array.
    Route {
        name: "pending-abandoned-beside",
        front: LeadingBytes::Abandoned(RECORDS as i64 - 3),
        beside: true,
        ..ABANDONED
    },
    // Copied, and the rest saved before the source goes.
    Route {
        name: "pending-abandoned-elsewhere",
        told: "copy",
        elsewhere: Some("out"),
        kinds: TWICE,
        ..ABANDONED
    },
    ELSEWHERE,
    Route { name: "room-elsewhere", front: LeadingBytes::Room(128, false), ..ELSEWHERE },
    Route {
        name: "pending-elsewhere",
        file: "scan.npy",
        front: LeadingBytes::Pending(RECORDS as i64),
        dispositions: &[Keep],
        ..ELSEWHERE
    },
    Route {
        name: "archive-elsewhere",
        elsewhere: Some("archive"),
        dispositions: &[Archive],
        ..ELSEWHERE
    },
    Route {
        name: "reflink",
        told: "reflink",
        header_len: 4096,
        settings: "",
        kinds: &["xfs", "btrfs"],
        ..BARE
    },
    Route {
        name: "reflink-backed-up",
        told: "reflink",
        header_len: 4096,
        settings: "",
        old: Old::BackedUp,
        kinds: &["xfs", "btrfs"],
        dispositions: &[Keep, Remove],
        stride: RARE.stride,
        ..BARE
    },
    Route {
        name: "reflink-beside",
        told: "reflink",
        header_len: 4096,
        settings: "",
        kinds: &["xfs", "btrfs"],
        ..SPRAWLING
    },
    Route {
        name: "insert-range",
        told: "insert-range",
        records: RECORDS_INSERTING,
        header_len: 4096,
        settings: "metadata = \"json\"",
        kinds: &["ext4", "xfs-without-reflink"],
        dispositions: &[Remove],
        ..BARE
    },
];

/// The number of records: several pages, of which the last is not full.
const RECORDS: u32 = 4000;

/// A number of records for which npyd inserts room for a header.
const RECORDS_INSERTING: u32 = 1_400_000;

/// A number of records for which npyd maps the output of a copy.
const RECORDS_MAPPED: u32 = 400_000;

/// The most that a route may ask for: more than a copy leaves to the disk.
const RECORDS_MAX: u32 = 3_100_000;

/// So many records of a drop, no byte of them zero and no two pieces alike: what stands elsewhere,
/// or was never written, is seen.
fn data(drop: usize, records: u32) -> &'static [u8] {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    let all = DATA.get_or_init(|| {
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | 1
        };
        (0..RECORDS_MAX * 12 + 4).map(|_| byte()).collect()
    });
    &all[drop..][..records as usize * 12]
}

/// What is dropped for one array, and what becomes of it.
pub(crate) struct Drop {
    /// The data files, by their paths from the drop directory.
    pub(crate) files: Vec<(String, Vec<u8>)>,
    /// Where the data begin in them.
    pub(crate) data_offset: usize,
    /// What describes them, and its text.
    pub(crate) sidecar: Option<(String, String)>,
    /// The array's path.
    pub(crate) output: String,
    /// The array, byte by byte.
    pub(crate) array: Vec<u8>,
    /// What is behind the array in its data file, and the path at which it is saved.
    pub(crate) rest: Option<(String, Vec<u8>)>,
}

impl Drop {
    /// Returns the path of the drop in receipts: the manifest's path for a series, the data file's
    /// path otherwise.
    pub(crate) fn source(&self) -> &str {
        match &self.sidecar {
            Some((name, text)) if text.contains("data = ") => name,
            _ => &self.files[0].0,
        }
    }

    /// The path of the array's metadata.
    pub(crate) fn metadata(&self) -> String {
        format!("{}.json", self.output)
    }
}

/// The drops of a route, and the one before them.
struct Made {
    drops: Vec<Drop>,
    former: Drop,
}

/// One drop on its way.
#[derive(Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) route: &'static Route,
    pub(crate) disposition: Disposition,
    /// Whether the ledger is on the same file system, and lost along with the rest.
    pub(crate) ledger_along: bool,
    /// Whether the producer made its drop durable. Of one that did not, a power cut may leave
    /// nothing; but neither a wrong array.
    pub(crate) synced: bool,
    /// Of how many bytes the pieces are in which the data file lies on the disk; `None`: in as few
    /// as its file system likes.
    pub(crate) piece: Option<u64>,
    /// Whether npyd copies instead, because the route can't be used.
    pub(crate) is_copied: bool,
}

/// Length of the header of a copy.
const COPY_HEADER_LEN: usize = 128;

impl Scenario {
    /// Every one on a file system, the largest only in the long form. The ledger lies along where
    /// the source is kept: then it alone tells that the work is done; and where its directory has
    /// the note of what would have to be undone.
    pub(crate) fn on(kind: &str) -> Vec<Self> {
        let mut scenarios = Vec::new();
        let is_here = |it: &&Route| it.kinds.contains(&kind) && (is_long() || !it.is_largest());
        for route in ROUTES.iter().filter(is_here) {
            for &disposition in route.dispositions {
                let scenario = Self::of(route.name, disposition);
                scenarios.push(scenario);
                if disposition == Keep || scenario.is_noted() {
                    scenarios.push(Self { ledger_along: true, ..scenario });
                }
                // A manifest that is there already makes an array of whatever is left of the data.
                if disposition == Keep && !route.old.is_of_this_drop() {
                    scenarios.push(Self { synced: false, ..scenario });
                }
            }
        }
        scenarios
    }

    /// One, its drop durable and its ledger elsewhere.
    pub(crate) fn of(route: &str, disposition: Disposition) -> Self {
        let route = ROUTES.iter().find(|it| it.name == route).unwrap();
        Self {
            route,
            disposition,
            ledger_along: false,
            synced: true,
            piece: None,
            is_copied: false,
        }
    }

    /// Whether npyd notes down what it does, to undo it after a crash.
    pub(crate) fn is_noted(&self) -> bool {
        self.route.told == "insert-range"
    }

    /// Whether the array is a file of its own.
    pub(crate) fn makes_a_file(&self) -> bool {
        ["copy", "reflink"].contains(&self.route.told)
    }

    /// This drop as a copy.
    pub(crate) fn copied(&self) -> Self {
        Self { is_copied: true, ..*self }
    }

    /// Everything that is dropped.
    pub(crate) fn drops(&self) -> &'static [Drop] {
        &self.made().drops
    }

    /// What was dropped before, of which npyd made an array.
    pub(crate) fn former_drop(&self) -> &'static Drop {
        &self.made().former
    }

    /// Makes the drops once for each route, because the largest takes longer to make than npyd
    /// takes to process it.
    fn made(&self) -> &'static Made {
        static MADE: Mutex<BTreeMap<(&str, bool), &Made>> = Mutex::new(BTreeMap::new());
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry((self.route.name, self.is_copied)).or_insert_with(|| {
            let drops = (0..self.route.drops).map(|number| self.make(number)).collect();
            Box::leak(Box::new(Made { drops, former: self.make_former() }))
        })
    }

    fn make(&self, number: usize) -> Drop {
        let Route { records, front, .. } = self.route;
        let header_len = if self.is_copied { COPY_HEADER_LEN } else { self.route.header_len };
        let named =
            |name: &str| if number == 0 { name.to_owned() } else { name.replace("scan", "twin") };
        let (file, data) = (named(self.route.file), data(number, *records));
        let (head, tail) = match front {
            LeadingBytes::Nothing | LeadingBytes::Parts | LeadingBytes::Series(..) => {
                (Vec::new(), &[][..])
            }
            LeadingBytes::Room(len, _) => (vec![0; *len], &[][..]),
            LeadingBytes::Pending(first) => (PendingFile::ready(&[*first, 3]).with(&[]), &[][..]),
            LeadingBytes::Sprawling => (self.sprawling_header(), &[][..]),
            LeadingBytes::Abandoned(first) => {
                (PendingFile::writing(&[*first, 3]).with(&[]), &[7; 5][..])
            }
        };
        let raw = [&head, data, tail].concat();
        let stem =
            file.trim_end_matches(".pending").trim_end_matches(".npy").trim_end_matches(".raw");
        let number = if self.route.old == Old::Stays { "-1" } else { "" };
        let array = npy_filling("'<i4'", false, &[u64::from(*records), 3], header_len);
        Drop {
            data_offset: head.len(),
            sidecar: self.sidecar(&file, &raw),
            output: format!("{}/{stem}{number}.npy", self.outputs()),
            array: [&array, data].concat(),
            rest: (!tail.is_empty())
                .then(|| (format!("{}/{file}.rest", self.outputs()), tail.to_vec())),
            files: match front {
                LeadingBytes::Parts => {
                    let (first, second) = raw.split_at(raw.len() / 2);
                    let rest = file.replace("scan", "rest");
                    vec![(file, first.to_vec()), (rest, second.to_vec())]
                }
                LeadingBytes::Series(..) => {
                    let (first, second) = raw.split_at(24);
                    let rest = file.replace("scan", "scan_rest");
                    vec![(file, first.to_vec()), (rest, second.to_vec())]
                }
                _ => vec![(file, raw)],
            },
        }
    }

    /// A pending header whose blanks stand between its first brace and its first key, not at its
    /// end.
    fn sprawling_header(&self) -> Vec<u8> {
        let shape = [i64::from(self.route.records), 3];
        let mut head = PendingFile { data_offset: 4096, ..PendingFile::ready(&shape) }.with(&[]);
        head[11..4095].rotate_right(1000);
        head
    }

    /// The directory of the arrays.
    fn outputs(&self) -> &'static str {
        if self.route.beside { "in" } else { "out" }
    }

    /// Returns the path and the text of the file that describes the data of a file.
    fn sidecar(&self, file: &str, raw: &[u8]) -> Option<(String, String)> {
        let records = self.route.records;
        let manifest = format!("{file}.toml");
        let plain = format!("dtype = '<i4'\nshape = [{records}, 3]\n");
        match self.route.front {
            LeadingBytes::Nothing => Some((manifest, plain)),
            LeadingBytes::Room(len, digested) => {
                let digest = format!("digest = 'crc32c:{:08x}'\n", crc32c::crc32c(raw));
                let digest = if digested { &digest } else { "" };
                Some((manifest, format!("{plain}reserved = {len}\n{digest}")))
            }
            LeadingBytes::Parts => Some((
                file.replace(".raw", ".nhdr"),
                format!(
                    "NRRD0004\ntype: int\ndimension: 2\nsizes: 3 {records}\nencoding: raw\n\
                     endian: little\ndata file: LIST 2\nscan.raw\nrest.raw\n"
                ),
            )),
            LeadingBytes::Series(names, is_open) => {
                let records = if is_open { -1 } else { i64::from(records) };
                let text = format!("dtype = '<i4'\nshape = [{records}, 3]\ndata = {names}\n");
                Some((file.replace(".raw", ".toml"), text))
            }
            LeadingBytes::Pending(_) | LeadingBytes::Abandoned(_) | LeadingBytes::Sprawling => None,
        }
    }

    /// The path of the file that has the array's name before, if there is one.
    pub(crate) fn old(&self) -> Option<String> {
        (self.route.old != Old::None).then(|| format!("{}/scan.npy", self.outputs()))
    }

    fn make_former(&self) -> Drop {
        let mut drop = self.make(0);
        let data = match self.route.old {
            Old::BackedUp => |byte: &u8| !byte,
            _ => |_: &u8| 0,
        };
        drop.files[0].1 = drop.files[0].1.iter().map(data).collect();
        let (header, old) = drop.array.split_at(self.route.header_len);
        drop.array = [header, &old.iter().map(data).collect::<Vec<_>>()].concat();
        drop
    }

    /// The path of the old array's backup, if it has one in the end.
    pub(crate) fn backup(&self) -> Option<String> {
        let has_one = self.route.old == Old::BackedUp;
        has_one.then(|| format!("{}.~1~", self.drops()[0].output))
    }

    /// Whether an array's metadata are kept beside it.
    pub(crate) fn has_metadata(&self) -> bool {
        self.route.settings.contains("metadata")
    }

    /// Returns all files that must exist at the end, by path. Besides these, only metadata may
    /// exist.
    pub(crate) fn end(&self) -> BTreeMap<String, &'static [u8]> {
        let becomes_the_array = self.route.told == "in-place" || self.route.beside;
        let source_at = match self.disposition {
            _ if becomes_the_array => None,
            Keep => Some("in"),
            Remove => None,
            Archive => Some("archive"),
        };
        let mut end = BTreeMap::new();
        end.extend(self.old().map(|old| (old, OLD)));
        end.extend(self.backup().map(|backup| (backup, &self.former_drop().array[..])));
        for Drop { files, sidecar, output, array, rest, .. } in self.drops() {
            end.insert(output.clone(), array); // in the place of the old one, perhaps
            end.extend(rest.as_ref().map(|(path, rest)| (path.clone(), &rest[..])));
            end.extend(sidecar.as_ref().map(|(name, text)| {
                let at = match source_at {
                    Some(at) => format!("{at}/{name}"),
                    None => format!("out/{name}.done"),
                };
                (at, text.as_bytes())
            }));
            if let Some(at) = source_at {
                end.extend(files.iter().map(|(name, raw)| (format!("{at}/{name}"), &raw[..])));
            }
        }
        end
    }
}

/// What has the array's name before, where there is such a file.
pub(crate) const OLD: &[u8] = b"\x93NUMPY, or so it seems";

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let disposition = match self.disposition {
            Keep => "keep",
            Remove => "remove",
            Archive => "archive",
        };
        write!(f, "{} {disposition}", self.route.name)?;
        f.write_str(if self.ledger_along { ", ledger along" } else { "" })?;
        f.write_str(if self.synced { "" } else { ", not synced by its producer" })
    }
}
