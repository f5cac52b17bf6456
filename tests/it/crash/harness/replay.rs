//! States of a disk after a power cut, computed from the log of its writes. Pure.
//!
//! The disk has all writes before a completed flush. It may have any part of the later writes,
//! because a disk writes in any order, and in units of a sector.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

/// The length of a block of an [`Image`], in bytes.
const BLOCK: usize = 4096;

/// What a disk holds: its blocks that are not all zeros.
#[derive(Clone, Default)]
pub(crate) struct Image(BTreeMap<u64, Rc<[u8; BLOCK]>>);

impl Image {
    /// Writes bytes over those at an offset.
    pub(crate) fn write(&mut self, at: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let (number, within) = split(at + done as u64);
            let len = (BLOCK - within).min(bytes.len() - done);
            let new = &bytes[done..done + len];
            done += len;
            if !self.0.contains_key(&number) && new.iter().all(|&byte| byte == 0) {
                continue;
            }
            let block = self.0.entry(number).or_insert_with(|| Rc::new([0; BLOCK]));
            Rc::make_mut(block)[within..within + len].copy_from_slice(new);
        }
    }

    /// Its blocks, each with its offset.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(number, block)| (number * BLOCK as u64, &block[..]))
    }
}

/// The number of the block an offset lies in, and where in that block.
fn split(at: u64) -> (u64, usize) {
    let block = BLOCK as u64;
    (at / block, (at % block) as usize)
}

/// What one entry of a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Entry {
    /// These bytes of the log were written at this offset of the disk.
    Write(u64, Range<usize>),
    /// All that was written before is durable.
    Flush,
}

/// The log of a disk's writes, as QEMU's blklogwrites and Linux's dm-log-writes keep it.
pub(crate) struct Log {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Log {
    const MAGIC: u64 = 0x006a_7366_7773_6872;
    const FLUSH: u64 = 1;
    const FUA: u64 = 2;
    const DISCARD: u64 = 4;

    /// Returns the number of entries that a log declares.
    pub(crate) fn count(bytes: &[u8]) -> usize {
        assert_eq!(number(bytes, 0), Self::MAGIC, "not a log of writes");
        number(bytes, 16) as usize
    }

    /// Reads a log.
    pub(crate) fn parse(mut bytes: Vec<u8>) -> Self {
        let count = Self::count(&bytes);
        let sector = number(&bytes, 24) as u32 as usize;
        let (mut entries, mut at) = (Vec::new(), sector);
        for _ in 0..count {
            let [to, sectors, flags] = [0, 8, 16].map(|field| number(&bytes, at + field));
            at += sector;
            let len = sectors as usize * sector;
            let mut data = at..at + len;
            if flags & Self::DISCARD == 0 {
                at += len;
            } else {
                // The log holds no data of it: what is discarded reads as zeros.
                data = bytes.len()..bytes.len() + len;
                bytes.resize(data.end, 0);
            }
            assert!(data.end <= bytes.len(), "the log ends within an entry");
            // A flush comes before the data of its own entry, a forced write is flushed after.
            if flags & Self::FLUSH != 0 {
                entries.push(Entry::Flush);
            } else {
                entries.push(Entry::Write(to * sector as u64, data.clone()));
            }
            assert!(flags & Self::FLUSH == 0 || data.is_empty(), "a flush with data");
            assert_eq!(flags & Self::FUA, 0, "a forced write, which would be a flush of its own");
        }
        Self { bytes, entries }
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The entries between two flushes.
    fn epochs(&self) -> Vec<Range<usize>> {
        let is_flush = |at: &usize| self.entries[*at] == Entry::Flush;
        let ends = (0..self.len()).filter(is_flush).chain([self.len()]);
        let mut from = 0;
        ends.map(|end| std::mem::replace(&mut from, end + 1)..end).collect()
    }

    /// Every state that is to be tried, in the order of the cuts.
    pub(crate) fn states(&self, seed: u64, draws: usize) -> Vec<State> {
        let mut random = Random(seed);
        let mut states = vec![State { durable: 0, cut: 0, loss: Loss::Nothing }];
        for epoch in self.epochs().into_iter().filter(|epoch| !epoch.is_empty()) {
            let durable = epoch.start;
            let mut add = |cut, loss| states.push(State { durable, cut, loss });
            for cut in epoch.start + 1..=epoch.end {
                add(cut, Loss::Nothing);
            }
            for lost in epoch.start..epoch.end - 1 {
                add(epoch.end, Loss::Entry(lost));
            }
            for len in [BLOCK, 512] {
                for _ in 0..draws {
                    add(epoch.end, Loss::Pieces { len, seed: random.next() });
                }
            }
        }
        states
    }

    /// Writes to an image what these entries wrote.
    pub(crate) fn apply(&self, image: &mut Image, entries: Range<usize>) {
        for entry in &self.entries[entries] {
            if let Entry::Write(at, data) = entry {
                image.write(*at, &self.bytes[data.clone()]);
            }
        }
    }

    /// Writes to an image that has all that is durable what of the rest is in a state.
    pub(crate) fn complete(&self, image: &mut Image, state: &State) {
        match state.loss {
            Loss::Nothing => self.apply(image, state.durable..state.cut),
            Loss::Entry(lost) => {
                self.apply(image, state.durable..lost);
                self.apply(image, lost + 1..state.cut);
            }
            Loss::Pieces { len, seed } => {
                let mut random = Random(seed);
                for entry in &self.entries[state.durable..state.cut] {
                    let Entry::Write(at, data) = entry else { continue };
                    for (number, piece) in self.bytes[data.clone()].chunks(len).enumerate() {
                        if random.next() & 1 == 0 {
                            image.write(at + (number * len) as u64, piece);
                        }
                    }
                }
            }
        }
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A state that the disk may be in after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    /// How many of the first entries are there in any case.
    pub(crate) durable: usize,
    /// How many entries there were when the power was cut.
    pub(crate) cut: usize,
    /// What of those between the two is not there.
    pub(crate) loss: Loss,
}

/// The loss among writes that were not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing.
    Nothing,
    /// This one.
    Entry(usize),
    /// About half of their pieces of this length.
    Pieces { len: usize, seed: u64 },
}

/// Pseudo-random numbers: a Weyl sequence, its bits mixed.
pub(crate) struct Random(pub(super) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of sectors that are filled with one byte each: (offset in sectors, byte), or a flush.
    fn log(entries: &[Option<(u64, u8)>]) -> Log {
        let sector = |fields: [u64; 4]| {
            let mut sector: Vec<u8> = fields.iter().flat_map(|it| it.to_le_bytes()).collect();
            sector.resize(512, 0);
            sector
        };
        let mut bytes = sector([Log::MAGIC, 1, entries.len() as u64, 512]);
        for entry in entries {
            match entry {
                Some((at, byte)) => {
                    bytes.extend(sector([*at, 1, 0, 0]));
                    bytes.extend([*byte; 512]);
                }
                None => bytes.extend(sector([0, 0, Log::FLUSH, 0])),
            }
        }
        Log::parse(bytes)
    }

    /// The first byte of each of the first sectors of a disk in that state.
    fn disk(log: &Log, state: &State) -> [u8; 3] {
        let mut image = Image::default();
        log.apply(&mut image, 0..state.durable);
        log.complete(&mut image, state);
        let block = image.blocks().next().map_or(vec![0; BLOCK], |(_, block)| block.to_vec());
        [block[0], block[512], block[1024]]
    }

    #[test]
    fn what_is_flushed_is_there_and_the_rest_may_be() {
        let log = log(&[Some((0, 1)), None, Some((1, 2)), Some((2, 3)), None, Some((0, 4))]);
        let states = log.states(1, 20);
        let disks: Vec<_> = states.iter().map(|state| disk(&log, state)).collect();
        let possible = [[0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 2, 3], [1, 0, 3], [4, 2, 3]];
        assert!(possible.iter().all(|it| disks.contains(it)), "{disks:?}");
        assert!(disks.iter().all(|it| possible.contains(it)), "{disks:?}");
        assert_eq!(states, log.states(1, 20), "the same ones each time");
    }

    #[test]
    fn writes_cross_blocks() {
        let mut image = Image::default();
        image.write(4000, &[7; 200]);
        image.write(1 << 20, &[0; 5000]);
        let blocks: Vec<_> = image.blocks().collect();
        assert_eq!(blocks.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 4096]);
        assert_eq!((blocks[0].1[3999], blocks[0].1[4000], blocks[1].1[103]), (0, 7, 7));
        assert_eq!(blocks[1].1[104], 0);
    }
}
