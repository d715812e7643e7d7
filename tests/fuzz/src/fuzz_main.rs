//! The fuzzer: libFuzzer around the target that the program is called by; `tests/fuzz/run` starts it.
#![no_main]

use std::sync::LazyLock;

use cloudtik_fuzz::{Target, target};

static TARGET: LazyLock<Option<&Target>> = LazyLock::new(|| target(&std::env::args().next()?));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    assert!(TARGET.is_some(), "it is called by the name of no target");
    if let Some(target) = *TARGET {
        (target.run)(bytes);
    }
});
