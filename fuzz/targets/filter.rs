//! Any text as a filter expression, on the packet before it: an error, or a program that
//! decides as the unoptimised one does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_isa::classic::{Packet, check};
use skep_lang::pcap::{Equality, Kind, LINKS, NoNames, Options, compile, prove};

fuzz_target!(|input: (u8, &[u8], &str)| {
    let (link, packet, text) = input;
    let links: Vec<_> = LINKS.iter().filter(|link| link.kind != Kind::Other).collect();
    let link = *links[usize::from(link) % links.len()];
    let options = Options { link, netmask: Some(0xff), names: &NoNames, ..Options::default() };
    let plain = compile(text, &Options { optimize: false, ..options });
    let short = compile(text, &options);
    let (Ok(plain), Ok(short)) = (plain, short) else { return };
    assert!(check(plain.filters()).is_ok() && check(short.filters()).is_ok());
    if text.len() < 80 {
        assert!(!matches!(prove(text, &options), Ok(Equality::Differ(_))), "{text}");
    }
    let packet = Packet::of(packet);
    assert_eq!(plain.program().run(&packet), short.program().run(&packet), "{text}");
});
