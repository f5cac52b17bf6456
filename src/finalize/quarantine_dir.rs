//! A directory of rejected drops, with the files that describe them.

use std::path::{Path, PathBuf};

use crate::config::DropDir;
use crate::finalize::reject_note::{Note, note_name, noted_drop, read_note};
use crate::fs::{self, Dir};
use crate::model::FileName;
use crate::probe::{description_names, parts_of};

/// A directory of rejected drops.
pub struct Quarantine<'a> {
    drop_dirs: &'a [DropDir],
    dir: Dir,
}

/// A rejected drop, as its note describes it.
pub struct Quarantined {
    /// Path of the data file before it was rejected; of a series, that of its description.
    pub source: PathBuf,
    /// Why it was rejected.
    pub reason: String,
    /// Path of that file now.
    pub path: PathBuf,
    /// Name before it was rejected, and the number that its files have now.
    name: FileName,
    number: u32,
}

impl Quarantined {
    /// Says why npyd does not restore this drop, and how to.
    #[must_use]
    pub fn why_not_restored(&self) -> String {
        format!(
            "a later file of its name counts now: to try this one again, move it back to `{}` \
             yourself",
            self.source.parent().unwrap_or(&self.source).display()
        )
    }
}

impl<'a> Quarantine<'a> {
    /// Opens a directory. Returns `None` if none of the drop directories has its rejected drops
    /// there.
    ///
    /// # Errors
    /// The directory can't be opened.
    pub fn open(drop_dirs: &'a [DropDir], dir: &Path) -> fs::Result<Option<Self>> {
        let is_it = |it: &DropDir| it.rejects.as_ref().is_some_and(|top| dir.starts_with(top));
        if !drop_dirs.iter().any(is_it) {
            return Ok(None);
        }
        Ok(Some(Quarantine { drop_dirs, dir: Dir::open(dir)? }))
    }

    /// Returns the rejected drops in this directory, in the order of their names.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn drops(&self) -> fs::Result<Vec<Quarantined>> {
        let mut names: Vec<_> = self.dir.entries()?.into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let mut drops = Vec::new();
        for name in names {
            let name = name.into_string().ok().and_then(|name| FileName::try_from(name).ok());
            drops.extend(name.map(|name| self.noted(&name)).transpose()?.flatten());
        }
        Ok(drops)
    }

    /// Returns the drop that a file in this directory belongs to: its note, its data or what
    /// describes them.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn drop_with(&self, file: &FileName) -> fs::Result<Option<Quarantined>> {
        if let Some(drop) = self.noted(file)? {
            return Ok(Some(drop));
        }
        let (name, number) = file.without_number();
        for (name, number) in [(Some(file.clone()), 0), (name, number)] {
            let note = name.map(|name| note_name(&name).alternative(number));
            if let Some(drop) = note.map(|note| self.noted(&note)).transpose()?.flatten() {
                return Ok(Some(drop));
            }
        }
        for drop in self.drops()? {
            if self.files_of(&drop)?.contains(file) {
                return Ok(Some(drop));
            }
        }
        Ok(None)
    }

    /// Returns the names that the files of a rejected drop may have in this directory.
    ///
    /// # Errors
    /// A file can't be read.
    pub fn files_of(&self, drop: &Quarantined) -> fs::Result<Vec<FileName>> {
        let Quarantined { name, number, .. } = drop;
        let mut names = vec![name.clone(), note_name(name)];
        names.extend(description_names(name));
        let mut names: Vec<_> = names.iter().map(|name| name.alternative(*number)).collect();
        if *number == 0
            && let Some(drop_dir) = self.drop_dir_of(&drop.source)
        {
            names.extend(parts_of(drop_dir, &self.dir, name)?);
        }
        Ok(names)
    }

    /// Returns the drop that the note of this name is about.
    fn noted(&self, note: &FileName) -> fs::Result<Option<Quarantined>> {
        let Some((noted, number)) = noted_drop(note) else { return Ok(None) };
        let Some(Note { source, reason }) = read_note(&self.dir, note)? else { return Ok(None) };
        let Some(source) = source.or_else(|| self.former_path(&noted)) else { return Ok(None) };
        let name = FileName::of_path(&source).unwrap_or(noted);
        let path = self.dir.path().join(name.alternative(number));
        Ok(Some(Quarantined { source, reason, path, name, number }))
    }

    /// Returns the path that a file of this directory had in the first drop directory that it may
    /// be from.
    #[must_use]
    pub fn former_path(&self, name: &FileName) -> Option<PathBuf> {
        self.drop_dirs.iter().find_map(|drop_dir| {
            let below = self.dir.path().strip_prefix(drop_dir.rejects.as_ref()?).ok()?;
            Some(drop_dir.path.join(below).join(name))
        })
    }

    fn drop_dir_of(&self, source: &Path) -> Option<&'a DropDir> {
        self.drop_dirs.iter().find(|it| source.starts_with(&it.path) && it.rejects.is_some())
    }
}
