//! What the soak drops, and what must become of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{PendingFile, Site, npy_filling, npy_header, wait_until};

/// What is dropped in one turn of the soak; all names begin with its number.
pub(super) struct Turn {
    pub(super) number: usize,
    pub(super) dumps: Vec<Dump>,
}

/// One data file with its description.
pub(super) struct Dump {
    name: String,
    kind: Kind,
    /// The number that the bytes are made of, and their length.
    seed: u64,
    len: usize,
    /// The dtype in the array's header, as a literal.
    descr: &'static str,
}

/// How a dump is described, and what becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A manifest; the source stays.
    Kept,
    /// A manifest; the source is removed.
    Removed,
    /// A pending header.
    Pending,
    /// Too long for its manifest, in a directory that moves rejected drops away.
    Rejected,
}

impl Turn {
    /// Writes the files of a turn.
    pub(super) fn write(site: &Site, number: usize, count: usize) -> Self {
        let dumps = (0..count).map(|index| Dump::new(number, index)).collect();
        let turn = Turn { number, dumps };
        turn.dumps.iter().for_each(|dump| dump.write(site));
        turn
    }

    /// Writes files of this length.
    pub(super) fn write_equal(site: &Site, number: usize, count: usize, len: usize) -> Self {
        let dumps = (0..count).map(|index| Dump { len, ..Dump::new(number, index) }).collect();
        let turn = Turn { number, dumps };
        turn.dumps.iter().for_each(|dump| dump.write(site));
        turn
    }

    /// Writes one more small file, and returns the path of its array.
    pub(super) fn write_one_more(&mut self, site: &Site) -> PathBuf {
        // A multiple of all kinds is one whose source is kept.
        let index = self.dumps.len().next_multiple_of(KINDS.len());
        let dump = Dump { len: 1024, ..Dump::new(self.number, index) };
        dump.write(site);
        let path = site.path(dump.array());
        self.dumps.push(dump);
        path
    }

    /// Writes other bytes into one file, and requests another dtype for another one.
    pub(super) fn correct(&mut self, site: &Site) {
        let is_kept = |dump: &&mut Dump| dump.kind == Kind::Kept;
        let mut kept = self.dumps.iter_mut().filter(is_kept);
        let (Some(rewritten), Some(redone)) = (kept.next(), kept.next()) else { return };
        for dump in [&*rewritten, &*redone] {
            // A daemon that was killed may have made the array, and not yet stored the receipt:
            // without that, another drop of this name would be a conflict.
            wait_until(&format!("the receipt of {}", dump.name), String::new, || {
                let history = site.npyd(&["history", "--json", "--limit", "1000"]);
                history.expect_code(0).stdout.contains(&dump.source())
            });
        }
        rewritten.seed += 1 << 32;
        site.write(&rewritten.source(), rewritten.bytes());
        redone.descr = "'<i4'";
        site.npyd(&["redo", &redone.source(), "--dtype", "<i4"]).expect_code(0);
    }

    /// Checks the arrays again, then removes all files of the turn.
    pub(super) fn retire(self, site: &Site) {
        for dump in &self.dumps {
            assert!(dump.is_done(site), "{} was right before", dump.array());
            assert_eq!(site.has(&dump.source()), dump.keeps_source(), "{}", dump.source());
        }
        let prefix = format!("t{}-", self.number);
        for dir in ["in", "in-removed", "rejects", "out", "out/removed"] {
            let mut names = site.names(dir);
            names.retain(|name| name.starts_with(&prefix));
            // Data before their descriptions, so that nothing is left that nothing describes.
            names.sort_by_key(|name| name.ends_with("toml"));
            for name in names {
                fs::remove_file(site.path(dir).join(name)).unwrap();
            }
        }
    }
}

/// The kinds in the order in which they are dropped.
const KINDS: [Kind; 10] = [
    Kind::Kept,
    Kind::Removed,
    Kind::Kept,
    Kind::Pending,
    Kind::Removed,
    Kind::Kept,
    Kind::Removed,
    Kind::Kept,
    Kind::Pending,
    Kind::Rejected,
];

impl Dump {
    fn new(turn: usize, index: usize) -> Self {
        let seed = (turn as u64) << 16 | index as u64;
        let random = xxhash_rust::xxh3::xxh3_64(&seed.to_le_bytes());
        // Most files are small, some have a mebibyte.
        let longest = match random % 20 {
            0 => 1 << 20,
            1..=5 => 64 << 10,
            _ => 4 << 10,
        };
        let len = 4 * (1 + (random >> 8) as usize % (longest / 4));
        let kind = KINDS[index % KINDS.len()];
        Dump { name: format!("t{turn}-{index}"), kind, seed, len, descr: "'<f4'" }
    }

    /// The path of the data file in the site.
    fn source(&self) -> String {
        let (dir, extension) = match self.kind {
            Kind::Kept => ("in", "raw"),
            Kind::Pending => ("in", "npy.pending"),
            Kind::Removed | Kind::Rejected => ("in-removed", "raw"),
        };
        format!("{dir}/{}.{extension}", self.name)
    }

    fn array(&self) -> String {
        let dir = if self.kind == Kind::Removed { "out/removed" } else { "out" };
        format!("{dir}/{}.npy", self.name)
    }

    fn keeps_source(&self) -> bool {
        matches!(self.kind, Kind::Kept | Kind::Pending)
    }

    fn bytes(&self) -> Vec<u8> {
        let words = (0..self.len.div_ceil(8) as u64)
            .map(|at| xxhash_rust::xxh3::xxh3_64_with_seed(&at.to_le_bytes(), self.seed));
        words.flat_map(u64::to_le_bytes).take(self.len).collect()
    }

    fn items(&self) -> u64 {
        self.len as u64 / 4
    }

    fn write(&self, site: &Site) {
        let items = self.items();
        let mut bytes = self.bytes();
        if self.kind == Kind::Pending {
            let header =
                PendingFile { descr: "'<f4'", ..PendingFile::ready(&[items.cast_signed()]) };
            site.write(&self.source(), header.with(&bytes));
            return;
        }
        if self.kind == Kind::Rejected {
            bytes.push(0);
        }
        let source = self.source();
        site.write(&source, bytes);
        site.write(&format!("{source}.toml"), format!("dtype = '<f4'\nshape = [{items}]\n"));
    }

    /// Whether what must become of it has become of it.
    pub(super) fn is_done(&self, site: &Site) -> bool {
        if self.kind == Kind::Rejected {
            let rejected = site.path(format!("rejects/{}.raw", self.name));
            let bytes = self.bytes();
            return fs::read(rejected).is_ok_and(|it| it.split_last() == Some((&0, &bytes)));
        }
        fs::read(site.path(self.array())).is_ok_and(|array| self.is_array(&array))
            && (self.keeps_source() || !Path::new(&site.path(self.source())).exists())
    }

    /// Whether these are the bytes of the array, as the reference implementation writes them.
    fn is_array(&self, array: &[u8]) -> bool {
        let Some(header_len) = array.len().checked_sub(self.len) else { return false };
        let (header, data) = array.split_at(header_len);
        let shape = [self.items()];
        let is_header = header == npy_header(self.descr, false, &shape)
            || header_len >= 128 && header == npy_filling(self.descr, false, &shape, header_len);
        is_header && data == self.bytes()
    }
}
