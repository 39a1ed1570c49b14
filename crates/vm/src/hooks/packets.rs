//! The packet hook: programs on the frames of a capture or of an interface, without the limits
//! of TEST_RUN. A socket filter sees the Ethernet header here, as one attached to a
//! packet socket does.

use std::collections::HashMap;
use std::sync::Arc;

use skep_abi::context::at;
use skep_abi::{MapType, ProgType, Trap};
use skep_jit::Passes;
use skep_sys::{Errno, RawFd};

use crate::contexts::skb::{self, Skb, SkbAccess};
use crate::contexts::xdp::Xdp;
use crate::contexts::{Context, Frame};
use crate::engine::Engine;
use crate::engine::runner::Runner;
use crate::kernel::vm::Vm;
use crate::kfuncs::{self, MissingKfunc};
use crate::memory::value::Value;
use crate::objects::program::{How, Program};
use crate::run::Outcome;
use crate::run::network::{Redirect, Way};
use crate::run::vcpus::NoVcpu;

/// Why a packet has no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The fd is no program, or one that does not take packets.
    #[error("program cannot run on packets: {0}")]
    Program(Errno),
    /// The program calls something that is not here.
    #[error(transparent)]
    Missing(#[from] MissingKfunc),
    /// The program did something that it may not.
    #[error("{0}")]
    Trapped(Trap),
    /// The program used up its budget of instructions.
    #[error("the budget of instructions is used up")]
    OutOfBudget,
    /// The frame is shorter than an Ethernet header.
    #[error("frame of {0} bytes is shorter than an Ethernet header")]
    TooShort(usize),
    /// The frame is longer than any that is taken.
    #[error("frame of {0} bytes is too long")]
    TooLong(usize),
    /// The program was not run.
    #[error(transparent)]
    Vcpu(#[from] NoVcpu),
}

/// What a program said of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it returned.
    pub retval: u32,
}

/// What is known of a frame besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The interface that it came by, or is to leave by.
    pub interface: u32,
    /// Whether it comes in.
    pub incoming: bool,
    /// To whom it is (`PACKET_*`), where that is known of more than its bytes.
    pub packet_type: Option<u8>,
    /// The VLAN tag that stands beside its bytes, with its Ethernet type.
    pub tag: Option<(u16, u16)>,
}

impl Default for Arrival {
    /// From interface 1, as those of captures.
    fn default() -> Arrival {
        Arrival { interface: 1, incoming: false, packet_type: None, tag: None }
    }
}

/// Where a program had a packet go.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Redirected {
    /// The devices that it leaves by, each with the packet as the device's program left it,
    /// where there is one.
    pub devices: Vec<(u32, Option<Vec<u8>>)>,
    /// Copies that go nowhere: to what is no device, or dropped by a device's program.
    pub nowhere: u32,
}

/// A program of a kernel, made ready to run on packets.
///
/// It keeps the kernel. Several may run at the same time, each on a vCPU of its own; inside
/// of a run of the same thread, from a printer say, on that run's vCPU.
pub struct PacketHook {
    vm: Arc<Vm>,
    runner: Box<Runner>,
    /// Programs of devices that packets were redirected to, by their ids.
    of_devices: HashMap<u32, Box<Runner>>,
    /// Where the last packet came from, and where it began.
    last: Arrival,
    start: usize,
}

/// The longest frame that is taken: far more than a capture holds.
const MOST_BYTES: usize = 1 << 28;

impl PacketHook {
    /// Hooks the program behind `fd` of this kernel to packets.
    ///
    /// # Errors
    /// `EBADF`, `EINVAL` for an fd that is no program; `EOPNOTSUPP` for a program type
    /// that takes no packets; a kernel function that it may call and that is not here.
    pub fn new(vm: &Arc<Vm>, fd: RawFd) -> Result<PacketHook, PacketError> {
        let program = vm.program(fd).map_err(PacketError::Program)?;
        if let Some(missing) = kfuncs::missing(&program) {
            return Err(missing.into());
        }
        let runner = PacketHook::runner(vm, program, vm.machine.how())?;
        Ok(PacketHook {
            vm: vm.clone(),
            runner: Box::new(runner),
            of_devices: HashMap::new(),
            last: Arrival::default(),
            start: 0,
        })
    }

    fn runner(vm: &Vm, program: Arc<Program>, how: Option<How>) -> Result<Runner, PacketError> {
        let (context, size): (Box<dyn Context>, u32) = match program.prog_type {
            ProgType::Xdp => (Box::new(Xdp::new()), at::xdp::SIZE_OF),
            kind if SkbAccess::of(kind).is_some() => (Box::new(Skb::new()), at::skb::SIZE_OF),
            _ => return Err(PacketError::Program(Errno::EOPNOTSUPP)),
        };
        let arguments = [Value::context(size), Value::UNINIT];
        Ok(Runner::new(&vm.machine, how, program, Box::default(), context, arguments))
    }

    /// Runs the program with this engine, compiled by these passes, whatever others run it
    /// with. Programs that it goes on to by tail calls keep the code that they have.
    pub fn with_engine(mut self, engine: Engine, passes: Passes) -> PacketHook {
        let program = Arc::new(self.runner.program().uncompiled());
        if let Ok(runner) = PacketHook::runner(&self.vm, program, engine.how(passes)) {
            *self.runner = runner;
        }
        self
    }

    /// Stops the clock of this hook's runs at `ns`, or has them see the kernel's again.
    pub fn set_time(&mut self, ns: Option<u64>) {
        self.runner.set_time(ns);
    }

    /// The kernel's time.
    pub fn now(&self) -> u64 {
        self.vm.environment().now()
    }

    /// Compiles the program, if that is how it runs; else its first run does. (Programs
    /// that it goes on to by tail calls are compiled when they are first reached.)
    pub fn compile(&self) {
        self.runner.compile();
    }

    /// Runs the program on one frame, of which nothing else is known.
    ///
    /// # Errors
    /// Why there is no verdict.
    pub fn run(&mut self, frame: &[u8]) -> Result<Verdict, PacketError> {
        self.run_on(frame, &Arrival::default())
    }

    /// Runs the program on one frame.
    ///
    /// # Errors
    /// Why there is no verdict.
    #[inline]
    pub fn run_on(&mut self, frame: &[u8], of: &Arrival) -> Result<Verdict, PacketError> {
        match frame.len() {
            skb::ETH_HLEN..=MOST_BYTES => {}
            short if short < skb::ETH_HLEN => return Err(PacketError::TooShort(short)),
            long => return Err(PacketError::TooLong(long)),
        }
        let kind = self.runner.program().prog_type;
        let context = self.runner.context_mut();
        if let Some(skb) = context.skb() {
            let link = kind != ProgType::CgroupSkb;
            skb.fill(frame, SkbAccess::of(kind).unwrap_or(SkbAccess::SocketFilter), link);
            skb.fields.wire_len = frame.len() as u32;
            come(skb, of);
        } else if let Some(xdp) = context.xdp() {
            xdp.fill(frame, 0);
            xdp.ingress_ifindex = of.interface;
        }
        self.last = *of;
        self.start = context.frame().map_or(0, Frame::start);
        self.runner.take_redirect();
        verdict(self.runner.lease(&self.vm.machine.vcpus)?.run())
    }

    /// How many bytes later than it came the last packet begins; fewer than 0 where it has
    /// something before it now.
    pub fn moved(&self) -> isize {
        let start = self.runner.context().frame().map_or(0, Frame::start);
        start.wrapping_sub(self.start) as isize
    }

    /// The VLAN tag that stands beside the last packet's bytes now, with its Ethernet type.
    pub fn tag(&mut self) -> Option<(u16, u16)> {
        let fields = &self.runner.context_mut().skb()?.fields;
        fields.vlan_present.then(|| (fields.vlan_tci, u16::from_be(fields.vlan_proto)))
    }

    /// Where the last packet goes, of which the program said that it is redirected. Programs of
    /// devices in a map run now, on the packet as it was left.
    ///
    /// # Errors
    /// The program of a device has no verdict.
    pub fn redirect(&mut self) -> Result<Redirected, PacketError> {
        let mut found = Redirected::default();
        let Some(Redirect { to, way }) = self.runner.take_redirect() else {
            found.nowhere = 1;
            return Ok(found);
        };
        let (map, places) = match way {
            Way::Out | Way::Neighbour => {
                found.devices.push((to, None));
                return Ok(found);
            }
            Way::In | Way::Peer => {
                found.nowhere = 1;
                return Ok(found);
            }
            Way::Map(map) => (map, Some(to)),
            Way::Each { map, .. } => (map, None),
        };
        let map = self
            .vm
            .map_by_id(map)
            .filter(|map| matches!(map.map.map_type(), MapType::Devmap | MapType::DevmapHash));
        let Some(map) = map else {
            found.nowhere = 1;
            return Ok(found);
        };
        let all = places.map_or_else(|| map.targets(), |place| vec![place]);
        for place in all {
            let Some((device, program)) = map.device(place) else { continue };
            let others = matches!(way, Way::Each { others: true, .. });
            if others && device == self.last.interface {
                continue;
            }
            match program {
                None => found.devices.push((device, None)),
                Some(program) => match self.on_device(program, device)? {
                    Some(packet) => found.devices.push((device, Some(packet))),
                    None => found.nowhere += 1,
                },
            }
        }
        Ok(found)
    }

    /// Runs the program of a device on the last packet. None: it does not let it go.
    fn on_device(
        &mut self,
        program: Arc<Program>,
        device: u32,
    ) -> Result<Option<Vec<u8>>, PacketError> {
        const XDP_PASS: u32 = 2;
        let packet = self.packet().to_vec();
        if !self.of_devices.contains_key(&program.id) {
            let runner = PacketHook::runner(&self.vm, program.clone(), self.vm.machine.how())?;
            self.of_devices.insert(program.id, Box::new(runner));
        }
        let Some(runner) = self.of_devices.get_mut(&program.id) else { return Ok(None) };
        if let Some(xdp) = runner.context_mut().xdp() {
            xdp.fill(&packet, 0);
            (xdp.ingress_ifindex, xdp.egress_ifindex) = (self.last.interface, device);
        }
        let verdict = verdict(runner.lease(&self.vm.machine.vcpus)?.run())?;
        let left = runner.context().frame().map_or(&[][..], |frame| frame.bytes());
        Ok((verdict.retval == XDP_PASS).then(|| left.to_vec()))
    }

    /// The program.
    pub fn program(&self) -> &Program {
        self.runner.program()
    }

    /// The last packet as the program left it.
    pub fn packet(&self) -> &[u8] {
        self.runner.context().frame().map_or(&[], |frame| frame.bytes())
    }
}

fn verdict(outcome: Outcome) -> Result<Verdict, PacketError> {
    match outcome {
        Outcome::Returned(bits) => Ok(Verdict { retval: bits as u32 }),
        Outcome::Trapped(trap) => Err(PacketError::Trapped(trap)),
        Outcome::OutOfBudget => Err(PacketError::OutOfBudget),
    }
}

/// What a socket buffer knows of where it comes from.
fn come(skb: &mut Skb, of: &Arrival) {
    skb.at_ingress = of.incoming;
    let fields = &mut skb.fields;
    fields.ifindex = of.interface;
    if of.incoming {
        fields.ingress_ifindex = of.interface;
    }
    if let Some(kind) = of.packet_type {
        fields.pkt_type = kind.into();
    }
    if let Some((tag, kind)) = of.tag {
        (fields.vlan_present, fields.vlan_tci, fields.vlan_proto) = (true, tag, kind.to_be());
    }
}
