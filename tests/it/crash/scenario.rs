//! What is dropped, which way it is to take, and what all of it must have become in the end.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::is_long;
use crate::support::{PendingFile, npy_filling};

/// A way from a drop to its array.
pub(super) struct Route {
    /// What it is called here.
    pub(super) name: &'static str,
    /// What receipts call it.
    pub(super) told: &'static str,
    /// The data file.
    pub(super) file: &'static str,
    front: Front,
    /// How many records of three 4-byte integers the data have.
    records: u32,
    /// The length of the array's header.
    header_len: usize,
    /// Further settings of the drop directory.
    pub(super) settings: &'static str,
    /// Whether the array stays in the drop directory.
    pub(super) beside: bool,
    /// The directory that is on another file system, if one is.
    pub(super) elsewhere: Option<&'static str>,
    /// Whether another file has the array's name before.
    pub(super) replaces: bool,
    /// The file systems that have it.
    pub(super) kinds: &'static [&'static str],
    /// The dispositions of the source that it is for.
    pub(super) dispositions: &'static [Disposition],
}

impl Route {
    /// Whether it moves so many bytes that few trials of it can be made.
    pub(super) fn is_largest(&self) -> bool {
        self.records == RECORDS_MAX
    }
}

/// What stands before the data in the data file.
enum Front {
    Nothing,
    /// So many zeros, and whether the manifest names a digest.
    Room(usize, bool),
    /// A pending header, and the first length of its shape.
    Pending(i64),
}

/// What becomes of the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
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
    front: Front::Nothing,
    records: RECORDS,
    header_len: 128,
    settings: "readers = \"any\"", // which no other way allows
    beside: false,
    elsewhere: None,
    replaces: false,
    kinds: ANYWHERE,
    dispositions: ALL,
};

const ROOM: Route =
    Route { name: "room", told: "in-place", front: Front::Room(128, false), settings: "", ..BARE };

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
    front: Front::Pending(RECORDS as i64),
    ..ROOM
};

/// Every way there is. One that a file system does not have yet is a line more.
pub(super) const ROUTES: &[Route] = &[
    BARE,
    Route {
        name: "copy-replacing",
        settings: "readers = \"any\"\non_conflict = \"replace\"",
        replaces: true,
        ..BARE
    },
    // Of a size from which on blocks are allocated ahead.
    Route {
        name: "copy-allocated",
        records: 30_000,
        kinds: &["ext4"],
        dispositions: &[Remove],
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
    Route { name: "room-of-a-page", front: Front::Room(4096, true), header_len: 4096, ..ROOM },
    PENDING,
    Route { name: "pending-beside", beside: true, ..PENDING },
    Route { name: "pending-open", file: "scan.npy.pending", front: Front::Pending(-1), ..PENDING },
    ELSEWHERE,
    Route { name: "room-elsewhere", front: Front::Room(128, false), ..ELSEWHERE },
    Route {
        name: "pending-elsewhere",
        file: "scan.npy",
        front: Front::Pending(RECORDS as i64),
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
        name: "insert-range",
        told: "insert-range",
        records: RECORDS_INSERTING,
        header_len: 4096,
        settings: "",
        kinds: &["ext4", "xfs-without-reflink"],
        dispositions: &[Remove],
        ..BARE
    },
];

/// As many as make some pages, and not whole ones.
const RECORDS: u32 = 4000;

/// So many that making room for a header is worth it.
const RECORDS_INSERTING: u32 = 1_400_000;

/// The most that a route may ask for: more than a copy leaves to the disk.
const RECORDS_MAX: u32 = 3_100_000;

/// So many records, no byte of them zero and no two pieces alike: what stands elsewhere, or was
/// never written, is seen.
fn data(records: u32) -> &'static [u8] {
    static DATA: OnceLock<Vec<u8>> = OnceLock::new();
    let all = DATA.get_or_init(|| {
        let mut state = 1_u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8 | 1
        };
        (0..RECORDS_MAX * 12).map(|_| byte()).collect()
    });
    &all[..records as usize * 12]
}

/// One drop on its way.
#[derive(Clone, Copy)]
pub(super) struct Scenario {
    pub(super) route: &'static Route,
    pub(super) disposition: Disposition,
    /// Whether the ledger is on the same file system, and lost along with the rest.
    pub(super) ledger_along: bool,
    /// Whether the producer made its drop durable. Of one that did not, a power cut may leave
    /// nothing; but neither a wrong array.
    pub(super) synced: bool,
    /// Of how many bytes the pieces are in which the data file lies on the disk; `None`: in as few
    /// as its file system likes.
    pub(super) piece: Option<u64>,
}

impl Scenario {
    /// Every one on a file system, the largest only in the long form. The ledger lies along where
    /// the source is kept: then it alone tells that the work is done; and where its directory has
    /// the note of what would have to be undone.
    pub(super) fn on(kind: &str) -> Vec<Self> {
        let mut scenarios = Vec::new();
        let is_here = |it: &&Route| it.kinds.contains(&kind) && (is_long() || !it.is_largest());
        for route in ROUTES.iter().filter(is_here) {
            for &disposition in route.dispositions {
                let scenario = Self::of(route.name, disposition);
                scenarios.push(scenario);
                if disposition == Keep || scenario.is_noted() {
                    scenarios.push(Self { ledger_along: true, ..scenario });
                }
                if disposition == Keep {
                    scenarios.push(Self { synced: false, ..scenario });
                }
            }
        }
        scenarios
    }

    /// One, its drop durable and its ledger elsewhere.
    pub(super) fn of(route: &str, disposition: Disposition) -> Self {
        let route = ROUTES.iter().find(|it| it.name == route).unwrap();
        Self { route, disposition, ledger_along: false, synced: true, piece: None }
    }

    /// Whether npyd notes down what it does, to undo it after a crash.
    pub(super) fn is_noted(&self) -> bool {
        self.route.told == "insert-range"
    }

    /// Whether the array is a file of its own.
    pub(super) fn makes_a_file(&self) -> bool {
        ["copy", "reflink"].contains(&self.route.told)
    }

    fn data(&self) -> &'static [u8] {
        data(self.route.records)
    }

    /// The data file as it is dropped.
    pub(super) fn raw(&self) -> Vec<u8> {
        match self.route.front {
            Front::Nothing => self.data().to_vec(),
            Front::Room(len, _) => [&vec![0; len], self.data()].concat(),
            Front::Pending(first) => PendingFile::ready(&[first, 3]).with(self.data()),
        }
    }

    /// Where the data begin in it.
    pub(super) fn data_offset(&self) -> usize {
        self.raw().len() - self.data().len()
    }

    /// The manifest, if it has one.
    pub(super) fn manifest(&self) -> Option<String> {
        let plain = format!("dtype = '<i4'\nshape = [{}, 3]\n", self.route.records);
        match self.route.front {
            Front::Nothing => Some(plain),
            Front::Room(len, digested) => {
                let digest = format!("digest = 'crc32c:{:08x}'\n", crc32c::crc32c(&self.raw()));
                let digest = if digested { &digest } else { "" };
                Some(format!("{plain}reserved = {len}\n{digest}"))
            }
            Front::Pending(_) => None,
        }
    }

    /// The manifest's name.
    pub(super) fn manifest_name(&self) -> String {
        format!("{}.toml", self.route.file)
    }

    /// The array, byte by byte.
    pub(super) fn array(&self) -> Vec<u8> {
        let shape = [u64::from(self.route.records), 3];
        {
            let mut array = npy_filling("'<i4'", false, &shape, self.route.header_len);
            array.extend_from_slice(self.data());
            array
        }
    }

    /// All files there must be in the end, by their paths, and nothing else.
    pub(super) fn end(&self) -> BTreeMap<String, Vec<u8>> {
        let in_place = self.route.told == "in-place";
        let source_at = match self.disposition {
            _ if in_place => None,
            Keep => Some("in"),
            Remove => None,
            Archive => Some("archive"),
        };
        let manifest_at = match source_at {
            Some(at) => format!("{at}/{}", self.manifest_name()),
            None => format!("out/{}.done", self.manifest_name()),
        };
        let mut end = BTreeMap::from([(self.output(), self.array())]);
        end.extend(source_at.map(|at| (format!("{at}/{}", self.route.file), self.raw())));
        end.extend(self.manifest().map(|text| (manifest_at, text.into_bytes())));
        end
    }

    /// The array's path.
    pub(super) fn output(&self) -> String {
        format!("{}/scan.npy", if self.route.beside { "in" } else { "out" })
    }
}

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
