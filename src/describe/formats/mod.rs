//! The formats of sidecars that npyd reads: one file each.

use crate::describe::sidecar::Format;

/// Names each format's file, and with it the format: one line for one more.
macro_rules! formats {
    ($($format:ident,)*) => {
        $(mod $format;)*

        /// All formats, in the order in which a sidecar is tried as one of them.
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
