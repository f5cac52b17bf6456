//! Undoes an insertion that a crash interrupted: removes the gap from wherever it is, and restores
//! the file's name. A file that changed under its private name is left as it is, unless it has no
//! gap; what is said of it is how to get the data back.

use std::path::Path;

use crate::config::DropDir;
use crate::events::problem::{InsertObstacle, Problem};
use crate::facts::{self, Fact};
use crate::finalize::intent_log::{InsertIntent, IntentLog};
use crate::fs::{self, DataFile, Dir, FsError};
use crate::model::{FileName, Stat};
use crate::probe::npy_file::read_header;

/// Prefix of the private name during the insertion.
pub(crate) const PREFIX: &str = ".npyd-insert-";

/// Undoes an interrupted insertion, if `name` is such a private name. Leaves a locked file alone
/// (rule F4). The error says why the file was left unchanged.
pub fn recover_insert(
    drop_dir: &DropDir,
    intents: &IntentLog,
    dir: &Dir,
    name: &str,
) -> Result<(), Problem> {
    let Some(own) = name.strip_prefix(PREFIX) else { return Ok(()) };
    let path = dir.path().join(name);
    let left = |why| Problem::InsertStays { path: path.clone(), why };
    let facts = |error: FsError| left(InsertObstacle::Error(error.to_string()));
    let Some(file) = dir.open_file(name.as_ref()).map_err(facts)? else { return Ok(()) };
    let Some(_claim) = file.claim().map_err(facts)? else { return Ok(()) };
    let intent = match find_intent(intents, &path, &file) {
        Ok(Found::Insertion(intent)) => Some(intent),
        Ok(Found::OtherFile) => None,
        Ok(Found::Obstacle(why)) => return Err(left(why)),
        Err(error) => return Err(facts(error)),
    };
    if let Some(intent) = &intent {
        let writable = file.writable().map_err(facts)?;
        if !restore(&writable, intent).map_err(facts)?
            && let Some(why) = changed(&file, intent, own).map_err(facts)?
        {
            return Err(left(why));
        }
    }
    let own = FileName::try_from(own.to_owned())
        .map_err(|error| left(InsertObstacle::Error(error.to_string())))?;
    dir.restore_name(name.as_ref(), dir, own.as_ref()).map_err(facts)?;
    dir.sync().map_err(facts)?;
    facts::note(Fact::InsertUndone { file: own.to_string(), drop_dir: drop_dir.path.clone() });
    intent.map_or(Ok(()), |intent| intents.forget(&intent).map_err(facts))
}

/// Returns why the next scan can't undo an interrupted insertion, if `name` is the private name of
/// such a file. Changes nothing.
///
/// # Errors
/// The file or the intent log can't be read.
pub fn insert_obstacle(
    intents: &IntentLog,
    dir: &Dir,
    name: &str,
) -> fs::Result<Option<InsertObstacle>> {
    let Some(own) = name.strip_prefix(PREFIX) else { return Ok(None) };
    let Some(file) = dir.open_file(name.as_ref())? else { return Ok(None) };
    match find_intent(intents, &dir.path().join(name), &file)? {
        Found::Obstacle(why) => Ok(Some(why)),
        Found::OtherFile => Ok(None),
        Found::Insertion(it) if file.is_restorable(it.size, it.room, it.edge_hashes)? => Ok(None),
        Found::Insertion(intent) => changed(&file, &intent, own),
    }
}

/// What a file under such a private name is.
enum Found {
    /// The file of this intent.
    Insertion(InsertIntent),
    /// A file that got the name by mistake: it had just replaced that of the intent, and nothing
    /// was done to it.
    OtherFile,
    /// It can't be restored.
    Obstacle(InsertObstacle),
}

fn find_intent(intents: &IntentLog, path: &Path, file: &DataFile) -> fs::Result<Found> {
    let stat = file.stat()?;
    if !stat.is_file() || stat.nlink > 1 {
        return Ok(Found::Obstacle(InsertObstacle::OtherFile));
    }
    Ok(match intents.find(path, stat.ino)? {
        Some(intent) => Found::Insertion(intent),
        None if was_taken_for_another(intents, path, &stat)? => Found::OtherFile,
        None => Found::Obstacle(InsertObstacle::NoIntent),
    })
}

/// Returns whether the file got its private name by mistake. The size excludes a copy of that other
/// file from a backup, which may contain the gap.
fn was_taken_for_another(intents: &IntentLog, path: &Path, stat: &Stat) -> fs::Result<bool> {
    let others = intents.at(path)?;
    let may_have_room = |of: &InsertIntent| of.size.checked_add(of.room) == Some(stat.size);
    Ok(!others.is_empty() && !others.iter().any(may_have_room))
}

/// Removes the gap, and verifies that the file has its original content. Returns `false` if the
/// file changed otherwise.
pub(crate) fn restore(file: &DataFile, intent: &InsertIntent) -> fs::Result<bool> {
    let is_noted = file.stat()?.ino == intent.inode;
    Ok(is_noted && file.remove_gap(intent.size, intent.room, intent.edge_hashes)?)
}

/// Returns what is in the way of a file whose data were overwritten, cut off or replaced under its
/// private name; `None` if it has no gap, so that only its name remains to be restored.
fn changed(
    file: &DataFile,
    intent: &InsertIntent,
    name: &str,
) -> fs::Result<Option<InsertObstacle>> {
    let InsertIntent { size, room, .. } = *intent;
    let (now, name) = (file.stat()?.size, name.to_owned());
    // With the header in it, the gap is no hole, and begins the file.
    let has_header = read_header(file)?.is_some_and(|(_, at)| at == room);
    let gap = if has_header { Some(0) } else { file.hole_of(room)? };
    // An insertion first makes the file longer, and its removal makes it shorter in the end.
    if gap.is_none() && now == size && file.first_hole(0)? >= now {
        return Ok(None);
    }
    Ok(Some(InsertObstacle::Changed { gap, room, size: now, name }))
}
