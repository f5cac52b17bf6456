//! The sidecar formats that npyd reads: one file each.

use crate::describe::sidecar::Format;

/// Declares the module of each format and adds it to `FORMATS`. A new format needs one line.
macro_rules! formats {
    ($($format:ident,)*) => {
        $(mod $format;)*

        /// All formats, in the order in which npyd tries them.
        pub static FORMATS: &[&Format] = &[$(&$format::FORMAT,)*];
    };
}

formats! {
    envi,
    metaimage,
    sigmf,
    nrrd,
    spikeglx,
    brainvision,
    open_ephys,
    ripple,
    ehdr,
    spikeinterface,
    neuroscope,
    empad,
}

/// Returns the keys that declare the size of the data in a format, as a list for people.
#[must_use]
pub fn size_keys(format: &str) -> &'static str {
    FORMATS.iter().find(|it| it.name == format).map_or("", |it| it.size_keys)
}
