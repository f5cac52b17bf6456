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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_the_name_of_a_sidecar() {
        for format in FORMATS {
            assert!((format.is_named)(format.sample_name()), "{format:?}");
        }
    }
}
