//! Fuzzes `src/sidecar.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| npyd_fuzz::sidecar::check(input));
