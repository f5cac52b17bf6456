//! Copies whole files to another file system, where a rename can't move them: archived sources,
//! rejected drops, sidecars.
//!
//! A copy keeps times, owner, group, permissions, ACL and the user's attributes. Rule T1: no user
//! can read or change the copy at any moment who could not read or change the source. The copy
//! therefore begins with mode 0600 and npyd as its owner. The group is set before the permissions,
//! which are narrowed where owner or group can't be kept, and the owner is set last. The
//! set-user-ID, set-group-ID and sticky bits are dropped.

use std::ops::ControlFlow;

use crate::facts::{self, Fact};
use crate::fs::{
    self, Acl, AclEntry, AclTag, Attributes, Conditional, CopyError, CopyJob, DataFile, Dir,
    OpenWriters, Segment, TempFile,
};
use crate::model::{FileName, Stat, Writer};

/// The read and write bits of an ACL entry.
const READ: u16 = 4;
const WRITE: u16 = 2;

/// Prefix of the attributes that npyd itself sets. A producer's would count as npyd's own on a copy
/// that npyd owns, so they are not copied.
const OWN_ATTRIBUTES: &[u8] = b"user.npyd.";

/// A file of which a durable copy exists on another file system.
pub(crate) struct Copied {
    /// The source's metadata when it was copied.
    pub(crate) source: Stat,
    /// The attributes that the copy could not keep.
    pub(crate) lost: Lost,
    /// The name of the copy.
    pub(crate) name: FileName,
}

impl Copied {
    /// Removes the source, if it has not changed since it was copied to `to_dir`.
    pub(crate) fn remove_source(
        self,
        (from, name, file): (&Dir, &FileName, &DataFile),
        to_dir: &Dir,
        writers: OpenWriters,
    ) -> fs::Result<Conditional<Lost>> {
        let source = (file, &self.source, writers);
        let copy = (to_dir, self.name.as_ref());
        let removed = from.remove_if_copied(name.as_ref(), source, copy)?;
        Ok(removed.map(|()| self.lost))
    }
}

/// The properties of its source that a copy does not have.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Lost(Vec<&'static str>);

impl Lost {
    fn between(source: &Attributes, copy: &Attributes) -> Self {
        let has_acl = |acl: &Acl| acl.mode().is_none();
        let losses = [
            (copy.uid != source.uid, "owner (which takes CAP_CHOWN)"),
            (copy.gid != source.gid, "group"),
            (has_acl(&source.acl) && !has_acl(&copy.acl), "ACL"),
            (!copy.is_time_of(source), "times"),
        ];
        Lost(losses.into_iter().filter(|(is_lost, _)| *is_lost).map(|(_, what)| what).collect())
    }

    /// Adds the losses of another copy.
    pub(crate) fn add(&mut self, other: Lost) {
        let new = other.0.into_iter().filter(|what| !self.0.contains(what));
        self.0.extend(new.collect::<Vec<_>>());
    }

    /// Returns the remark for the receipt.
    pub(crate) fn remark(&self) -> Option<String> {
        let lost = !self.0.is_empty();
        lost.then(|| format!("the archived copy could not keep the source's {}", self.0.join(", ")))
    }

    /// Notes the losses of a file that has no receipt.
    pub(crate) fn note(self, file: &DataFile) {
        if !self.0.is_empty() {
            let file = file.path().to_path_buf();
            facts::note(Fact::AttributesLost { file, lost: self.0 });
        }
    }
}

/// Makes a durable copy of a file on another file system, under the first free of the names `to`,
/// `to.1`, …, unless an interrupted run already made one.
pub(crate) fn copied(source: &DataFile, to_dir: &Dir, to: &FileName) -> fs::Result<Copied> {
    match found_whole(source, to_dir, to)? {
        Some(found) => Ok(found),
        None => copy_whole(source, to_dir, to),
    }
}

/// Finds a copy that an interrupted run made. A copy gets its name after all its attributes, so a
/// file with equal bytes and the source's modification time is that copy. Changes nothing about the
/// file, because it may still be another program's.
fn found_whole(source: &DataFile, to_dir: &Dir, to: &FileName) -> fs::Result<Option<Copied>> {
    let (before, attributes) = (source.stat()?, source.attributes()?);
    for name in to.alternatives() {
        let there = match to_dir.open_file(name.as_ref()) {
            Err(error) if error.is_denied() => continue,
            opened => opened?,
        };
        let Some(there) = there else { break };
        let (stat, found) = (there.stat()?, there.attributes()?);
        let is_trusted = stat.is_file() && [fs::own_uid(), before.uid].contains(&stat.uid);
        let is_alike = stat.size == before.size && found.is_time_of(&attributes);
        if is_trusted && is_alike && there.is_equal_at(0, source, 0, before.size)? {
            there.sync_all()?;
            to_dir.sync()?;
            let lost = Lost::between(&attributes, &found);
            return Ok(Some(Copied { source: before, lost, name }));
        }
    }
    Ok(None)
}

/// Copies a file to another file system, under the first free name. Fails if a process writes to
/// the file in the meantime.
fn copy_whole(source: &DataFile, to_dir: &Dir, to: &FileName) -> fs::Result<Copied> {
    // Read the attributes first: copying changes the access time.
    let (before, attributes) = (source.stat()?, source.attributes()?);
    let check = || {
        let written = source.writer()? == Writer::Present;
        if !written && source.stat()?.is_unchanged_since(&before) {
            Ok(())
        } else {
            Err(source.changed())
        }
    };
    let copy = CopyJob {
        head: &[],
        segments: vec![Segment::new(source, 0, before.size)?],
        may_map: false,
    };
    let mut output = filled(&copy, to_dir).map_err(|error| match error {
        CopyError::Disk(error) => error,
        CopyError::Stopped | CopyError::SourceEnded { .. } => source.changed(),
    })?;
    let lost = carry(source, &attributes, output.file())?;
    check()?;
    let name = publish_numbered(&mut output, to_dir, to)?;
    check().map(|()| Copied { source: before, lost, name })
}

fn filled(copy: &CopyJob<'_>, to_dir: &Dir) -> Result<TempFile, CopyError> {
    let mut output = copy.private_output(to_dir)?;
    copy.run(&mut output, None, &mut |_, _| ControlFlow::Continue(()))?;
    Ok(output)
}

fn publish_numbered(output: &mut TempFile, dir: &Dir, to: &FileName) -> fs::Result<FileName> {
    for name in to.alternatives() {
        if output.publish(name.as_ref(), false)? {
            return Ok(name);
        }
    }
    Err(dir.names_exhausted(to.as_ref()))
}

/// Gives a private copy the attributes of its source, in the order of rule T1. Returns what could
/// not be kept.
pub(crate) fn carry(source: &DataFile, of: &Attributes, copy: &DataFile) -> fs::Result<Lost> {
    // Set these first, because the permissions may deny writing to the owner.
    let keeps_attributes = carry_user_attributes(source, copy)?;
    let new = copy.attributes()?;
    let has_group = new.gid == of.gid || copy.set_group(of.gid)?;
    let is_owner = new.uid == of.uid;
    copy.narrow_to(&narrowed(&of.acl, is_owner, has_group))?;
    copy.set_times(of)?;
    if !is_owner && copy.set_owner(of.uid)? {
        // Adds the write permissions of others; without CAP_FOWNER they stay narrowed.
        copy.set_acl(&narrowed(&of.acl, true, has_group))?;
    }
    let mut lost = Lost::between(of, &copy.attributes()?);
    if !keeps_attributes {
        lost.0.push("extended attributes");
    }
    Ok(lost)
}

/// Gives a new file that replaces another the attributes of that, except the times: readers must
/// see that it changed.
pub(crate) fn carry_but_times(old: &DataFile, new: &DataFile) -> fs::Result<()> {
    let now = new.attributes()?;
    carry(old, &old.attributes()?, new)?;
    new.set_times(&now)?;
    Ok(())
}

/// Copies the extended attributes of the user namespace, one at a time. Returns whether the copy
/// has them all.
fn carry_user_attributes(source: &DataFile, copy: &DataFile) -> fs::Result<bool> {
    let Some(names) = source.user_attributes()? else { return Ok(false) };
    let mut keeps_all = true;
    for name in names.iter().filter(|name| !name.to_bytes().starts_with(OWN_ATTRIBUTES)) {
        keeps_all &= source.copy_attribute(name, copy)?;
    }
    Ok(keeps_all)
}

/// Returns the permissions of a copy that npyd, instead of the source's owner or group, may own, so
/// that no user but npyd gains a permission (T1).
fn narrowed(acl: &Acl, has_owner: bool, has_group: bool) -> Acl {
    let perm_of = |tag| acl.0.iter().find(|entry| entry.tag == tag).map(|entry| entry.perm);
    let mask = perm_of(AclTag::Mask);
    let group = perm_of(AclTag::OwningGroup).unwrap_or(0) & mask.unwrap_or(7);
    let both = group & perm_of(AclTag::Other).unwrap_or(0);
    let narrow = |entry: &AclEntry| {
        let mut perm = match entry.tag {
            // A named entry may deny a member of the copy's group what other users may do.
            AclTag::OwningGroup if !has_group && mask.is_some() => 0,
            // A member of only one of the two groups counts as another user for the other file.
            AclTag::OwningGroup | AclTag::Other if !has_group => both,
            _ => entry.perm,
        };
        // npyd could read the source. A file that npyd owns counts as its own work, so no other
        // user may write to it.
        match entry.tag {
            _ if has_owner => {}
            AclTag::Owner => perm |= READ,
            _ => perm &= !WRITE,
        }
        AclEntry { perm, ..*entry }
    };
    Acl(acl.0.iter().map(narrow).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn name(text: &str) -> FileName {
        FileName::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn a_file_that_is_still_written_to_is_not_moved_by_a_copy() {
        let temp = tempfile::tempdir().unwrap();
        let (from, to) = (temp.path().join("x"), temp.path().join("to"));
        fs::write(&from, "text").unwrap();
        fs::create_dir(&to).unwrap();
        let to_dir = Dir::open(&to).unwrap();
        let file = DataFile::open(&from).unwrap();
        let writer = fs::File::options().append(true).open(&from).unwrap();
        assert!(copy_whole(&file, &to_dir, &name("x")).is_err());
        assert!(!to.join("x").exists());
        drop(writer);
        copy_whole(&file, &to_dir, &name("x")).unwrap();
        assert_eq!(fs::read(to.join("x")).unwrap(), b"text");
    }

    #[test]
    fn a_copy_has_the_mode_and_the_times_of_its_source() {
        let temp = tempfile::tempdir().unwrap();
        let from = temp.path().join("x");
        fs::write(&from, "text").unwrap();
        for mode in [0o600, 0o400, 0o644, 0o6777, 0o604] {
            let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
            fs::File::open(&from).unwrap().set_modified(time).unwrap();
            fs::set_permissions(&from, PermissionsExt::from_mode(mode)).unwrap();
            let dir = Dir::open(temp.path()).unwrap();
            copy_whole(&DataFile::open(&from).unwrap(), &dir, &name("y")).unwrap();
            let meta = fs::metadata(temp.path().join("y")).unwrap();
            assert_eq!(meta.mode() & 0o7777, mode & 0o777);
            assert_eq!(meta.modified().unwrap(), time);
            fs::remove_file(temp.path().join("y")).unwrap();
        }
    }

    #[test]
    fn only_a_copy_with_the_time_of_its_source_is_found() {
        let temp = tempfile::tempdir().unwrap();
        let from = temp.path().join("x");
        fs::write(&from, "text").unwrap();
        fs::create_dir(temp.path().join("to")).unwrap();
        let dir = Dir::open(&temp.path().join("to")).unwrap();
        fs::write(temp.path().join("to/x"), "text").unwrap();
        let another = fs::File::open(temp.path().join("to/x")).unwrap();
        another.set_modified(SystemTime::now() + Duration::from_mins(1)).unwrap();
        let file = DataFile::open(&from).unwrap();
        assert!(found_whole(&file, &dir, &name("x")).unwrap().is_none());
        copy_whole(&file, &dir, &name("x")).unwrap();
        assert!(found_whole(&file, &dir, &name("x")).unwrap().is_some());
        assert!(temp.path().join("to/x.1").exists());
    }

    /// Permissions of the copy if npyd keeps the owner, the group, or neither.
    #[test]
    fn permissions_are_narrowed() {
        let mode = |mode, owner, group| narrowed(&Acl::of_mode(mode), owner, group).mode().unwrap();
        for (source, of_owner, of_group, of_none) in [
            (0o640, 0o600, 0o640, 0o600),
            (0o644, 0o644, 0o644, 0o644),
            (0o666, 0o666, 0o644, 0o644),
            (0o604, 0o600, 0o604, 0o600),
            (0o775, 0o755, 0o755, 0o755),
        ] {
            assert_eq!(mode(source, true, true), source, "{source:o}");
            assert_eq!(mode(source, true, false), of_owner, "{source:o}");
            assert_eq!(mode(source, false, true), of_group, "{source:o}");
            assert_eq!(mode(source, false, false), of_none, "{source:o}");
        }
        let entry = |tag, perm, id| AclEntry { tag, perm, id };
        let acl = |group, other| {
            Acl(vec![
                entry(AclTag::Owner, 6, !0),
                entry(AclTag::User, 4, 1000),
                entry(AclTag::OwningGroup, group, !0),
                entry(AclTag::Mask, 4, !0),
                entry(AclTag::Other, other, !0),
            ])
        };
        assert_eq!(narrowed(&acl(6, 4), true, true), acl(6, 4));
        assert_eq!(narrowed(&acl(6, 4), true, false), acl(0, 4));
        assert_eq!(narrowed(&acl(0, 4), true, false), acl(0, 0));
        assert_eq!(narrowed(&acl(6, 6), false, true), acl(4, 4));
    }
}
