//! One dump, or several at once: each step is made for all of them before the next, so that the
//! disk's journal takes their syncs together, and each directory is synced once.
//!
//! Data and header durable → name → directory durable → only then the source.

use std::path::PathBuf;
use std::time::Instant;

use super::insert::Inserted;
use super::target::{self, Target};
use super::{
    Halt, Settled, Site, check_sidecar, check_source, check_unchanged, copy, dispose, in_place,
    insert, metadata, open_site, plan, reflink, terms, verify_ahead,
};
use crate::config::OnConflict;
use crate::disk::{Claim, Output};
use crate::look::SOURCE_ATTR;
use crate::plan::{Plan, Terms, Work};
use crate::progress::Progress;
use crate::receipt::{Event, Receipt};
use crate::recognize::FileName;

/// Makes the array, and then deals with the source as configured.
pub fn finalize(settled: &Settled, progress: &mut Progress) -> Result<Receipt, Halt> {
    let mut begun = Begun::new(settled, progress)?;
    begun.sync()?;
    begun.name()?;
    if begun.has_new_name() {
        begun.site.output.sync()?;
    }
    begun.finish()
}

/// The same for several; one that halts does not hold up the others.
pub fn finalize_all(
    batch: &[Settled],
    mut show: impl FnMut(&Settled) -> Progress,
) -> Vec<Result<Receipt, Halt>> {
    let mut all: Vec<Result<Begun<'_>, Halt>> =
        batch.iter().map(|settled| Begun::new(settled, &mut show(settled))).collect();
    for step in [Begun::sync, Begun::name] {
        for one in &mut all {
            if let Ok(begun) = one
                && let Err(halt) = step(begun)
            {
                *one = Err(halt);
            }
        }
    }
    sync_directories(&mut all);
    all.into_iter().map(|one| one.and_then(Begun::finish)).collect()
}

/// Syncs each output directory once. Where that fails, no source of it is touched.
fn sync_directories(all: &mut [Result<Begun<'_>, Halt>]) {
    let mut tried: Vec<(PathBuf, Option<String>)> = Vec::new();
    for one in all {
        let Ok(begun) = one else { continue };
        if !begun.has_new_name() {
            continue;
        }
        let dir = &begun.site.output;
        match tried.iter().find(|(path, _)| path == dir.path()) {
            Some((_, None)) => {}
            // To ask again could bring a yes that is not true.
            Some((_, Some(failure))) => *one = Err(Halt::Again(failure.clone())),
            None => {
                let result = dir.sync();
                let failure = result.as_ref().err().map(ToString::to_string);
                tried.push((dir.path().to_path_buf(), failure));
                if let Err(error) = result {
                    *one = Err(error.into());
                }
            }
        }
    }
}

/// A dump on its way to an array.
struct Begun<'a> {
    settled: &'a Settled,
    started: Instant,
    site: Site,
    terms: Terms,
    plan: Plan,
    _claims: (Claim, Option<Claim>),
    event: Event,
    /// The array's name.
    name: FileName,
    /// A new file, filled, that has no name yet; `None` where there is none to be named.
    output: Option<Output>,
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
        let terms = terms(settled, &site)?;
        let plan = plan(settled, &site, &terms)?;
        let sidecar_claim = dispose::claim_sidecar(settled, plan.route())?;
        verify_ahead(settled, &plan, progress)?;
        let (name, event) = match target::choose(settled, &site, &plan.header)? {
            Target::Found(name) => (name, Event::Found),
            Target::Free(name) => (name, Event::Finalized),
        };
        let mut begun = Begun {
            settled,
            started,
            site,
            terms,
            plan,
            _claims: (claim, sidecar_claim),
            event,
            name,
            output: None,
        };
        if event == Event::Finalized {
            begun.carry_out(progress)?;
        }
        Ok(begun)
    }

    /// Carries the plan out: the data file becomes the array, or a new file is filled. Where the
    /// file system refuses a route, the next best is taken.
    fn carry_out(&mut self, progress: &mut Progress) -> Result<(), Halt> {
        loop {
            let (settled, site) = (self.settled, &self.site);
            match &self.plan.work {
                Work::InPlace(writes) => {
                    let name = self.name.clone();
                    self.name = in_place::write(settled, site, writes, name, progress)?;
                    return Ok(());
                }
                Work::Insert(head) => {
                    match insert::write(settled, site, head, &self.name, progress)? {
                        Inserted::Done => return Ok(()),
                        Inserted::Not(reason) => self.rule_out(reason)?,
                    }
                }
                Work::Reflink(new) => match reflink::fill(settled, site, new)? {
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
            site.source.remove_if_unchanged(
                candidate.name.as_ref(),
                &candidate.file,
                &candidate.stat,
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

    /// Makes the new file durable.
    fn sync(&mut self) -> Result<(), Halt> {
        match &mut self.output {
            Some(output) => Ok(output.sync()?),
            None => Ok(()),
        }
    }

    /// Gives the new file the first name that is free; another process may take names, too.
    fn name(&mut self) -> Result<(), Halt> {
        let (settled, site) = (self.settled, &self.site);
        let replace =
            settled.inbox.on_conflict == OnConflict::Replace || settled.keeps_its_name(site);
        let Some(output) = &mut self.output else { return Ok(()) };
        while !output.name(self.name.as_ref(), replace)? {
            match target::choose(settled, site, &self.plan.header)? {
                Target::Found(name) => {
                    self.name = name;
                    return Ok(());
                }
                Target::Free(next) => self.name = next,
            }
        }
        Ok(())
    }

    /// Under its name the array is durable: now come its metadata, and its source.
    fn finish(self) -> Result<Receipt, Halt> {
        let Begun { settled, started, site, plan, event, name, .. } = &self;
        let noteworthy = plan.passed_over.iter().filter(|passed| passed.is_noteworthy);
        let mut receipt = Receipt {
            event: *event,
            drop: settled.inbox.path.clone(),
            source: settled.path(),
            output: Some(site.output.path().join(name)),
            route: Some(plan.route()),
            bytes: plan.header.data_len(),
            seconds: started.elapsed(),
            evidence: Some(settled.evidence),
            reason: None,
        };
        receipt.add(noteworthy.map(ToString::to_string));
        receipt.add(settled.dump.doubts.iter().cloned());
        receipt.add(settled.remark.clone());
        receipt.add(metadata::write(settled, site, name, &receipt)?);
        receipt.add(dispose::dispose(settled, site, plan.route(), *event)?);
        receipt.seconds = started.elapsed();
        Ok(receipt)
    }
}
