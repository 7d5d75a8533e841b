#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| vedette_fuzz::exercise::exercise(input));
