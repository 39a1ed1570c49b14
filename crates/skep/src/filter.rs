//! Packet filters: tcpdump's expressions as a function over packets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_abi::ProgType;
use skep_isa::classic::{Insn, Op, Operand, Packet, translate};
use skep_isa::{Slot, encode};
use skep_lang::pcap;
use skep_sys::{Command, Kernel, ProgLoad};
use skep_vm::Vm;
use skep_vm::hooks::PacketHook;

pub use skep_lang::pcap::{Error as FilterError, Options as FilterOptions};

/// Compiles an expression of pcap-filter(7) for Ethernet frames.
///
/// ```
/// let mut web = skep::filter("tcp port 80")?;
/// let mut frame = [0; 60];
/// frame[12..14].copy_from_slice(&[0x08, 0x00]); // IPv4,
/// frame[14] = 0x45;
/// frame[23] = 6; // TCP,
/// frame[36..38].copy_from_slice(&80u16.to_be_bytes()); // to port 80
/// assert!(web.matches(&frame));
/// frame[23] = 17;
/// assert!(!web.matches(&frame));
/// # Ok::<(), skep::FilterError>(())
/// ```
///
/// # Errors
/// What is wrong with the expression, in libpcap's words, and where:
///
/// ```
/// let error = skep::filter("tcp port eighty").unwrap_err();
/// assert_eq!(error.to_string(), "unknown port 'eighty'");
/// assert_eq!(error.span, 9..15);
/// ```
pub fn filter(expression: &str) -> Result<PacketFilter, FilterError> {
    PacketFilter::new(expression, &FilterOptions::default())
}

/// Packets that are interpreted before it is tried whether compiled code is faster.
const BEFORE: u32 = 5_000;

/// Runs of one packet by which it is found out.
const TRIES: u32 = 32;

/// How often that is done.
const ROUNDS: u32 = 8;

/// Most bytes of a packet for which the embedded kernel is asked.
const MOST: usize = 65_536;

/// The least that it takes: an Ethernet header.
const LEAST: usize = 14;

/// A compiled expression. The first packets are interpreted; then the program is translated
/// to eBPF, verified and compiled as any other is, and that code runs from then on if it is
/// the faster one.
pub struct PacketFilter {
    filter: pcap::Filter,
    engine: Engine,
}

impl std::fmt::Debug for PacketFilter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let compiled = matches!(self.engine, Engine::Compiled(_));
        f.debug_struct("PacketFilter").field("compiled", &compiled).finish_non_exhaustive()
    }
}

enum Engine {
    /// Interpreted, with the number of packets before the other is tried.
    Trying(u32),
    Interpreted,
    Compiled(Box<PacketHook>),
}

impl PacketFilter {
    /// Compiles an expression for another link type, another length, another version.
    ///
    /// ```
    /// use skep::{FilterOptions, PacketFilter};
    /// use skep::lang::pcap::Link;
    ///
    /// let raw = Link::of_name("RAW").unwrap();
    /// let mut filter = PacketFilter::new("icmp", &FilterOptions { link: raw, ..Default::default() })?;
    /// let mut packet = [0; 28];
    /// (packet[0], packet[9]) = (0x45, 1);
    /// assert!(filter.matches(&packet));
    /// # Ok::<(), skep::FilterError>(())
    /// ```
    ///
    /// # Errors
    /// What is wrong with the expression, and where.
    pub fn new(expression: &str, options: &FilterOptions<'_>) -> Result<PacketFilter, FilterError> {
        let filter = pcap::compile(expression, options)?;
        let engine = match is_same_in_linux(filter.program().insns()) {
            true => Engine::Trying(BEFORE),
            false => Engine::Interpreted,
        };
        Ok(PacketFilter { filter, engine })
    }

    /// Whether it takes a packet that is there whole.
    #[inline]
    pub fn matches(&mut self, packet: &[u8]) -> bool {
        self.run(packet, packet.len() as u32) != 0
    }

    /// How many bytes of a packet it asks for, 0 for none; the packet had `len` bytes on the
    /// wire, of which some may be cut off.
    #[inline]
    pub fn run(&mut self, packet: &[u8], len: u32) -> u32 {
        match &mut self.engine {
            Engine::Compiled(hook) if fits(packet, len) => match hook.run(packet) {
                Ok(verdict) => verdict.retval,
                Err(_) => self.interpret(packet, len),
            },
            Engine::Trying(left) => {
                *left -= 1;
                if *left == 0 {
                    self.engine = self.faster(packet, len);
                }
                self.interpret(packet, len)
            }
            _ => self.interpret(packet, len),
        }
    }

    /// The classic program.
    pub fn program(&self) -> &pcap::Filter {
        &self.filter
    }

    /// Whether packets run through compiled code now.
    pub fn is_compiled(&self) -> bool {
        matches!(self.engine, Engine::Compiled(_))
    }

    /// Has packets run through compiled code from now on, however fast that is; false where
    /// the program cannot be compiled.
    ///
    /// ```
    /// let mut filter = skep::filter("arp")?;
    /// assert!(filter.compile() && filter.is_compiled());
    /// assert!(!filter.matches(&[0; 60]));
    /// # Ok::<(), skep::FilterError>(())
    /// ```
    pub fn compile(&mut self) -> bool {
        let hook = is_same_in_linux(self.filter.program().insns()).then(|| self.hook()).flatten();
        if let Some(hook) = hook {
            self.engine = Engine::Compiled(Box::new(hook));
        }
        self.is_compiled()
    }

    #[inline]
    fn interpret(&self, data: &[u8], len: u32) -> u32 {
        self.filter.program().run(&Packet { data, len, metadata: None })
    }

    /// The program by the ordinary way: translated, verified, compiled.
    fn hook(&self) -> Option<PacketHook> {
        let insns = translate(self.filter.filters()).ok()?;
        let slots: Vec<Slot> = encode(&insns);
        let bytes = Slot::join(&slots);
        let load = ProgLoad {
            prog_type: ProgType::SocketFilter as u32,
            insn_cnt: slots.len() as u32,
            insns: Some(bytes[..].into()),
            license: Some(b"MIT\0"[..].into()),
            ..ProgLoad::default()
        };
        let vm = Arc::new(Vm::with_cpus(1));
        let fd = vm.bpf(&mut Command::ProgLoad(Box::new(load))).ok()?;
        let hook = PacketHook::new(&vm, fd as i32).ok()?;
        hook.compile();
        Some(hook)
    }

    /// The engine that takes less time for this packet.
    fn faster(&self, packet: &[u8], len: u32) -> Engine {
        let Some(mut hook) = self.hook().filter(|_| fits(packet, len)) else {
            return Engine::Interpreted;
        };
        // The least of some rounds: others may have had the CPU in one of them.
        let mut least = [Duration::MAX; 2];
        for _ in 0..ROUNDS {
            let start = Instant::now();
            let tries = (0..TRIES).map(|_| self.interpret(packet, len));
            let one = tries.fold(0, u32::wrapping_add);
            least[0] = least[0].min(start.elapsed());
            let start = Instant::now();
            let mut other = 0u32;
            for _ in 0..TRIES {
                let Ok(verdict) = hook.run(packet) else { return Engine::Interpreted };
                other = other.wrapping_add(verdict.retval);
            }
            least[1] = least[1].min(start.elapsed());
            if one != other {
                return Engine::Interpreted;
            }
        }
        match least[1] < least[0] {
            true => Engine::Compiled(Box::new(hook)),
            false => Engine::Interpreted,
        }
    }
}

/// Whether the embedded kernel sees this packet as it is.
fn fits(packet: &[u8], len: u32) -> bool {
    (LEAST..=MOST).contains(&packet.len()) && packet.len() == len as usize
}

/// Whether a program decides files' packets in Linux as it does in libpcap: Linux reads
/// metadata at offsets from 2^31 on, adds offsets on 32 bits, and shifts by an amount modulo
/// 32. So no such offset, and an index that is small.
fn is_same_in_linux(insns: &[Insn]) -> bool {
    const SMALL: u32 = 1 << 24;
    // Whether X is known to be small on every way to an instruction; all jumps go forward.
    let mut arriving = vec![true; insns.len()];
    let mut small = true;
    for (pc, insn) in insns.iter().enumerate() {
        small &= arriving[pc];
        let mut arrive = |skip: usize| {
            if let Some(there) = arriving.get_mut(pc + 1 + skip) {
                *there &= small;
            }
        };
        match *insn {
            Insn::LoadAncillary { .. } => return false,
            Insn::LoadAbs { offset, .. } | Insn::LoadHeaderLen { offset } if offset < 0 => {
                return false;
            }
            Insn::LoadInd { offset, .. } if !small || !(0..SMALL as i32).contains(&offset) => {
                return false;
            }
            Insn::Alu(Op::Lsh | Op::Rsh, Operand::X) => return false,
            Insn::LoadHeaderLen { .. } => small = true,
            Insn::LoadImm(skep_isa::classic::Reg::X, k) => small = k < SMALL,
            Insn::LoadMem(skep_isa::classic::Reg::X, _)
            | Insn::LoadLen(skep_isa::classic::Reg::X)
            | Insn::Tax => small = false,
            Insn::Ja(off) => {
                arrive(off as usize);
                small = true;
            }
            Insn::Branch { jt, jf, .. } => {
                arrive(jt.into());
                arrive(jf.into());
                small = true;
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames in which every byte that filters look at varies.
    fn frames() -> Vec<Vec<u8>> {
        let mut state = 7u64;
        let mut next = |bound: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % bound
        };
        let kinds = [[8, 0], [8, 6], [0x86, 0xdd], [0x81, 0]];
        (0..2_000)
            .map(|_| {
                let mut frame: Vec<u8> = (0..14 + next(80)).map(|_| next(4) as u8).collect();
                frame[12..14].copy_from_slice(&kinds[next(4) as usize]);
                for (at, values) in [(14, [0x45, 0x46]), (23, [6, 17]), (37, [80, 53])] {
                    if let Some(byte) = frame.get_mut(at) {
                        *byte = values[next(2) as usize];
                    }
                }
                frame
            })
            .collect()
    }

    #[test]
    fn compiled_code_decides_as_the_interpreter_does() {
        for text in
            ["tcp port 80", "ip[8] < 2 or arp", "len > 50 and not udp", "portrange 50-90", ""]
        {
            let mut compiled = filter(text).unwrap();
            assert!(compiled.compile(), "{text}");
            let plain = filter(text).unwrap();
            for frame in frames() {
                let expected = plain.interpret(&frame, frame.len() as u32);
                assert_eq!(
                    compiled.run(&frame, frame.len() as u32),
                    expected,
                    "{text} {frame:02x?}"
                );
            }
        }
    }

    #[test]
    fn what_linux_would_decide_otherwise_is_interpreted() {
        for text in ["ether[ip[0:4]] = 1", "1 << ip[0] = 2", "ip[4294967200] = 3"] {
            let mut filter = filter(text).unwrap();
            assert!(!filter.compile(), "{text}");
            filter.matches(&[0; 60]);
        }
        let mut filter = filter("ip").unwrap();
        for _ in 0..2 * BEFORE {
            assert!(!filter.matches(&[0; 60]));
        }
        assert!(!matches!(filter.engine, Engine::Trying(_)));
    }
}
