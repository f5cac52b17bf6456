//! Fuzzes `src/manifest.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| npyd_fuzz::manifest::check(input));
