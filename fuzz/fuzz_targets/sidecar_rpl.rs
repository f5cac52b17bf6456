//! RPL sidecars.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| npyd_fuzz::sidecar("RPL", "scan.rpl", text));
