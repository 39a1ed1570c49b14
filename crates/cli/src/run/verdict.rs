//! What a program's return value is called.

use skep::abi::ProgType;
use skep::load::capture::Mark;

/// `XDP_PASS`, `TC_ACT_OK`; socket filters accept or drop. `None` for a number without a
/// name.
pub fn name(prog_type: ProgType, retval: u32) -> Option<&'static str> {
    match prog_type {
        ProgType::Xdp => {
            ["XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT"].get(retval as usize)
        }
        ProgType::SocketFilter if retval == 0 => Some(&"dropped"),
        ProgType::SocketFilter => Some(&"accepted"),
        _ if retval == u32::MAX => Some(&"TC_ACT_UNSPEC"),
        _ => [
            "TC_ACT_OK",
            "TC_ACT_RECLASSIFY",
            "TC_ACT_SHOT",
            "TC_ACT_PIPE",
            "TC_ACT_STOLEN",
            "TC_ACT_QUEUED",
            "TC_ACT_REPEAT",
            "TC_ACT_REDIRECT",
            "TC_ACT_TRAP",
        ]
        .get(retval as usize),
    }
    .copied()
}

/// The name, or the number.
pub fn text(prog_type: ProgType, retval: u32) -> String {
    match name(prog_type, retval) {
        Some(name) => name.into(),
        None => format!("{} ({:#x})", retval as i32, retval),
    }
}

/// The same, with the number of bytes that a socket filter accepts.
pub fn exact(prog_type: ProgType, retval: u32) -> String {
    match prog_type {
        ProgType::SocketFilter if retval != 0 => format!("accepted, {retval} bytes"),
        _ => text(prog_type, retval),
    }
}

/// Values that count as one: a socket filter returns how many bytes it accepts.
pub fn class(prog_type: ProgType, retval: u32) -> u32 {
    match prog_type {
        ProgType::SocketFilter => retval.min(1),
        _ => retval,
    }
}

/// What a capture says of it; nothing for socket filters.
pub fn mark(prog_type: ProgType, retval: u32) -> Option<Mark> {
    match prog_type {
        ProgType::Xdp => Some(Mark::Xdp(retval.into())),
        ProgType::SchedCls | ProgType::SchedAct => Some(Mark::Tc(retval as i32 as i64 as u64)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_the_names_of_their_program_type() {
        assert_eq!(text(ProgType::Xdp, 1), "XDP_DROP");
        assert_eq!(text(ProgType::Xdp, 9), "9 (0x9)");
        assert_eq!(text(ProgType::SchedCls, 2), "TC_ACT_SHOT");
        assert_eq!(text(ProgType::SchedCls, u32::MAX), "TC_ACT_UNSPEC");
        assert_eq!(text(ProgType::SocketFilter, 0), "dropped");
        assert_eq!(text(ProgType::SocketFilter, 65535), "accepted");
        assert_eq!(class(ProgType::SocketFilter, 96), 1);
    }
}
