//! Any text as a policy, in each form: an error, or a policy whose program is one that Linux
//! takes and that is proved, on a call.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skep_lang::seccomp::{Arch, Data, Environment, Filter, Format, ProveError, convert, parse};

fuzz_target!(|input: (u8, u32, [u64; 6], &str)| {
    let (form, nr, args, text) = input;
    let forms = [Format::Oci, Format::Toml, Format::Expression, Format::Systemd];
    let environment = Environment { arch: Arch::X86_64, ..Environment::default() };
    let Ok(policy) = parse(text, forms[usize::from(form) % forms.len()], &environment) else {
        return;
    };
    let Ok(filter) = Filter::new(&policy) else { return };
    match filter.prove() {
        Ok(_) | Err(ProveError::TooComplex) => {}
        Err(error) => panic!("{error}: {policy:?}"),
    }
    let data = Data { nr: nr % 500, arch: policy.arches[0].audit(), ip: 0, args };
    assert_eq!(filter.decide(&data).0, filter.run(&data), "{policy:?}");
    let back = parse(&convert::to_toml(&policy), Format::Toml, &environment);
    assert!(back.is_ok(), "{back:?}: {policy:?}");
});
