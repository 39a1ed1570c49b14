//! Who would load the program: `--unprivileged`, `--caps bpf,net_admin`.

use skep::abi::Capabilities;

const NAMES: [(&str, Capabilities); 4] = [
    ("bpf", Capabilities::BPF),
    ("perfmon", Capabilities::PERFMON),
    ("net_admin", Capabilities::NET_ADMIN),
    ("sys_admin", Capabilities::SYS_ADMIN),
];

/// A list of names, in either case, with or without `CAP_`.
pub(super) fn parse(text: &str) -> Result<Capabilities, String> {
    let mut caps = Capabilities::empty();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let lower = word.to_ascii_lowercase();
        let name = lower.strip_prefix("cap_").unwrap_or(&lower);
        let Some((_, cap)) = NAMES.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = NAMES.iter().map(|(known, _)| *known).collect();
            return Err(format!("{word:?} is none of {}", known.join(", ")));
        };
        caps |= *cap;
    }
    Ok(caps)
}

/// The capabilities to judge for.
pub(super) fn of(args: &super::SubjectArgs) -> Capabilities {
    match args.caps {
        Some(caps) => caps,
        None if args.unprivileged => Capabilities::empty(),
        None => Capabilities::all(),
    }
}

/// `all capabilities`, `CAP_BPF and CAP_NET_ADMIN`, `unprivileged`.
pub(super) fn name(caps: Capabilities) -> String {
    if caps.contains(Capabilities::SYS_ADMIN) {
        return "all capabilities".into();
    }
    let held: Vec<String> = NAMES
        .iter()
        .filter(|(_, cap)| caps.contains(*cap))
        .map(|(name, _)| format!("CAP_{}", name.to_ascii_uppercase()))
        .collect();
    if held.is_empty() { "unprivileged".into() } else { held.join(" and ") }
}
