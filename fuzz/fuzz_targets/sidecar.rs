//! Instruments' sidecars, of the format that the first line names.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| npyd_fuzz::sidecar(input));
