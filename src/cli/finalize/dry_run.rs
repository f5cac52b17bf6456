//! Dry run: describes what would be made of a drop.

use std::path::PathBuf;

use indicatif::BinaryBytes;
use serde_json::json;

use crate::decide::evidence::Evidence;
use crate::events::receipt_event::ReceiptEvent;
use crate::finalize::{Interruption, Job, Preview, preview};

/// What would be made of a drop.
pub(super) struct Planned {
    source: PathBuf,
    preview: Preview,
    evidence: Evidence,
    /// What the receipt would say, as far as it is known before.
    remarks: Option<String>,
}

impl Planned {
    pub(super) fn of(job: &Job) -> Result<Self, Interruption> {
        let preview = preview(job)?;
        let remarks: Vec<String> =
            preview.replaced.iter().cloned().chain(job.remarks(&preview.plan)).collect();
        let remarks = (!remarks.is_empty()).then(|| remarks.join("; "));
        Ok(Planned { source: job.path(), preview, evidence: job.evidence, remarks })
    }

    /// Returns the size of the array's data in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.preview.plan.header.data_len()
    }

    pub(super) fn to_text(&self) -> String {
        let Planned { source, preview, evidence, remarks } = self;
        let Preview { event, output, plan, .. } = preview;
        let header = &plan.header;
        let what = match event {
            ReceiptEvent::Found => "would find",
            _ => "would finalize",
        };
        let route = match event {
            ReceiptEvent::Found => String::new(),
            _ => format!("{}, ", plan.route),
        };
        let remarks = remarks.as_ref().map_or_else(String::new, |it| format!("; {it}"));
        format!(
            "{what} {} → {} ({route}{}, {}, {}, {}, evidence: {evidence}){remarks}",
            source.display(),
            output.display(),
            header.dtype(),
            shape_text(header.shape()),
            header.order(),
            BinaryBytes(self.bytes()),
        )
    }

    pub(super) fn to_json(&self) -> String {
        let Planned { source, preview, evidence, remarks } = self;
        let Preview { event, output, plan, .. } = preview;
        let skipped = plan.skipped_routes.iter();
        let skipped = skipped
            .map(|passed| json!({"route": passed.route.as_str(), "why": passed.why.to_string()}));
        json!({
            "event": "planned",
            "would": event.as_str(),
            "source": source.to_string_lossy(),
            "output": output.to_string_lossy(),
            "dtype": plan.header.dtype().to_string(),
            "shape": plan.header.shape(),
            "order": plan.header.order().to_string(),
            "bytes": self.bytes(),
            "route": Some(plan.route.as_str()).filter(|_| *event != ReceiptEvent::Found),
            "passed_over": skipped.collect::<Vec<_>>(),
            "evidence": evidence.to_string(),
            "reason": remarks,
        })
        .to_string()
    }
}

/// Formats a shape as a Python tuple.
fn shape_text(dims: &[u64]) -> String {
    let text: Vec<String> = dims.iter().map(ToString::to_string).collect();
    format!("({}{})", text.join(", "), if dims.len() == 1 { "," } else { "" })
}
