//! Any text as a tracing script, in the world of the unit tests: diagnostics, or a checked
//! tree. What is formatted stays as it is when it is formatted again.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use skep_lang::trace::world::Fixture;
use skep_lang::trace::{Options, check, format};

static WORLD: LazyLock<Fixture> = LazyLock::new(|| {
    let text = include_str!("../../crates/lang/tests/trace/fixture.json");
    Fixture::read(text).expect("the fixture describes a world")
});

fuzz_target!(|text: &str| {
    let options = Options {
        allow_unsafe: true,
        positional: vec!["1".into(), "a".into()],
        named: vec![("a".into(), Some("1".into()))],
        ..Options::default()
    };
    let outcome = check(text, "stdin", &*WORLD, &options);
    assert_ne!(outcome.script.is_some(), !outcome.diagnostics.is_ok());
    let _shown = outcome.shown();
    if let Ok(once) = format(text, "stdin") {
        assert_eq!(format(&once, "stdin").as_ref(), Ok(&once), "{text}");
    }
});
