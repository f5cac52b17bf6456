//! Receipts: what happened to a drop, and why. Printed as one JSON object per line.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::decide::array_receipt::ArrayId;
use crate::decide::evidence::Evidence;
use crate::decide::reason::Reason;
use crate::decide::reason_kind::ReasonKind;
use crate::decide::route::Route;
use crate::events::parts::Parts;
use crate::events::receipt_event::ReceiptEvent;
use crate::events::source_fate::SourceFate;
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
    /// Whether the data were copied through a mapping of the array; `None` if they were not copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped: Option<bool>,
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
    /// The directory that npyd archived the source in.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "lossily_if_any")]
    pub archive: Option<PathBuf>,
    /// The identity of the array, if npyd could not mark it, or found it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub array_id: Option<ArrayId>,
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
            reason: Some(reason.to_string()),
            reason_kind: Some(reason.kind()),
            ..Self::bare(event, drop, source)
        }
    }

    /// Creates a receipt that says nothing but the event.
    #[must_use]
    pub fn bare(event: ReceiptEvent, drop: PathBuf, source: PathBuf) -> Self {
        Receipt {
            event,
            drop,
            source,
            parts: None,
            output: None,
            route: None,
            mapped: None,
            bytes: 0,
            seconds: Duration::ZERO,
            evidence: None,
            source_fate: None,
            archive: None,
            array_id: None,
            reason: None,
            reason_kind: None,
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
        // An array that was made of another one has a route, and no evidence.
        if self.evidence.is_some() || self.route.is_some() {
            let route = self.route.map_or_else(String::new, |route| format!("{route}, "));
            let (bytes, seconds) = (indicatif::BinaryBytes(self.bytes), self.seconds.as_secs_f64());
            write!(f, " ({route}{bytes}, {seconds:.3} s")?;
            match self.evidence {
                Some(evidence) => write!(f, ", evidence: {evidence})")?,
                None => f.write_str(")")?,
            }
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
    fn an_array_of_an_array_has_a_route_in_the_log() {
        let event = ReceiptEvent::Remade;
        let mut receipt = Receipt::bare(event, "/in".into(), "/in/a".into());
        assert!(!receipt.to_string().contains('('), "{receipt}");
        receipt.route = Some(Route::Reflink);
        assert!(receipt.to_string().contains(" (reflink, 0 B, 0.000 s)"), "{receipt}");
    }

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
