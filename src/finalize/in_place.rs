//! The in-place route: the data stay where they are, and their header is written before them.
//!
//! Data first, synced; then the header, synced: never both under one sync, for a disk may write
//! them in any order. The final name comes last, unless the file has it already: then the header's
//! first eight bytes decide, and they come last.

use super::source::{lost, synced};
use super::{Halt, Settled, Site, copy, target};
use crate::candidate::Candidate;
use crate::disk::{Moved, Stat};
use crate::look::SOURCE_ATTR;
use crate::npy::MAGIC;
use crate::plan::{SECTOR, Write};
use crate::progress::Progress;
use crate::recognize::{FileName, Kind};
use crate::stamp::Identity;

/// Writes the header into the data file, which is still what it was `before`, and gives it its
/// final name. Before it is an array, it is described as one.
pub(super) fn write(
    settled: &Settled,
    site: &Site,
    writes: &[Write],
    (output, before): (&FileName, &Stat),
    progress: &mut Progress,
    describe: &dyn Fn() -> Result<(), Halt>,
) -> Result<(), Halt> {
    let file = synced(settled, before, progress)?;
    refuse_anothers(settled, writes)?;
    let name = leave_final_name(settled, site)?;
    file.drop_special_bits()?;
    if settled.dump.digest.is_some() {
        // From the first byte of the header on, the digest can't be worked out any more.
        file.set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
        file.sync_all().map_err(lost)?;
    }
    describe()?;
    for write in writes {
        let before = file.read_at_most(write.at, write.bytes.len())?;
        file.write_all_at(&write.bytes, write.at)?;
        if let Err(error) = file.sync_data() {
            // Nobody shall take it for an array; where that fails, too, its receipt tells.
            let _ = file.write_all_at(&before, write.at);
            return Err(lost(error));
        }
    }
    if site.beside && *output == name {
        return Ok(());
    }
    if settled.candidate.sidecar.is_some() {
        file.set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
    }
    drop(file); // or we would be a writer that keeps it from being removed
    if !rename(settled, site, &name, output, progress)? {
        return Err(Halt::Again(format!("`{output}` appeared meanwhile")));
    }
    site.output.sync()?;
    if !site.beside {
        site.source.sync()?;
    }
    Ok(())
}

/// A template may fit the name of an array, too, that npyd has nothing to do with. Its own header
/// it finds there where it was ended before the array was moved.
fn refuse_anothers(settled: &Settled, writes: &[Write]) -> Result<(), Halt> {
    if settled.dump.kind != Kind::Template {
        return Ok(());
    }
    let file = &settled.candidate.file;
    if !file.read_at_most(0, 6)?.starts_with(&MAGIC) {
        return Ok(());
    }
    for write in writes {
        if file.read_at_most(write.at, write.bytes.len())? != write.bytes {
            let what = "it is a .npy file already, with another header: move it away";
            return Err(Halt::Rejected(what.to_owned()));
        }
    }
    Ok(())
}

/// Whether the digest was right before npyd wrote this header into the file and was ended then: its
/// mark is of this file and of this very manifest. Bytes 0 to 8 of a header come last.
pub(super) fn was_verified(settled: &Settled, there: &[u8], head: &[u8]) -> Result<bool, Halt> {
    let Candidate { file, stat, .. } = &settled.candidate;
    let Some(mark) = file.attr(SOURCE_ATTR)? else { return Ok(false) };
    let mark = Identity::parse(&String::from_utf8_lossy(&mark));
    let of_this = mark.data.starts_with(&format!("{}:{}:", stat.ino, stat.size))
        && mark.sidecar == settled.candidate.stamp().identity().sidecar;
    Ok(of_this && there.get(8..) == head.get(8..))
}

/// The byte that filled the room before npyd began to write a header into it, and a crash tore
/// that: each sector is the header's or has that byte alone. `None`: there is none, or that can't
/// be told.
pub(super) fn filled_with(there: &[u8], head: &[u8]) -> Option<u8> {
    let fill = *there.first()?;
    let is_full = |bytes: &[u8]| bytes.iter().all(|byte| *byte == fill);
    let mut sectors = there.chunks(SECTOR).zip(head.chunks(SECTOR));
    // Bytes 0 to 8 come last.
    let (first, of_head) = sectors.next()?;
    let is_first = is_full(first.get(..8)?) && (first[8..] == of_head[8..] || is_full(first));
    let is_torn = is_first && sectors.all(|(sector, of_head)| sector == of_head || is_full(sector));
    (there.len() == head.len() && is_torn).then_some(fill)
}

/// Gives the array its final name; `false` where that is taken.
fn rename(
    settled: &Settled,
    site: &Site,
    name: &FileName,
    output: &FileName,
    progress: &mut Progress,
) -> Result<bool, Halt> {
    let replace = target::replaces(settled, site, output)?;
    let (file, to) = (&settled.candidate.file, output.as_ref());
    match site.source.move_if_same(name.as_ref(), file, &site.output, to, replace)? {
        Moved::Moved => Ok(true),
        Moved::TargetExists => Ok(false),
        Moved::NotSame | Moved::Unproven => {
            Err(Halt::Again("it was replaced by another file".to_owned()))
        }
        // One mount does not always mean that files can be renamed: the two directories may belong
        // to different quota projects, or be encrypted differently.
        Moved::OtherFileSystem => {
            let (mut copy, before) = copy::duplicate(file, site, progress)?;
            copy.file().set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
            let published = copy.publish(output.as_ref(), replace)?;
            if published {
                let writers = settled.writers();
                let _ = site.source.remove_if_unchanged(name.as_ref(), file, &before, writers)?;
            }
            Ok(published)
        }
    }
}

/// A pending `x.npy` that is to move elsewhere must not look final before it is there: a crash
/// between commit and move would leave it where nobody finishes the move. Under a pending name the
/// next look does.
fn leave_final_name(settled: &Settled, site: &Site) -> Result<FileName, Halt> {
    let name = &settled.candidate.name;
    if settled.dump.kind != Kind::Pending || site.beside || name.without_pending_suffix().is_some()
    {
        return Ok(name.clone());
    }
    let pending = FileName::try_from(format!("{name}.pending")).map_err(Halt::Rejected)?;
    if site.source.stat(pending.as_ref())?.is_some() {
        return Err(Halt::Rejected(format!("`{pending}` is there as well: remove one of the two")));
    }
    if !site.source.take_as(name.as_ref(), &settled.candidate.file, pending.as_ref())? {
        return Err(Halt::Again("it was replaced by another file".to_owned()));
    }
    site.source.sync()?;
    Ok(pending)
}
