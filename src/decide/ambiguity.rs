//! Ambiguity: several descriptions of one data file, or one description of several data files.

use std::path::PathBuf;

use thiserror::Error;

use crate::model::FileName;

/// Which files are in conflict.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Ambiguity {
    /// Several files describe the data.
    #[error("{}{}", describe_it(descriptions, part.as_ref()), made_with(array_of.as_ref()))]
    SeveralDescriptions {
        /// The descriptions: a name, or a path where the description is in another directory.
        descriptions: Vec<PathBuf>,
        /// The data file that they describe, if the data are in several.
        part: Option<PathBuf>,
        /// The description with which the array was made before.
        array_of: Option<PathBuf>,
    },
    /// A manifest may describe one or another file.
    #[error(
        "`{description}` could describe `{}` or `{}`: name one with its key `data`",
        data.display(), other.display()
    )]
    SeveralData {
        /// The manifest.
        description: FileName,
        /// The name of the data file that was probed.
        data: PathBuf,
        /// The name of the other file.
        other: PathBuf,
    },
}

fn describe_it(descriptions: &[PathBuf], part: Option<&PathBuf>) -> String {
    let subject = match part {
        Some(part) => format!("its part `{}`", part.display()),
        None => "it".to_owned(),
    };
    let names: Vec<_> = descriptions.iter().map(|it| format!("`{}`", it.display())).collect();
    match &names[..] {
        [one, other] => format!("both {one} and {other} describe {subject}: remove one of them"),
        [others @ .., last] => {
            let others = others.join(", ");
            format!("{others} and {last} describe {subject}: remove all but one")
        }
        [] => String::new(),
    }
}

fn made_with(description: Option<&PathBuf>) -> String {
    description.map_or_else(String::new, |it| {
        format!("; its array was made with `{}` and stays as it is", it.display())
    })
}
