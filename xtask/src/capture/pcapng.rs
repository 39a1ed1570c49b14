//! Writes a pcapng file: one section, one Ethernet interface, times in nanoseconds
//! (draft-ietf-opsawg-pcapng). Nothing in the file depends on when or where it is made.

/// The link type of Ethernet.
const LINKTYPE_ETHERNET: u16 = 1;
/// The most bytes that the interface claims to keep of a packet.
const SNAP_LEN: u32 = 262_144;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

const OPTION_END: u16 = 0;
/// `shb_userappl`: what made the file.
const OPTION_APPLICATION: u16 = 4;
/// `if_tsresol`: the unit of times, as a negative power of ten.
const OPTION_RESOLUTION: u16 = 9;

/// A capture file with these packets, each with its time in nanoseconds since 1970.
pub fn file<'a>(packets: impl Iterator<Item = (u64, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();

    let mut section = BYTE_ORDER_MAGIC.to_le_bytes().to_vec();
    section.extend(1u16.to_le_bytes()); // version 1.0
    section.extend(0u16.to_le_bytes());
    section.extend((-1i64).to_le_bytes()); // the section's length: not given
    option(&mut section, OPTION_APPLICATION, b"skep: cargo xtask examples --capture");
    option(&mut section, OPTION_END, b"");
    block(&mut out, SECTION_HEADER, &section);

    let mut interface = u32::from(LINKTYPE_ETHERNET).to_le_bytes().to_vec();
    interface.extend(SNAP_LEN.to_le_bytes());
    option(&mut interface, OPTION_RESOLUTION, &[9]);
    option(&mut interface, OPTION_END, b"");
    block(&mut out, INTERFACE_DESCRIPTION, &interface);

    for (time, bytes) in packets {
        let len = (bytes.len() as u32).to_le_bytes();
        let mut packet = 0u32.to_le_bytes().to_vec(); // the interface
        packet.extend(((time >> 32) as u32).to_le_bytes());
        packet.extend((time as u32).to_le_bytes());
        packet.extend(len); // captured
        packet.extend(len); // on the wire
        packet.extend(bytes);
        block(&mut out, ENHANCED_PACKET, &packet);
    }
    out
}

/// Appends a block: its type, its length before and behind, its body filled to a
/// multiple of four.
fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let padding = body.len().next_multiple_of(4) - body.len();
    let len = ((body.len() + padding + 12) as u32).to_le_bytes();
    out.extend(kind.to_le_bytes());
    out.extend(len);
    out.extend(body);
    out.extend(&[0; 3][..padding]);
    out.extend(len);
}

/// Appends an option, likewise filled.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out.extend(&[0; 3][..value.len().next_multiple_of(4) - value.len()]);
}
