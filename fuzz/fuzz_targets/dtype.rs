//! Fuzzes `src/dtype.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| npyd_fuzz::dtype::check(input));
