//! Any text as events for a program of any type: a fault that names line and field, or a
//! context that the type may have; never a panic or memory beyond what the text asks for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_abi::ProgType;
use skep_load::event::{EventReader, line};

/// No context has more bytes.
const MOST: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let kinds = ProgType::ALL;
    let kind = kinds[usize::from(kind) % kinds.len()];
    let mut reader = EventReader::new(text, kind);
    loop {
        match reader.next_event() {
            Ok(None) => break,
            Ok(Some(event)) => assert!(event.context.len() <= MOST + text.len()),
            Err(error) => {
                assert!(error.to_string().starts_with("line "), "{error}");
                break;
            }
        }
    }
    // A recording: what is read is written and read as it was.
    let mut reader = EventReader::of_all_types(text);
    while let Ok(Some(event)) = reader.next_event() {
        let written = line(&event);
        let again = EventReader::of_all_types(written.as_bytes()).next_event();
        assert_eq!(again, Ok(Some(event)));
    }
});
