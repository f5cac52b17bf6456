//! The formats of sidecars that npyd reads: one file each.

use super::sidecar::Format;

mod brainvision;
mod ehdr;
mod empad;
mod envi;
mod metaimage;
mod neuroscope;
mod nrrd;
mod open_ephys;
mod ripple;
mod sigmf;
mod spikeglx;
mod spikeinterface;

/// All formats, in the order in which a sidecar is tried as one of them.
pub static FORMATS: &[&Format] = &[
    &envi::FORMAT,
    &metaimage::FORMAT,
    &sigmf::FORMAT,
    &nrrd::FORMAT,
    &spikeglx::FORMAT,
    &brainvision::FORMAT,
    &open_ephys::FORMAT,
    &ripple::FORMAT,
    &ehdr::FORMAT,
    &spikeinterface::FORMAT,
    &neuroscope::FORMAT,
    &empad::FORMAT,
];
