//! A job of the pipeline in progress: its steps, one after the other, and its receipt.

use std::cell::Cell;
use std::time::Instant;

use crate::config::{Disposition, MetadataOutput};
use crate::decide::array_receipt::ArrayId;
use crate::decide::constraints::Constraints;
use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::route::Route;
use crate::decide::route_obstacle::RouteObstacle;
use crate::events::receipt::Receipt;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
use crate::finalize::choice::Choice;
use crate::finalize::digest_check::verify_ahead;
use crate::finalize::disposition::{self, SourceOutcome};
use crate::finalize::locations::{Locations, OpenDirs, open_locations};
use crate::finalize::output_name::{self, NamedArray, OutputName, choose_name};
use crate::finalize::pipeline::Finalized;
use crate::finalize::pipeline::synced_dirs::SyncedDirs;
use crate::finalize::quarantine::remove_stale_note;
use crate::finalize::remake::{OldArray, Remake};
use crate::finalize::route_planning::plan_of;
use crate::finalize::routes::{self, RouteResult, RouteWork};
use crate::finalize::source_checks::{
    check_sidecar, check_source, check_unchanged, lost, sync_unproven,
};
use crate::finalize::standing_array::StandingArray;
use crate::finalize::{Interruption, Job, marks, metadata, parts_of_input, replaceable, rest};
use crate::fs::{Claim, TempFile};
use crate::model::FileName;
use crate::probe::ROUTE_ATTR;
use crate::probe::input::InputFile;
use crate::probe::npy_file::read_header;
use crate::throttle::meter::Meter;

/// Locks the data files, so that no other npyd works on the drop.
fn claim_data(job: &Job) -> Result<Vec<Claim>, Interruption> {
    let claim = |input: &InputFile| match input.file.claim()? {
        Some(claim) => Ok(claim),
        None => Err(Interruption::Locked(Reason::Locked(job.subject(&input.name)))),
    };
    job.candidate.input.files.iter().map(claim).collect()
}

/// Returns the identity of an array that is there, and the route of the data into it: from the
/// ledger, which knows the arrays that npyd made of the drop by their marks, or from the array
/// itself.
fn array_there(
    job: &Job,
    at: &Locations,
    name: &FileName,
) -> Result<(Option<ArrayId>, Option<Route>), Interruption> {
    let Some(array) = at.output.open_file(name.as_ref())? else { return Ok((None, None)) };
    let id = Some(ArrayId::of(&array.stat()?));
    let mark = marks::mark_for(job, &array)?;
    if job.made_by.is_some() && mark.is_some_and(|mark| job.earlier.contains(&mark)) {
        return Ok((id, job.made_by));
    }
    let route = array.attr(ROUTE_ATTR)?;
    Ok((id, route.and_then(|route| Route::from_name(&String::from_utf8_lossy(&route)))))
}

/// Returns the length of the data of an array that is there.
fn bytes_there(at: &Locations, name: &FileName) -> Result<Option<u64>, Interruption> {
    let Some(array) = at.output.open_file(name.as_ref())? else { return Ok(None) };
    Ok(read_header(&array)?.map(|(header, _)| header.data_len()))
}

/// The remark for an array that stays although its drop changed.
const STALE: &str =
    "the drop changed after its array was made, and on_change = \"keep\": the array stays as it is";

/// The remark for an array that was compared because attributes of its source changed.
const RECHECKED: &str = "only attributes of its files changed; the array has their bytes";

/// A job in progress.
pub(super) struct InFlight<'a> {
    job: &'a Job,
    started: Instant,
    at: Locations,
    constraints: Constraints,
    plan: Plan,
    /// The locks on the data files.
    _claims: Vec<Claim>,
    /// The lock on the sidecar, if that is to move.
    sidecar_claim: Option<Claim>,
    event: ReceiptEvent,
    /// The array's name.
    name: FileName,
    /// The new file, filled and unnamed; `None` if the job makes no new file.
    pub(super) output: Option<TempFile>,
    /// The array under its name, from before its bytes were compared or since they were written;
    /// `None` if the source stays anyway.
    standing: Option<StandingArray>,
    /// The old array that the new one replaces, compared with it.
    remake: Option<Remake>,
    /// Whether the metadata were written before the array had its name.
    is_described: Cell<bool>,
    /// What the array replaces, for the receipt.
    replaced: Option<String>,
    /// The route of the data into an array that was found, if known.
    found_route: Option<Route>,
    /// The length of the data in an array that stays although its drop changed.
    found_bytes: Option<u64>,
    /// The identity of the array, if npyd could not mark the array, or found one that was there.
    array_id: Option<ArrayId>,
    /// The fate of the source; `None` until the array is durable.
    source: Option<SourceOutcome>,
    /// What stopped the steps that follow the durable array.
    interruption: Option<Interruption>,
    /// Further remarks for the receipt.
    remarks: Vec<String>,
}

impl<'a> InFlight<'a> {
    /// Runs the steps up to filling the array. [`finish`](super::finish) runs the later steps.
    pub(super) fn new(
        job: &'a Job,
        dirs: &OpenDirs,
        progress: &mut Meter,
    ) -> Result<Self, Interruption> {
        let started = Instant::now();
        if job.drop_dir.in_force.is_superseded() {
            return Err(Interruption::Cancelled); // the scan with the new settings finds it
        }
        let claims = claim_data(job)?;
        let at = open_locations(job, dirs)?;
        check_unchanged(job, &at)?;
        sync_unproven(job, progress)?;
        let choice =
            Choice::new(job, &at, |plan| choose_name(job, &at, plan, Some(progress)).map(Some))?;
        let Choice { event, name, there, replaced, plan, constraints } = choice;
        let (old, standing) = match there {
            Some(NamedArray::Old(old)) => (Some(old), None),
            Some(NamedArray::Standing(array)) => (None, Some(array)),
            None => (None, None),
        };
        let sidecar_claim = disposition::claim_sidecar(job, plan.route)?;
        if !(job.is_recheck && event == ReceiptEvent::Found) {
            verify_ahead(job, &plan, progress)?; // a recheck reads the data once
        }
        let is_stale = event == ReceiptEvent::Stale;
        let (array_id, found_route) = match event {
            ReceiptEvent::Found | ReceiptEvent::Stale => array_there(job, &at, &name)?,
            _ => (None, None),
        };
        let found_bytes = if is_stale { bytes_there(&at, &name)? } else { None };
        let mut in_flight = InFlight {
            job,
            started,
            at,
            constraints,
            plan,
            _claims: claims,
            sidecar_claim,
            event,
            name,
            output: None,
            standing,
            remake: None,
            is_described: Cell::new(false),
            replaced,
            found_route,
            found_bytes,
            array_id,
            source: is_stale.then_some(SourceOutcome::Kept), // no array holds its bytes
            interruption: None,
            remarks: Vec::new(),
        };
        if matches!(event, ReceiptEvent::Finalized | ReceiptEvent::Remade) {
            in_flight.carry_out(progress)?;
        }
        if let Some(old) = old {
            in_flight.compare(old, progress)?;
        }
        if !is_stale && (event == ReceiptEvent::Found || !in_flight.plan.route.consumes_source()) {
            in_flight.remarks.extend(rest::save_ahead(job, &in_flight.at, progress)?);
        }
        Ok(in_flight)
    }

    /// Compares the new array with the one that it replaces.
    fn compare(&mut self, old: OldArray, progress: &mut Meter) -> Result<(), Interruption> {
        let Some(output) = &self.output else { return Ok(()) };
        let header = &self.plan.header;
        let head_len = self.plan.head(&self.job.dump).len() as u64;
        self.remake = Some(Remake::compare(old, (output.file(), header, head_len), progress)?);
        Ok(())
    }

    /// Carries the plan out: makes the data file the array, or fills a new file. If the file system
    /// refuses the route, takes the next best one.
    fn carry_out(&mut self, progress: &mut Meter) -> Result<(), Interruption> {
        loop {
            self.is_described.set(false);
            let (job, at) = (self.job, &self.at);
            let write_metadata = |remarks: &[String]| {
                let mut receipt = self.receipt();
                receipt.add(remarks.iter().cloned());
                self.is_described.set(metadata::write_ahead(job, at, &self.name, &receipt)?);
                Ok(())
            };
            let work = RouteWork {
                job,
                at,
                plan: &self.plan,
                name: &self.name,
                write_metadata: &write_metadata,
            };
            match routes::carry_out(&work, progress)? {
                RouteResult::Filled(output) => return self.check_and_mark(output),
                RouteResult::Consumed(remarks) => {
                    self.remarks.extend(remarks);
                    return Ok(());
                }
                RouteResult::Inapplicable(why) => self.exclude(why)?,
            }
        }
    }

    /// Checks that the source is unchanged, and marks the new file.
    fn check_and_mark(&mut self, output: TempFile) -> Result<(), Interruption> {
        let (job, at) = (self.job, &self.at);
        check_source(job)?;
        check_sidecar(job, at)?;
        if !job.mark_array(output.file())? {
            self.array_id = Some(ArrayId::of(&output.file().stat()?));
        }
        if !self.plan.holds_source_bytes {
            output.file().set_attr(ROUTE_ATTR, self.plan.route.as_str().as_bytes())?;
        }
        #[cfg(feature = "sabotage")]
        if crate::fs::skips("source-last") {
            for input in &job.candidate.input.files {
                let (file, stat) = (&input.file, &input.stat);
                let name = input.name.as_ref();
                let _ = at.source.remove_if_unchanged(name, file, stat, job.writers())?;
            }
        }
        self.output = Some(output);
        Ok(())
    }

    /// Excludes the current route and plans again.
    fn exclude(&mut self, why: RouteObstacle) -> Result<(), Interruption> {
        self.constraints.exclude(self.plan.route, why);
        self.plan = plan_of(self.job, &self.constraints)?;
        Ok(())
    }

    /// Returns whether the array was there already.
    fn is_found(&self) -> bool {
        matches!(self.event, ReceiptEvent::Found | ReceiptEvent::Stale)
    }

    /// Returns whether the array's name may not be durable yet: it is new, or the array was found.
    fn has_new_name(&self) -> bool {
        self.output.is_some() || self.event == ReceiptEvent::Found
    }

    /// Syncs the new file, and the sidecar if it will move: beside the array it is all that stays
    /// of the drop.
    pub(super) fn sync(&mut self) -> Result<(), Interruption> {
        if let Some(output) = &mut self.output {
            output.sync()?;
        }
        match &self.job.candidate.input.description {
            Some(sidecar) if self.sidecar_claim.is_some() => sidecar.file.sync_all().map_err(lost),
            _ => Ok(()),
        }
    }

    /// Backs up the old array. The new one is durable by then.
    pub(super) fn back_up(&mut self) -> Result<(), Interruption> {
        self.remake.as_mut().map_or(Ok(()), |remake| remake.back_up(&self.at, &self.name))
    }

    pub(super) fn sync_backup(&mut self, synced: &mut SyncedDirs) -> Result<(), Interruption> {
        match &self.remake {
            Some(remake) if remake.has_backup() => synced.sync(&self.at.output),
            _ => Ok(()),
        }
    }

    /// Gives the new file the first free name. Other processes may take names at the same time.
    pub(super) fn publish_name(&mut self) -> Result<(), Interruption> {
        self.take_name()?;
        if self.moves_source()
            && self.standing.is_none()
            && let Some(output) = &self.output
        {
            self.standing = Some(StandingArray::made(output.file().clone())?);
        }
        Ok(())
    }

    fn take_name(&mut self) -> Result<(), Interruption> {
        let (job, at) = (self.job, &self.at);
        let Some(output) = &mut self.output else { return Ok(()) };
        if let Some(remake) = &self.remake {
            return remake.replace(output, &self.name);
        }
        if job.keeps_its_name(at) {
            self.name = output_name::replace_source(job, output)?;
            return Ok(());
        }
        loop {
            let replaced = replaceable::replaceable(job, at, &self.name)?;
            if replaceable::publish(output, &self.name, replaced.as_ref())? {
                self.replaced = replaced.map(|it| it.remark);
                return Ok(());
            }
            match choose_name(job, at, &self.plan, None)? {
                OutputName::Found(name, array) => {
                    self.name = name;
                    self.standing = Some(array);
                    return Ok(());
                }
                OutputName::Free(next) => self.name = next,
                OutputName::Remake(name, _)
                | OutputName::Replace(name, _)
                | OutputName::Stale(name) => {
                    return Err(Interruption::Retry(Reason::Appeared(name)));
                }
            }
        }
    }

    pub(super) fn sync_name(&mut self, synced: &mut SyncedDirs) -> Result<(), Interruption> {
        if !self.has_new_name() {
            Ok(())
        } else if self.at.beside {
            synced.sync(&self.at.output) // if it was renamed, array and source moved with it
        } else {
            synced.sync_output(&self.at.output)
        }
    }

    /// Runs a step that follows the durable array, unless an earlier one was interrupted.
    pub(super) fn then(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Interruption>) {
        if self.interruption.is_none() {
            self.interruption = step(self).err();
        }
    }

    /// Returns the receipt of the array, and why a later step was interrupted. An array that was
    /// found has its receipt already, unless that was lost: then the next attempt reports it. An
    /// array whose source may be lost has none, because npyd can't vouch for what it read (F1).
    pub(super) fn into_result(mut self) -> Result<Finalized, Interruption> {
        match self.interruption.take() {
            Some(lost @ Interruption::DataLoss(_)) => Err(lost),
            Some(interruption) if self.event == ReceiptEvent::Found => Err(interruption),
            Some(interruption) => {
                self.remarks.extend(interruption.to_text());
                let fate = match self.job.drop_dir.source {
                    Disposition::Keep => SourceFate::Kept,
                    Disposition::Remove | Disposition::Archive => SourceFate::Unproven,
                };
                let mut receipt = self.receipt();
                receipt.source_fate = receipt.source_fate.or(Some(fate));
                Ok(Finalized { receipt, interruption: Some(interruption) })
            }
            None => Ok(Finalized { receipt: self.receipt(), interruption: None }),
        }
    }

    /// Returns whether [`InFlight::write_metadata`] has anything to do.
    pub(super) fn has_metadata(&self) -> bool {
        self.job.drop_dir.metadata != MetadataOutput::None
    }

    /// Returns whether [`InFlight::dispose_source`] may remove or archive files.
    pub(super) fn moves_source(&self) -> bool {
        self.job.drop_dir.source != Disposition::Keep
    }

    /// Writes the metadata of an array that is durable under its name.
    pub(super) fn write_metadata(&mut self) -> Result<(), Interruption> {
        if self.source.is_some() {
            return Ok(());
        }
        let was_ahead = self.is_described.get();
        let receipt = self.receipt();
        let remark = metadata::write(self.job, &self.at, &self.name, &receipt, was_ahead)?;
        self.remarks.extend(remark);
        Ok(())
    }

    /// Disposes of the source. The array and its metadata are durable by then.
    pub(super) fn dispose_source(&mut self) -> Result<(), Interruption> {
        if self.source.is_some() {
            return Ok(());
        }
        let (job, plan) = (self.job, &self.plan);
        let array = (&self.name, self.standing.as_ref());
        let source = disposition::dispose_source(job, &self.at, plan.route, self.event, array)?;
        self.remarks.extend(source.remark(job.drop_dir.source, self.event));
        self.remarks.extend(self.at.lost.take().remark());
        self.source = Some(source);
        Ok(())
    }

    pub(super) fn sync_source(&mut self, synced: &mut SyncedDirs) -> Result<(), Interruption> {
        match &self.source {
            Some(SourceOutcome::Removed) => synced.sync(&self.at.source),
            Some(SourceOutcome::Archived(archive, _)) => {
                synced.sync(archive)?;
                synced.sync(&self.at.source)
            }
            // The in-place and insert-range routes already synced both directories.
            _ => Ok(()),
        }
    }

    pub(super) fn dispose_sidecar(&mut self) -> Result<(), Interruption> {
        match &self.source {
            Some(source) => disposition::dispose_sidecar(self.job, &self.at, source),
            None => Ok(()),
        }
    }

    /// Syncs the directory that the sidecar moved to. If a crash brings its old name back, the next
    /// scan recovers it.
    pub(super) fn sync_sidecar(&mut self, synced: &mut SyncedDirs) -> Result<(), Interruption> {
        let moves = self.job.candidate.input.description.as_ref().is_some_and(|it| !it.is_shared);
        match &self.source {
            Some(SourceOutcome::TheArray | SourceOutcome::Removed) if moves => {
                synced.sync(&self.at.output)
            }
            Some(SourceOutcome::Archived(archive, _)) if moves => synced.sync(archive),
            _ => Ok(()),
        }
    }

    /// Removes what is left in the quarantine of an attempt to reject the drop. A failure leaves it
    /// there, which does no harm.
    #[expect(clippy::unnecessary_wraps, reason = "it is a step like the others")]
    pub(super) fn remove_stale_note(&mut self) -> Result<(), Interruption> {
        if self.job.may_have_note {
            let _ = remove_stale_note(self.job);
        }
        Ok(())
    }

    fn receipt(&self) -> Receipt {
        let InFlight { job, started, at, plan, event, name, .. } = self;
        let mut receipt = Receipt {
            event: *event,
            drop: job.drop_dir.path.clone(),
            source: job.path(),
            parts: parts_of_input(&job.candidate.input),
            output: Some(at.output.path().join(name)),
            route: if self.is_found() { self.found_route } else { Some(plan.route) },
            mapped: self.output.as_ref().and_then(TempFile::mapped),
            bytes: self.found_bytes.unwrap_or_else(|| plan.header.data_len()),
            seconds: started.elapsed(),
            evidence: Some(job.evidence),
            source_fate: self.source.as_ref().map(SourceOutcome::fate),
            archive: self.source.as_ref().and_then(SourceOutcome::archive),
            array_id: self.array_id,
            reason: None,
            reason_kind: (*event == ReceiptEvent::Stale).then_some(ReasonKind::Changed),
            dir: None,
            is_requested: job.redo,
        };
        receipt.add(self.replaced.clone());
        if *event == ReceiptEvent::Finalized {
            receipt.add(receipt.output.as_deref().and_then(|it| job.remark_of_last_array(it)));
        }
        let remake = self.remake.iter();
        if *event == ReceiptEvent::Remade {
            receipt.add(remake.clone().map(Remake::changes));
        }
        receipt.add(remake.filter_map(Remake::backup_remark));
        receipt.add((*event == ReceiptEvent::Stale).then(|| STALE.to_owned()));
        let is_rechecked = job.has_other_attributes() && *event == ReceiptEvent::Found;
        receipt.add(is_rechecked.then(|| RECHECKED.to_owned()));
        receipt.add(job.remarks(plan));
        receipt.add(self.remarks.iter().cloned());
        receipt
    }
}
