//! Receipts: what happened to a drop, and why. Printed as one JSON object per line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::decide::completeness::Evidence;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::route::Route;
use crate::events::parts::Parts;
use crate::events::stored::Stored;
use crate::text::one_line::shown;

/// The record of what happened to one drop.
#[derive(Debug, Clone, Serialize)]
pub struct Receipt {
    /// What happened.
    pub event: ReceiptEvent,
    /// The drop directory.
    #[serde(serialize_with = "lossily")]
    pub drop: PathBuf,
    /// The data file, or the manifest whose data file is missing.
    #[serde(serialize_with = "lossily")]
    pub source: PathBuf,
    /// The data files, if the array is made of several, or of a series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// The array, if there is one.
    #[serde(serialize_with = "lossily_if_any")]
    pub output: Option<PathBuf>,
    /// The route of the data.
    #[serde(serialize_with = "as_text")]
    pub route: Option<Route>,
    /// Length of the array's data, in bytes.
    pub bytes: u64,
    /// Duration of the work, in seconds.
    #[serde(serialize_with = "in_seconds")]
    pub seconds: Duration,
    /// The evidence that the data were complete.
    #[serde(serialize_with = "as_text")]
    pub evidence: Option<Evidence>,
    /// The fate of the source, if the drop has an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_fate: Option<SourceFate>,
    /// The reason or remarks, if any.
    pub reason: Option<String>,
    /// The kind of the reason, if there is no array; [`Reason::kind`] lists the kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_kind: Option<ReasonKind>,
    /// The directory whose fault caused a failure, and holds up other drops as well.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossily_if_any")]
    pub dir: Option<PathBuf>,
    /// Whether a person requested the work, so that the log reports its result in any case.
    #[serde(skip)]
    pub is_requested: bool,
}

/// A receipt as commands print it.
#[derive(Serialize)]
struct Published<'a> {
    #[serde(flatten)]
    receipt: &'a Receipt,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<&'static str>,
}

/// The fate of the source of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceFate {
    /// npyd keeps the source, as configured.
    Kept,
    /// The source stays, although it is to be removed or archived: nothing proves that no process
    /// writes to it, a flag (`chattr(1)`) protects it, or the removal was interrupted. Each scan
    /// tries again.
    Unproven,
    /// The source became the array.
    Array,
    /// npyd removed the source.
    Removed,
    /// npyd archived the source.
    Archived,
}

impl SourceFate {
    /// Returns whether a later file of the source's name is another drop.
    #[must_use]
    pub fn ends_drop(self) -> bool {
        !matches!(self, SourceFate::Kept | SourceFate::Unproven)
    }

    /// Returns the fate that has this name in receipts.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Kept, Self::Unproven, Self::Array, Self::Removed, Self::Archived];
        all.into_iter().find(|fate| fate.as_str() == name)
    }

    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SourceFate::Kept => "kept",
            SourceFate::Unproven => "unproven",
            SourceFate::Array => "array",
            SourceFate::Removed => "removed",
            SourceFate::Archived => "archived",
        }
    }
}

/// The kinds of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceiptEvent {
    /// The array was made, complete and durable.
    Finalized,
    /// The drop changed, and its array was made again, complete and durable.
    Remade,
    /// An array made of this source already existed.
    Found,
    /// The existing array was made of this drop before it changed, and stays.
    #[serde(rename = "found")]
    Stale,
    /// The drop cannot become an array as it is. npyd does not try again until it changes.
    Rejected,
    /// The disk may have lost data of the drop, so that npyd never tries again.
    #[serde(rename = "rejected")]
    Lost,
    /// A failure that may be temporary; npyd tries again.
    Failed,
    /// The drop is not complete yet.
    Waiting,
}

impl ReceiptEvent {
    /// Returns the event of this name in receipts: of two with one name, the one that is no
    /// exception.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|event| event.as_str() == name)
    }

    /// The events, one for each name.
    const NAMED: [ReceiptEvent; 6] = [
        ReceiptEvent::Finalized,
        ReceiptEvent::Remade,
        ReceiptEvent::Found,
        ReceiptEvent::Rejected,
        ReceiptEvent::Failed,
        ReceiptEvent::Waiting,
    ];

    /// Returns the name in receipts.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ReceiptEvent::Finalized => "finalized",
            ReceiptEvent::Remade => "remade",
            ReceiptEvent::Found | ReceiptEvent::Stale => "found",
            ReceiptEvent::Rejected | ReceiptEvent::Lost => "rejected",
            ReceiptEvent::Failed => "failed",
            ReceiptEvent::Waiting => "waiting",
        }
    }
}

impl Receipt {
    /// Creates a receipt for a drop that has no array.
    #[must_use]
    pub fn without_output(
        event: ReceiptEvent,
        drop: PathBuf,
        source: PathBuf,
        reason: &Reason,
    ) -> Self {
        Receipt {
            event,
            drop,
            source,
            parts: None,
            output: None,
            route: None,
            bytes: 0,
            seconds: Duration::ZERO,
            evidence: None,
            source_fate: None,
            reason: Some(reason.to_string()),
            reason_kind: Some(reason.kind()),
            dir: None,
            is_requested: false,
        }
    }

    /// Adds remarks to the reason.
    pub fn add(&mut self, remarks: impl IntoIterator<Item = String>) {
        for remark in remarks {
            self.reason = Some(match self.reason.take() {
                Some(reason) => format!("{reason}; {remark}"),
                None => remark,
            });
        }
    }

    /// Returns the receipt as one line of JSON, which also says whether the ledger has it.
    #[must_use]
    pub fn to_json_with(&self, stored: Stored) -> String {
        let stored = stored.label();
        serde_json::to_string(&Published { receipt: self, stored })
            .unwrap_or_else(|_| self.to_json())
    }

    /// Returns the receipt as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|error| {
            // It can't fail: each field is a number or UTF-8.
            serde_json::json!({"event": self.event.as_str(), "reason": error.to_string()})
                .to_string()
        })
    }
}

/// Formats the receipt as a line for people.
impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.event.as_str(), shown(&self.source))?;
        if let Some(output) = &self.output {
            write!(f, " → {}", shown(output))?;
        }
        if let Some(evidence) = self.evidence {
            let route = self.route.map_or_else(String::new, |route| format!("{route}, "));
            let (bytes, seconds) = (indicatif::BinaryBytes(self.bytes), self.seconds.as_secs_f64());
            write!(f, " ({route}{bytes}, {seconds:.3} s, evidence: {evidence})")?;
        }
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn as_text<T: fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    to: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

/// Serializes a path, with U+FFFD in place of bytes that are not UTF-8, as JSON requires. The
/// ledger stores the path itself as well.
fn lossily<S: serde::Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
fn lossily_if_any<S: serde::Serializer>(path: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.to_string_lossy()).serialize(to)
}

fn in_seconds<S: serde::Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_says_what_is_not_stored() {
        let why = Reason::Gone;
        let receipt =
            Receipt::without_output(ReceiptEvent::Failed, "/in".into(), "/in/a".into(), &why);
        for (stored, end) in [
            (Stored::Durable, "}"),
            (Stored::NotMeant, "}"),
            (Stored::NotYet, ",\"stored\":\"not-yet\"}"),
            (Stored::No, ",\"stored\":\"no\"}"),
        ] {
            let expected = receipt.to_json().replace('}', end);
            assert_eq!(receipt.to_json_with(stored), expected, "{stored:?}");
        }
    }
}
