//! One dump, or several at once: each step is made for all of them before the next, so that the
//! disk's journal takes their syncs together, and each directory is synced once.
//!
//! Data and header durable → name → directory durable → only then the source. An array that is made
//! again has its old one backed up before it gets the name.

use std::cell::Cell;
use std::path::PathBuf;
use std::slice;
use std::time::Instant;

use super::at_once::at_once;
use super::dispose::SourceIs;
use super::insert::Inserted;
use super::remake::{OldArray, Remake};
use super::source::{check_source, lost};
use super::target::{self, Target};
use super::{
    Halt, Settled, Site, check_sidecar, check_unchanged, copy, dispose, in_place, insert, metadata,
    open_site, plan, reflink, rest, terms, verify_ahead,
};
use crate::disk::{Claim, Dir, Output};
use crate::look::SOURCE_ATTR;
use crate::plan::{Plan, Route, Terms, Work};
use crate::progress::Progress;
use crate::receipt::{Event, Receipt};
use crate::recognize::FileName;

/// Makes the array, and then deals with the source as configured.
pub fn finalize(settled: &Settled, progress: &mut Progress) -> Result<Receipt, Halt> {
    let mut all = [Begun::new(settled, progress)];
    finish(&mut all);
    let [one] = all;
    one.map(|begun| begun.receipt())
}

/// The same for several; one that halts does not hold up the others.
pub fn finalize_all(
    batch: &[Settled],
    show: impl Fn(&Settled) -> Progress + Sync,
) -> Vec<Result<Receipt, Halt>> {
    let begin = |settled| Begun::new(settled, &mut show(settled));
    let mut all = at_once(batch.iter().collect(), begin);
    finish(&mut all);
    all.into_iter().map(|one| one.map(|begun| begun.receipt())).collect()
}

/// All that follows the filling, each step for all before the next.
fn finish(all: &mut [Result<Begun<'_>, Halt>]) {
    each_at_once(all, Begun::sync);
    each(all, Begun::back_up);
    let mut synced = SyncedDirs::default();
    each(all, |begun| begun.sync_backup(&mut synced));
    each(all, Begun::name);
    let mut synced = SyncedDirs::default();
    each(all, |begun| begun.sync_name(&mut synced));
    each_at_once(all, Begun::put_source_away);
    let mut synced = SyncedDirs::default();
    each(all, |begun| begun.sync_source(&mut synced));
    each(all, Begun::put_sidecar_away);
    let mut synced = SyncedDirs::default();
    each(all, |begun| begun.sync_sidecar(&mut synced));
}

fn each<'a>(
    all: &mut [Result<Begun<'a>, Halt>],
    mut step: impl FnMut(&mut Begun<'a>) -> Result<(), Halt>,
) {
    for one in all {
        if let Ok(begun) = one
            && let Err(halt) = step(begun)
        {
            *one = Err(halt);
        }
    }
}

/// The same for a step that waits for the disk.
fn each_at_once<'a>(
    all: &mut [Result<Begun<'a>, Halt>],
    step: impl Fn(&mut Begun<'a>) -> Result<(), Halt> + Sync,
) {
    at_once(all.iter_mut().collect(), |one| each(slice::from_mut(one), &step));
}

/// Directories that were synced in this step, each once, and what came of it.
#[derive(Default)]
struct SyncedDirs(Vec<(PathBuf, Option<String>)>);

impl SyncedDirs {
    fn sync(&mut self, dir: &Dir) -> Result<(), Halt> {
        match self.0.iter().find(|(path, _)| path == dir.path()) {
            Some((_, None)) => Ok(()),
            // To ask again could bring a yes that is not true.
            Some((_, Some(failure))) => Err(Halt::Again(failure.clone())),
            None => {
                let result = dir.sync();
                let failure = result.as_ref().err().map(ToString::to_string);
                self.0.push((dir.path().to_path_buf(), failure));
                Ok(result?)
            }
        }
    }
}

/// The remark about an array that stays although its drop changed.
const STALE: &str =
    "the drop changed after its array was made, and on_change = \"keep\": the array stays as it is";

/// A dump on its way to an array.
struct Begun<'a> {
    settled: &'a Settled,
    started: Instant,
    site: Site,
    terms: Terms,
    plan: Plan,
    _claim: Claim,
    /// That on its sidecar, if it is to move.
    sidecar_claim: Option<Claim>,
    event: Event,
    /// The array's name.
    name: FileName,
    /// A new file, filled, that has no name yet; `None` where there is none to be named.
    output: Option<Output>,
    /// The old array whose place that takes.
    remake: Option<Remake>,
    /// Whether its metadata were written before it had its name.
    is_described: Cell<bool>,
    /// What became of the source; `None` until the array is durable.
    source: Option<SourceIs>,
    /// What is to be told besides.
    remarks: Vec<String>,
}

impl<'a> Begun<'a> {
    /// All that can be done before anything must be durable.
    fn new(settled: &'a Settled, progress: &mut Progress) -> Result<Self, Halt> {
        let started = Instant::now();
        let Some(claim) = settled.candidate.file.claim()? else {
            return Err(Halt::Busy("another process has it locked".to_owned()));
        };
        let site = open_site(settled)?;
        check_unchanged(settled, &site)?;
        let mut terms = terms(settled, &site)?;
        let (name, event, old) = match target::choose(settled, &site, &settled.header)? {
            Target::Found(name) => (name, Event::Found, None),
            Target::Stale(name) => (name, Event::Stale, None),
            Target::Free(name) => (name, Event::Finalized, None),
            Target::Remake(name, old) => (name, Event::Remade, Some(old)),
        };
        if event == Event::Remade {
            // The drop may change again: its file must not become the array.
            let why = "the array is made again, as a new file";
            let taking = [Route::InPlace, Route::InsertRange];
            terms.ruled_out.extend(taking.map(|route| (route, why.to_owned())));
        }
        let plan = plan(settled, &site, &terms)?;
        let sidecar_claim = dispose::claim_sidecar(settled, plan.route())?;
        verify_ahead(settled, &plan, progress)?;
        let is_stale = event == Event::Stale;
        let mut begun = Begun {
            settled,
            started,
            site,
            terms,
            plan,
            _claim: claim,
            sidecar_claim,
            event,
            name,
            output: None,
            remake: None,
            is_described: Cell::new(false),
            source: is_stale.then_some(SourceIs::Kept), // its bytes are in no array
            remarks: Vec::new(),
        };
        if matches!(event, Event::Finalized | Event::Remade) {
            begun.carry_out(progress)?;
        }
        if let Some(old) = old {
            begun.compare(old, progress)?;
        }
        if !is_stale && (event == Event::Found || !begun.plan.route().takes_the_file()) {
            let header = &begun.plan.header;
            begun.remarks.extend(rest::save_ahead(settled, &begun.site, header, progress)?);
        }
        Ok(begun)
    }

    /// Compares the new array with the one that it replaces.
    fn compare(&mut self, old: OldArray, progress: &mut Progress) -> Result<(), Halt> {
        let Some(output) = &self.output else { return Ok(()) };
        let header = &self.plan.header;
        let head_len = self.plan.head(&self.settled.dump).len() as u64;
        self.remake = Some(Remake::compare(old, (output.file(), header, head_len), progress)?);
        Ok(())
    }

    /// Carries the plan out: the data file becomes the array, or a new file is filled. Where the
    /// file system refuses a route, the next best is taken.
    fn carry_out(&mut self, progress: &mut Progress) -> Result<(), Halt> {
        loop {
            self.is_described.set(false);
            let (settled, site) = (self.settled, &self.site);
            let mut before = settled.candidate.stat;
            if self.plan.route() == Route::InPlace {
                let (after, remark) = rest::cut(settled, site, &self.plan.header, progress)?;
                self.remarks.extend(remark);
                before = after;
            }
            let describe = || {
                let ahead = metadata::write_ahead(settled, site, &self.name, &self.receipt())?;
                self.is_described.set(ahead);
                Ok(())
            };
            match &self.plan.work {
                Work::InPlace(writes) => {
                    let names = (&self.name, &before);
                    return in_place::write(settled, site, writes, names, progress, &describe);
                }
                Work::Insert(head) => {
                    match insert::write(settled, site, head, &self.name, progress, &describe)? {
                        Inserted::Done => return Ok(()),
                        Inserted::Not(reason) => self.rule_out(reason)?,
                    }
                }
                Work::Reflink(new) => match reflink::fill(settled, site, new, progress)? {
                    Some(output) => return self.is_filled(output),
                    None => {
                        self.rule_out("the file system does not share these blocks".to_owned())?;
                    }
                },
                Work::Copy(new) => {
                    let output = copy::fill(settled, site, new, progress)?;
                    return self.is_filled(output);
                }
            }
        }
    }

    fn is_filled(&mut self, output: Output) -> Result<(), Halt> {
        let (settled, site) = (self.settled, &self.site);
        check_source(settled)?;
        check_sidecar(settled, site)?;
        output.file().set_attr(SOURCE_ATTR, settled.mark().as_bytes())?;
        #[cfg(feature = "sabotage")]
        if crate::disk::leaves_out("source-last") {
            let candidate = &settled.candidate;
            let _ = site.source.remove_if_unchanged(
                candidate.name.as_ref(),
                &candidate.file,
                &candidate.stat,
                settled.writers(),
            )?;
        }
        self.output = Some(output);
        Ok(())
    }

    /// Plans anew without the route that turned out to be none.
    fn rule_out(&mut self, reason: String) -> Result<(), Halt> {
        self.terms.ruled_out.push((self.plan.route(), reason));
        self.plan = plan(self.settled, &self.site, &self.terms)?;
        Ok(())
    }

    /// Whether its name may not be durable yet: it is new, or was found, and nobody knows.
    fn has_new_name(&self) -> bool {
        self.output.is_some() || self.event == Event::Found
    }

    /// Makes the new file durable, and what describes it where that is all that will stay.
    fn sync(&mut self) -> Result<(), Halt> {
        if let Some(output) = &mut self.output {
            output.sync()?;
        }
        match &self.settled.candidate.sidecar {
            Some(sidecar) if self.sidecar_claim.is_some() => sidecar.file.sync_all().map_err(lost),
            _ => Ok(()),
        }
    }

    /// Keeps the old array, once the new one is durable.
    fn back_up(&mut self) -> Result<(), Halt> {
        self.remake.as_mut().map_or(Ok(()), |remake| remake.back_up(&self.site, &self.name))
    }

    fn sync_backup(&mut self, synced: &mut SyncedDirs) -> Result<(), Halt> {
        match &self.remake {
            Some(remake) if remake.has_backup() => synced.sync(&self.site.output),
            _ => Ok(()),
        }
    }

    /// Gives the new file the first name that is free; another process may take names, too.
    fn name(&mut self) -> Result<(), Halt> {
        let (settled, site) = (self.settled, &self.site);
        let Some(output) = &mut self.output else { return Ok(()) };
        if let Some(remake) = &self.remake {
            return remake.replace(output, &self.name);
        }
        if settled.keeps_its_name(site) {
            self.name = target::take_over(settled, output)?;
            return Ok(());
        }
        while !output.name(self.name.as_ref(), target::replaces(settled, site, &self.name)?)? {
            match target::choose(settled, site, &self.plan.header)? {
                Target::Found(name) => {
                    self.name = name;
                    return Ok(());
                }
                Target::Free(next) => self.name = next,
                Target::Remake(name, _) | Target::Stale(name) => {
                    return Err(Halt::Again(format!("`{name}` appeared meanwhile")));
                }
            }
        }
        Ok(())
    }

    fn sync_name(&mut self, synced: &mut SyncedDirs) -> Result<(), Halt> {
        if self.has_new_name() { synced.sync(&self.site.output) } else { Ok(()) }
    }

    /// Under its name the array is durable: now come its metadata, and its source.
    fn put_source_away(&mut self) -> Result<(), Halt> {
        if self.source.is_some() {
            return Ok(());
        }
        let (settled, plan) = (self.settled, &self.plan);
        let receipt = self.receipt();
        let was_ahead = self.is_described.get();
        let remark = metadata::write(settled, &self.site, &self.name, &receipt, was_ahead)?;
        self.remarks.extend(remark);
        let source = dispose::put_source_away(settled, &self.site, plan.route(), self.event)?;
        self.remarks.extend(source.remark(settled.inbox.source, self.event));
        self.remarks.extend(self.site.lost.take().remark());
        self.source = Some(source);
        Ok(())
    }

    fn sync_source(&mut self, synced: &mut SyncedDirs) -> Result<(), Halt> {
        match &self.source {
            // Whoever makes a file the array syncs both its directories.
            None
            | Some(
                SourceIs::Kept | SourceIs::TheArray | SourceIs::Changed | SourceIs::Unproven(_),
            ) => Ok(()),
            Some(SourceIs::Removed) => synced.sync(&self.site.source),
            Some(SourceIs::Archived(archive)) => {
                synced.sync(archive)?;
                synced.sync(&self.site.source)
            }
        }
    }

    fn put_sidecar_away(&mut self) -> Result<(), Halt> {
        match &self.source {
            Some(source) => dispose::put_sidecar_away(self.settled, &self.site, source),
            None => Ok(()),
        }
    }

    /// A name in the source's directory that comes back in a crash is tidied up by the next scan.
    fn sync_sidecar(&mut self, synced: &mut SyncedDirs) -> Result<(), Halt> {
        let moves = self.settled.candidate.sidecar.as_ref().is_some_and(|it| !it.is_shared);
        match &self.source {
            Some(SourceIs::TheArray | SourceIs::Removed) if moves => synced.sync(&self.site.output),
            Some(SourceIs::Archived(archive)) if moves => synced.sync(archive),
            _ => Ok(()),
        }
    }

    fn receipt(&self) -> Receipt {
        let Begun { settled, started, site, plan, event, name, .. } = self;
        let mut receipt = Receipt {
            event: *event,
            drop: settled.inbox.path.clone(),
            source: settled.path(),
            output: Some(site.output.path().join(name)),
            route: Some(plan.route()),
            bytes: plan.header.data_len(),
            seconds: started.elapsed(),
            evidence: Some(settled.evidence),
            source_fate: self.source.as_ref().map(SourceIs::fate),
            reason: None,
        };
        receipt.add(self.remake.iter().flat_map(Remake::remarks));
        receipt.add((*event == Event::Stale).then(|| STALE.to_owned()));
        let noteworthy = plan.passed_over.iter().filter(|passed| passed.is_noteworthy);
        receipt.add(noteworthy.map(ToString::to_string));
        receipt.add(settled.dump.doubts.iter().cloned());
        receipt.add(settled.remark.clone());
        receipt.add(self.remarks.iter().cloned());
        receipt
    }
}
