//! What to do about a file that nothing describes.

use std::path::Path;

use super::gone::FormerPart;
use crate::decide::description_remark::{DescriptionRemark, why_unusable};
use crate::describe::manifest::is_manifest_name;
use crate::model::FileName;
use crate::probe::Mention;

/// Returns whether a remark is about this description, which can't be used.
pub(super) fn is_of_unusable(remark: Option<&DescriptionRemark>, by: &FileName) -> bool {
    matches!(remark, Some(DescriptionRemark::Unusable { name, .. }) if name == by)
}

/// Returns what to do about a file that a description refers to, but does not describe.
pub(super) fn remedy_of_mention(rel: &Path, by: &FileName, mention: &Mention) -> String {
    let name = rel.file_name().unwrap_or_default().display();
    match mention {
        Mention::Unusable(why) => {
            format!("`{by}` names it, but can't be used: {}", why_unusable(why))
        }
        Mention::OtherCase(other) => format!(
            "`{by}` names `{other}`, in other letter case: correct the name there, or rename this \
             file"
        ),
        Mention::WaitsBySuffix => {
            format!("`{by}` waits for its data: if this is it, add `data = \"{name}\"` to `{by}`")
        }
    }
}

/// Suffixes of files with header and data in one, the format, and the suffix of a header alone.
const ATTACHED: [(&str, &str, &str); 2] =
    [(".nrrd", "NRRD", ".nhdr"), (".mha", "MetaImage", ".mhd")];

/// Returns what to do about a file that nothing describes.
pub(super) fn remedy_of_undescribed(rel: &Path, remark: Option<&DescriptionRemark>) -> String {
    let name = rel.file_name().unwrap_or_default().display().to_string();
    let lower = name.to_lowercase();
    let attached = ATTACHED.iter().find(|(suffix, ..)| lower.ends_with(suffix));
    let (what, remedy) = match remark {
        Some(DescriptionRemark::OtherData { name: manifest, .. }) => {
            ("data", format!("set the key `data` of `{manifest}` to `{name}`, or remove the key"))
        }
        Some(DescriptionRemark::NotManifest(manifest)) => {
            ("data", format!("write the keys `dtype` and `shape` into `{manifest}`"))
        }
        Some(DescriptionRemark::TooLong { name: manifest, .. }) => {
            ("data", format!("shorten `{manifest}`"))
        }
        Some(DescriptionRemark::SidecarOfOtherData { name: sidecar, .. }) => {
            let remedy = format!(
                "put a manifest `{name}.toml` with dtype and shape beside it, or correct the name \
                 of the data file in `{sidecar}`, if it has one"
            );
            ("data", remedy)
        }
        Some(
            DescriptionRemark::NearMiss(sidecar, _)
            | DescriptionRemark::Unusable { name: sidecar, .. }
            | DescriptionRemark::NamedByUnusable { name: sidecar, .. },
        ) => ("data", format!("correct `{sidecar}`")),
        Some(DescriptionRemark::DataNearMiss(_)) => ("a sidecar", "correct it".to_owned()),
        None if is_manifest_name(&name) => {
            ("a manifest", "it needs the keys `dtype` and `shape`".to_owned())
        }
        None if let Some((suffix, format, detached)) = attached => {
            return format!(
                "npyd reads {format} only with a header of its own ({detached}), not {suffix}: write \
                 it so, or put a manifest `{name}.toml` with `offset` beside it"
            );
        }
        None => (
            "data",
            format!(
                "put a manifest `{name}.toml` with dtype and shape beside it, or add a template to \
                 the configuration"
            ),
        ),
    };
    format!("if it is {what}, {remedy}; if not, add an `ignore` rule")
}

/// Says what became of the drop that a file was a part of, and why nothing describes it now.
pub(super) fn undescribed_part(FormerPart { newest: entry, of, .. }: FormerPart) -> Option<String> {
    let source = entry.source.display();
    match &entry.output {
        Some(array) => Some(format!("{of}, which became `{}`", array.display())),
        None if entry.is_rejected() => {
            let name = entry.source.file_name().unwrap_or_default().display();
            let why = entry.reason();
            let what = format!("`{source}` names it, but was rejected: {why}");
            Some(format!("{what}; correct it, then run `npyd retry {name}`"))
        }
        None => None,
    }
}
