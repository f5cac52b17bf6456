//! The choice of an array's name and plan: the pipeline carries it out, the preview shows it.

use crate::decide::constraints::Constraints;
use crate::decide::plan::Plan;
use crate::decide::reason::Reason;
use crate::decide::route_obstacle::RouteObstacle;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::locations::Locations;
use crate::finalize::output_name::{NamedArray, OutputName};
use crate::finalize::replaceable::replaceable;
use crate::finalize::route_planning::{constraints, plan_of};
use crate::finalize::{Interruption, Job};
use crate::model::FileName;

/// What is to be made of a drop.
pub(crate) struct Choice {
    /// The event that this leads to.
    pub(crate) event: ReceiptEvent,
    /// The array's name.
    pub(crate) name: FileName,
    /// The array that has the name.
    pub(crate) there: Option<NamedArray>,
    /// What the array replaces, for the receipt.
    pub(crate) replaced: Option<String>,
    /// The plan. The file system may refuse its route.
    pub(crate) plan: Plan,
    /// What the plan follows from.
    pub(crate) constraints: Constraints,
}

impl Choice {
    /// Chooses name and plan. `choose_name` chooses the name by a plan that does not know of an old
    /// array; it returns `None` if no file can have the name, because the directory is missing.
    pub(crate) fn new(
        job: &Job,
        at: &Locations,
        choose_name: impl FnOnce(&Plan) -> Result<Option<OutputName>, Interruption>,
    ) -> Result<Self, Interruption> {
        let mut constraints = constraints(job, at)?;
        // An array that is there already is recognized by what the plan says of it.
        let mut plan = plan_of(job, &constraints)?;
        let chosen = choose_name(&plan)?;
        let may_replace = chosen.is_some() && !job.keeps_its_name(at);
        let chosen = chosen.unwrap_or_else(|| OutputName::Free(job.dump.output.clone()));
        let (name, event, there) = chosen.into_event();
        let has_array = matches!(event, ReceiptEvent::Found | ReceiptEvent::Stale);
        if !has_array && job.candidate.input.links() > 1 {
            return Err(Interruption::Rejected(Reason::HardLinks(job.candidate.input.links())));
        }
        let replaced = match event {
            ReceiptEvent::Finalized if may_replace => replaceable(job, at, &name)?,
            _ => None,
        };
        let why = match event {
            // The drop may change again, so its file must not become the array.
            ReceiptEvent::Remade => Some(RouteObstacle::Remade),
            _ if matches!(there, Some(NamedArray::Old(_))) => Some(RouteObstacle::Compared),
            // Only a new file can be exchanged with the old one, so that no third file is replaced.
            _ if replaced.is_some() => Some(RouteObstacle::Replaces),
            _ => None,
        };
        if let Some(why) = why {
            constraints.exclude_consuming(&why);
            plan = plan_of(job, &constraints)?;
        }
        let replaced = replaced.map(|it| it.remark);
        Ok(Choice { event, name, there, replaced, plan, constraints })
    }
}
