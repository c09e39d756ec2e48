//! The libFuzzer program: the target is named by `HOLDFAST_FUZZ_TARGET`, everything else by libFuzzer's own arguments.

#![no_main]

use std::sync::OnceLock;

use holdfast_fuzz::{TARGETS, Target, target};

fn chosen() -> Target {
    static CHOSEN: OnceLock<Target> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let name = std::env::var("HOLDFAST_FUZZ_TARGET").unwrap_or_default();
        let known: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        target(&name).unwrap_or_else(|| {
            panic!("HOLDFAST_FUZZ_TARGET is {name:?}; set it to one of {known:?}")
        })
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chosen()(bytes));
