//! What the programs find around them: hooks with their contexts, maps, types, and the
//! things that can be given to a call.

use std::sync::Arc;

use anyhow::{Context, Result};
use skep_abi::helper::id;
use skep_abi::{MapType, ProgType, flags};
use skep_btf::{Btf, Builder, Endian, FuncLinkage, Kind, Member};
use skep_isa::{AluOp, Cond, ImmKind, Insn, Operand, Reg, Size, Slot, Width};
use skep_sys::{
    BtfLoad, Command, Fd, Kernel, Layer, MapCreate, MapElem, MapFreeze, Output, ProgLoad,
};

use super::script::{Release, Script};
use crate::verify::judge::Judge;

/// A place where programs run.
#[derive(Debug)]
pub struct Hook {
    /// What the report calls it.
    pub name: &'static str,
    /// Program type.
    pub kind: ProgType,
    /// Attach type.
    pub attach: u32,
    /// What of the kernel it is attached to.
    pub target: Option<(&'static str, Kind)>,
    /// Where the context has a packet's start and end.
    pub packet: Option<(i16, i16)>,
    /// Where the context has a socket.
    pub socket: Option<i16>,
    /// Where the context has a task.
    pub task: Option<i16>,
    /// Whether it may sleep.
    pub sleepable: bool,
    /// What programs there may return.
    pub code: i32,
}

const PLAIN: Hook = Hook {
    name: "",
    kind: ProgType::Unspec,
    attach: 0,
    target: None,
    packet: None,
    socket: None,
    task: None,
    sleepable: false,
    code: 0,
};

/// The hooks, those that see most first.
pub const HOOKS: &[Hook] = &[
    Hook {
        name: "tc",
        kind: ProgType::SchedCls,
        packet: Some((76, 80)),
        socket: Some(168),
        ..PLAIN
    },
    Hook {
        name: "tp_btf",
        kind: ProgType::Tracing,
        attach: 23,
        target: Some(("btf_trace_sched_switch", Kind::Typedef)),
        task: Some(8),
        ..PLAIN
    },
    Hook { name: "xdp", kind: ProgType::Xdp, packet: Some((0, 4)), code: 2, ..PLAIN },
    Hook { name: "syscall", kind: ProgType::Syscall, sleepable: true, ..PLAIN },
    Hook {
        name: "iter/task",
        kind: ProgType::Tracing,
        attach: 28,
        target: Some(("bpf_iter_task", Kind::Func)),
        task: Some(8),
        ..PLAIN
    },
    Hook { name: "kprobe", kind: ProgType::Kprobe, ..PLAIN },
    Hook {
        name: "cgroup_skb",
        kind: ProgType::CgroupSkb,
        packet: Some((76, 80)),
        socket: Some(168),
        ..PLAIN
    },
    Hook { name: "socket", kind: ProgType::SocketFilter, ..PLAIN },
    Hook { name: "netfilter", kind: ProgType::Netfilter, attach: 45, ..PLAIN },
    Hook { name: "sk_lookup", kind: ProgType::SkLookup, attach: 36, socket: Some(0), ..PLAIN },
    Hook { name: "sockops", kind: ProgType::SockOps, attach: 3, socket: Some(184), ..PLAIN },
    Hook { name: "tracepoint", kind: ProgType::Tracepoint, ..PLAIN },
    Hook { name: "raw_tracepoint", kind: ProgType::RawTracepoint, ..PLAIN },
    Hook { name: "perf_event", kind: ProgType::PerfEvent, ..PLAIN },
    Hook { name: "sk_msg", kind: ProgType::SkMsg, attach: 7, socket: Some(72), ..PLAIN },
    Hook { name: "sk_skb", kind: ProgType::SkSkb, attach: 5, packet: Some((76, 80)), ..PLAIN },
    Hook { name: "lwt_xmit", kind: ProgType::LwtXmit, packet: Some((76, 80)), ..PLAIN },
    Hook { name: "flow_dissector", kind: ProgType::FlowDissector, attach: 17, ..PLAIN },
    Hook { name: "sk_reuseport", kind: ProgType::SkReuseport, attach: 39, ..PLAIN },
    Hook { name: "connect4", kind: ProgType::CgroupSockAddr, attach: 10, code: 1, ..PLAIN },
    Hook { name: "sock_create", kind: ProgType::CgroupSock, attach: 2, code: 1, ..PLAIN },
    Hook { name: "setsockopt", kind: ProgType::CgroupSockopt, attach: 22, code: 1, ..PLAIN },
    Hook { name: "sysctl", kind: ProgType::CgroupSysctl, attach: 18, code: 1, ..PLAIN },
    Hook { name: "cgroup/dev", kind: ProgType::CgroupDevice, attach: 6, code: 1, ..PLAIN },
];

/// Something that a program gives to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thing {
    /// The number 0.
    Null,
    /// A constant.
    Number(i32),
    /// A number that nothing is known of.
    Unknown,
    /// A number from 0 to 255.
    Byte,
    /// The context.
    Ctx,
    /// The context, moved on.
    CtxMoved,
    /// 64 bytes of stack that were written.
    Stack,
    /// The last bytes of the stack: 8 of them, 4 of them.
    StackEnd(i16),
    /// 64 bytes of stack that were never written.
    Uninit,
    /// Bytes of a map's value, from an offset on.
    Value(i32),
    /// The same, or null.
    ValueOrNull,
    /// A value that only system calls write.
    ReadOnlyValue,
    /// A value that only system calls read.
    WriteOnlyValue,
    /// A value of this place in [`Scene::fields`], at the field or one byte beyond.
    Field(usize, i32),
    /// The map of that place.
    FieldMap(usize),
    /// A constant string.
    Text,
    /// A map.
    Map,
    /// A reference to a task, and one that may be null.
    Task,
    /// The same, or null.
    TaskOrNull,
    /// The running task.
    Current,
    /// A task of the context's.
    CtxTask,
    /// What a field of the running task points to.
    Parent,
    /// The running task's field of this offset.
    CurrentMoved,
    /// A reference to a set of CPUs.
    Cpumask,
    /// A reference to a cgroup.
    Cgroup,
    /// Anything, cast to a type of the kernel's.
    Cast(u32),
    /// 32 bytes of a packet.
    Packet,
    /// A packet of which no byte was checked.
    PacketUnchecked,
    /// A packet's end.
    PacketEnd,
    /// A record of a ring buffer.
    Record,
    /// 8 bytes behind a dynptr.
    Data,
    /// 8 bytes behind a dynptr, to read.
    Slice,
    /// A dynptr on the stack.
    Dynptr,
    /// A number iterator on the stack.
    Iter,
    /// A function of the program's.
    Func,
    /// A socket as the context has it.
    SockCommon,
    /// The same, or null.
    SockOrNull,
    /// A full socket.
    Sock,
    /// A TCP socket.
    TcpSock,
    /// An object of the program's.
    Object,
    /// The same, or null.
    ObjectOrNull,
    /// Saved interrupt flags.
    IrqFlag,
    /// A variable that each CPU has one of.
    Percpu,
}

/// Every thing that is no field.
pub const THINGS: &[Thing] = &[
    Thing::Null,
    Thing::Number(8),
    Thing::Number(-1),
    Thing::Unknown,
    Thing::Byte,
    Thing::Ctx,
    Thing::CtxMoved,
    Thing::Stack,
    Thing::StackEnd(8),
    Thing::StackEnd(4),
    Thing::Uninit,
    Thing::Value(0),
    Thing::Value(60),
    Thing::ValueOrNull,
    Thing::ReadOnlyValue,
    Thing::WriteOnlyValue,
    Thing::Text,
    Thing::Map,
    Thing::Task,
    Thing::TaskOrNull,
    Thing::Current,
    Thing::CurrentMoved,
    Thing::CtxTask,
    Thing::Parent,
    Thing::Cpumask,
    Thing::Cgroup,
    Thing::Cast(0),
    Thing::Packet,
    Thing::PacketUnchecked,
    Thing::PacketEnd,
    Thing::Record,
    Thing::Data,
    Thing::Slice,
    Thing::Dynptr,
    Thing::Iter,
    Thing::Func,
    Thing::SockCommon,
    Thing::SockOrNull,
    Thing::Sock,
    Thing::TcpSock,
    Thing::Object,
    Thing::ObjectOrNull,
    Thing::IrqFlag,
    Thing::Percpu,
];

/// Names of the types that [`Thing::Field`] points to.
pub const FIELDS: [&str; 7] = [
    "bpf_spin_lock",
    "bpf_list_head",
    "bpf_rb_root",
    "bpf_wq",
    "bpf_task_work",
    "bpf_res_spin_lock",
    "bpf_timer",
];

/// Bytes of the plain maps' values.
const VALUE_SIZE: u32 = 64;

/// What all programs share.
pub struct Scene {
    /// The kernel's types.
    pub vmlinux: Arc<Btf>,
    /// The type of the program's objects.
    pub object: u32,
    /// The types of every program, as bytes.
    pub types: Vec<u8>,
    /// The function that every program begins with.
    pub main: u32,
    /// The function that [`Thing::Func`] points to.
    pub callback: u32,
    btf: Fd,
    value: u32,
    read_only: u32,
    write_only: u32,
    text: u32,
    ring: u32,
    /// Map, and offset of the field, for each of [`FIELDS`].
    fields: Vec<(u32, i32)>,
}

impl Scene {
    /// Makes the maps and types.
    ///
    /// # Errors
    /// A kernel that does not have them.
    pub fn new(judge: &Arc<Layer<Judge>>, vmlinux: &Arc<Btf>) -> Result<Scene> {
        let plain = |kind: MapType, key: u32, value: u32, entries: u32, flags: u32| {
            create(
                judge,
                MapCreate {
                    map_type: kind as u32,
                    key_size: key,
                    value_size: value,
                    max_entries: entries,
                    map_flags: flags,
                    ..MapCreate::default()
                },
            )
        };
        let value = plain(MapType::Array, 4, VALUE_SIZE, 1, 0)?;
        let read_only = plain(MapType::Array, 4, VALUE_SIZE, 1, flags::map::RDONLY_PROG)?;
        let write_only = plain(MapType::Array, 4, VALUE_SIZE, 1, flags::map::WRONLY_PROG)?;
        let ring = plain(MapType::Ringbuf, 0, 0, 4096, 0)?;
        let text = plain(MapType::Array, 4, 16, 1, flags::map::RDONLY_PROG)?;
        let mut bytes = *b"a text\0\0\0\0\0\0\0\0\0\0";
        judge.bpf(&mut Command::MapUpdate(MapElem {
            map_fd: text,
            key: Some(0u32.to_le_bytes().to_vec().into()),
            value: Output::Slice(&mut bytes),
            ..MapElem::default()
        }))?;
        judge.bpf(&mut Command::MapFreeze(MapFreeze { map_fd: text, ..MapFreeze::default() }))?;
        let types = Types::new(vmlinux);
        let btf = load_btf(judge, &types.bytes)?;
        let mut fields = Vec::new();
        for (of, off) in &types.fields {
            fields.push((
                create(
                    judge,
                    MapCreate {
                        map_type: MapType::Array as u32,
                        key_size: 4,
                        value_size: of.size,
                        max_entries: 1,
                        btf_fd: btf.raw() as u32,
                        btf_key_type_id: types.int,
                        btf_value_type_id: of.id,
                        ..MapCreate::default()
                    },
                )
                .context("a map with fields")?,
                *off,
            ));
        }
        let (vmlinux, object) = (Arc::clone(vmlinux), types.object);
        let (main, callback, types) = (types.main, types.callback, types.bytes);
        Ok(Scene {
            vmlinux,
            object,
            types,
            main,
            callback,
            btf,
            value,
            read_only,
            write_only,
            text,
            ring,
            fields,
        })
    }

    /// The beginning of every program: the context in r6, a map's value in r7.
    pub fn open(&self) -> Script<'_> {
        let mut script = Script::new(&self.vmlinux);
        script.mov(Reg::R6, Operand::Reg(Reg::R1));
        let key = script.room(64);
        for slot in 0..8 {
            script.store(Size::DW, Reg::R10, key + 8 * slot, Operand::Imm(0));
        }
        script.wide(Reg::R1, ImmKind::MapFd, self.value);
        script.stack_address(Reg::R2, key);
        script.helper(id::MAP_LOOKUP_ELEM);
        script.only_if(Cond::Ne, Reg::R0, Operand::Imm(0));
        script.mov(Reg::R7, Operand::Reg(Reg::R0));
        script
    }

    /// Looks a map's only value up, into r0.
    fn look_up(&self, script: &mut Script<'_>, map: u32) {
        let key = script.room(8);
        script.store(Size::DW, Reg::R10, key, Operand::Imm(0));
        script.wide(Reg::R1, ImmKind::MapFd, map);
        script.stack_address(Reg::R2, key);
        script.helper(id::MAP_LOOKUP_ELEM);
    }

    /// Gets something ready; what is needed to put it into a register afterwards.
    /// `None` where this hook has no such thing.
    pub fn prepare(&self, script: &mut Script<'_>, hook: &Hook, thing: Thing) -> Option<Ready> {
        let set = |thing| Some(Ready::Plain(thing));
        let not_null = |script: &mut Script<'_>| {
            script.only_if(Cond::Ne, Reg::R0, Operand::Imm(0));
        };
        match thing {
            Thing::Null
            | Thing::Number(_)
            | Thing::Unknown
            | Thing::Byte
            | Thing::Ctx
            | Thing::CtxMoved
            | Thing::Value(_)
            | Thing::Map
            | Thing::FieldMap(_)
            | Thing::StackEnd(_) => set(thing),
            Thing::Text => {
                self.look_up_value(script, self.text, true);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Func => {
                // Linux drops a function that nothing calls, and then misses it.
                script.mov(Reg::R1, Operand::Imm(0));
                script.wide(Reg::R2, ImmKind::Func, 0);
                script.mov(Reg::R3, Operand::Imm(0));
                script.mov(Reg::R4, Operand::Imm(0));
                script.helper(id::LOOP);
                set(thing)
            }
            Thing::Stack => Some(Ready::Stack(-64)),
            Thing::Uninit => Some(Ready::Stack(script.room(64))),
            Thing::ValueOrNull => {
                self.look_up(script, self.value);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::ReadOnlyValue => {
                self.look_up_value(script, self.read_only, true);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::WriteOnlyValue => {
                self.look_up_value(script, self.write_only, true);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Field(index, beyond) => {
                let (map, off) = self.fields[index];
                self.look_up_value(script, map, true);
                Some(Ready::Kept(script.keep(), off + beyond))
            }
            Thing::Task | Thing::TaskOrNull => {
                script.mov(Reg::R1, Operand::Imm(1));
                script.kfunc("bpf_task_from_pid");
                if thing == Thing::TaskOrNull {
                    return Some(Ready::Kept(script.keep(), 0));
                }
                not_null(script);
                Some(Ready::Kept(script.hold(Release::Kfunc("bpf_task_release")), 0))
            }
            Thing::Cpumask => {
                script.kfunc("bpf_cpumask_create");
                not_null(script);
                Some(Ready::Kept(script.hold(Release::Kfunc("bpf_cpumask_release")), 0))
            }
            Thing::Cgroup => {
                script.mov(Reg::R1, Operand::Imm(1));
                script.kfunc("bpf_cgroup_from_id");
                not_null(script);
                Some(Ready::Kept(script.hold(Release::Kfunc("bpf_cgroup_release")), 0))
            }
            Thing::Current | Thing::CurrentMoved => {
                script.helper(id::GET_CURRENT_TASK_BTF);
                let off = if thing == Thing::Current { 0 } else { 8 };
                Some(Ready::Kept(script.keep(), off))
            }
            Thing::CtxTask => {
                script.load(Size::DW, Reg::R0, Reg::R6, hook.task?);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Parent => {
                script.helper(id::GET_CURRENT_TASK_BTF);
                let off = self.offset_of("task_struct", "real_parent")?;
                script.load(Size::DW, Reg::R0, Reg::R0, off);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Cast(id) => {
                script.mov(Reg::R1, Operand::Reg(Reg::R6));
                script.mov(Reg::R2, Operand::Imm(id as i32));
                script.kfunc("bpf_rdonly_cast");
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Packet | Thing::PacketUnchecked | Thing::PacketEnd => {
                let (start, end) = hook.packet?;
                script.load(Size::W, Reg::R0, Reg::R6, start);
                script.load(Size::W, Reg::R1, Reg::R6, end);
                if thing == Thing::PacketEnd {
                    script.mov(Reg::R0, Operand::Reg(Reg::R1));
                } else if thing == Thing::Packet {
                    script.mov(Reg::R2, Operand::Reg(Reg::R0));
                    script.add(Reg::R2, 32);
                    script.only_if(Cond::Le, Reg::R2, Operand::Reg(Reg::R1));
                }
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Record => {
                script.wide(Reg::R1, ImmKind::MapFd, self.ring);
                script.mov(Reg::R2, Operand::Imm(64));
                script.mov(Reg::R3, Operand::Imm(0));
                script.helper(id::RINGBUF_RESERVE);
                not_null(script);
                Some(Ready::Kept(script.hold(Release::Helper(id::RINGBUF_DISCARD)), 0))
            }
            Thing::Dynptr | Thing::Data | Thing::Slice => {
                let dynptr = script.room(16);
                script.mov(Reg::R1, Operand::Reg(Reg::R7));
                script.mov(Reg::R2, Operand::Imm(32));
                script.mov(Reg::R3, Operand::Imm(0));
                script.stack_address(Reg::R4, dynptr);
                script.helper(id::DYNPTR_FROM_MEM);
                if thing == Thing::Dynptr {
                    return Some(Ready::Stack(dynptr));
                }
                script.stack_address(Reg::R1, dynptr);
                script.mov(Reg::R2, Operand::Imm(0));
                if thing == Thing::Data {
                    script.mov(Reg::R3, Operand::Imm(8));
                    script.helper(id::DYNPTR_DATA);
                } else {
                    script.mov(Reg::R3, Operand::Imm(0));
                    script.mov(Reg::R4, Operand::Imm(8));
                    script.kfunc("bpf_dynptr_slice");
                }
                not_null(script);
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Iter => {
                let iter = script.room(8);
                script.stack_address(Reg::R1, iter);
                script.mov(Reg::R2, Operand::Imm(0));
                script.mov(Reg::R3, Operand::Imm(4));
                script.kfunc("bpf_iter_num_new");
                Some(Ready::Stack(iter))
            }
            Thing::IrqFlag => {
                let flag = script.room(8);
                script.stack_address(Reg::R1, flag);
                script.kfunc("bpf_local_irq_save");
                Some(Ready::Stack(flag))
            }
            Thing::SockCommon | Thing::SockOrNull | Thing::Sock | Thing::TcpSock => {
                script.load(Size::DW, Reg::R0, Reg::R6, hook.socket?);
                if thing == Thing::SockOrNull {
                    return Some(Ready::Kept(script.keep(), 0));
                }
                not_null(script);
                if thing != Thing::SockCommon {
                    script.mov(Reg::R1, Operand::Reg(Reg::R0));
                    script.helper(if thing == Thing::Sock { 95 } else { 96 });
                    not_null(script);
                }
                Some(Ready::Kept(script.keep(), 0))
            }
            Thing::Object | Thing::ObjectOrNull => {
                script.mov(Reg::R1, Operand::Imm(self.object as i32));
                script.mov(Reg::R2, Operand::Imm(0));
                script.kfunc("bpf_obj_new_impl");
                if thing == Thing::ObjectOrNull {
                    return Some(Ready::Kept(script.keep(), 0));
                }
                not_null(script);
                Some(Ready::Kept(script.hold(Release::Kfunc("bpf_obj_drop_impl")), 0))
            }
            Thing::Percpu => {
                let id = self.vmlinux.find("runqueues", Kind::Var)?;
                script.wide(Reg::R0, ImmKind::BtfId, id);
                Some(Ready::Kept(script.keep(), 0))
            }
        }
    }

    fn look_up_value(&self, script: &mut Script<'_>, map: u32, checked: bool) {
        self.look_up(script, map);
        if checked {
            script.only_if(Cond::Ne, Reg::R0, Operand::Imm(0));
        }
    }

    /// Puts what is ready into a register.
    pub fn give(&self, script: &mut Script<'_>, reg: Reg, ready: Ready) {
        match ready {
            Ready::Kept(off, moved) => {
                script.load(Size::DW, reg, Reg::R10, off);
                if moved != 0 {
                    script.add(reg, moved);
                }
            }
            Ready::Stack(off) => script.stack_address(reg, off),
            Ready::Plain(thing) => match thing {
                Thing::Number(number) => script.mov(reg, Operand::Imm(number)),
                Thing::Unknown => script.load(Size::DW, reg, Reg::R7, 0),
                Thing::Byte => script.load(Size::B, reg, Reg::R7, 0),
                Thing::Ctx => script.mov(reg, Operand::Reg(Reg::R6)),
                Thing::CtxMoved => {
                    script.mov(reg, Operand::Reg(Reg::R6));
                    script.add(reg, 8);
                }
                Thing::StackEnd(bytes) => script.stack_address(reg, -bytes),
                Thing::Value(off) => {
                    script.mov(reg, Operand::Reg(Reg::R7));
                    if off != 0 {
                        script.add(reg, off);
                    }
                }
                Thing::Map => script.wide(reg, ImmKind::MapFd, self.value),
                Thing::FieldMap(index) => {
                    script.wide(reg, ImmKind::MapFd, self.fields[index].0);
                }
                Thing::Func => script.wide(reg, ImmKind::Func, 0),
                _ => script.mov(reg, Operand::Imm(0)),
            },
        }
    }

    /// Where a structure of the kernel's has a member.
    fn offset_of(&self, name: &str, member: &str) -> Option<i16> {
        let id = self.vmlinux.find(name, Kind::Struct)?;
        let ty = self.vmlinux.type_by_id(id).ok()?;
        let members = ty.composite()?.members;
        members.iter().find(|of| of.name == member).map(|of| (of.bit_offset / 8) as i16)
    }

    /// Loads a program that calls no function of its own but those that [`Thing::Func`]
    /// stands for.
    pub fn load(&self, judge: &Arc<Layer<Judge>>, hook: &Hook, mut insns: Vec<Insn>) {
        let mut records = vec![(0, self.main)];
        if place_callback(&mut insns) {
            records.push((insns.len() as u32 - 2, self.callback));
        }
        load(judge, &self.vmlinux, hook, &insns, self.btf.raw() as u32, &records);
    }
}

/// Puts the function that is pointed to behind the program, if one is.
pub fn place_callback(insns: &mut Vec<Insn>) -> bool {
    let (start, mut pointed) = (insns.len(), false);
    for (at, insn) in insns.iter_mut().enumerate() {
        if let Insn::LoadImm64 { imm, .. } = insn
            && imm.kind == ImmKind::Func
        {
            imm.lo = (start - at - 1) as u32;
            pointed = true;
        }
    }
    if pointed {
        let (op, width, src) = (AluOp::Mov, Width::W64, Operand::Imm(0));
        insns.extend([Insn::Alu { op, width, dst: Reg::R0, src }, Insn::Exit]);
    }
    pointed
}

/// What is ready to be given.
#[derive(Clone, Copy, Debug)]
pub enum Ready {
    /// It lies on the stack, and is moved by so much.
    Kept(i16, i32),
    /// It is an address of the stack.
    Stack(i16),
    /// It takes but one instruction or two.
    Plain(Thing),
}

impl Ready {
    /// The slot that it lies in.
    pub fn slot(self) -> Option<i16> {
        match self {
            Ready::Kept(off, _) => Some(off),
            Ready::Stack(_) | Ready::Plain(_) => None,
        }
    }
}

/// Puts a program to both judges.
pub fn load(
    judge: &Arc<Layer<Judge>>,
    vmlinux: &Btf,
    hook: &Hook,
    insns: &[Insn],
    btf: u32,
    functions: &[(u32, u32)],
) {
    let words = |&(at, id): &(u32, u32)| [at.to_le_bytes(), id.to_le_bytes()].concat();
    let func_info: Vec<u8> = functions.iter().flat_map(words).collect();
    let target = hook.target.and_then(|(name, kind)| vmlinux.find(name, kind)).unwrap_or(0);
    let mut command = Command::ProgLoad(Box::new(ProgLoad {
        prog_type: hook.kind as u32,
        expected_attach_type: hook.attach,
        insn_cnt: insns.len() as u32,
        insns: Some(Slot::join(&skep_isa::encode(insns)).into()),
        license: Some(b"GPL\0".to_vec().into()),
        prog_flags: if hook.sleepable { flags::prog::SLEEPABLE } else { 0 },
        prog_btf_fd: btf,
        func_info_rec_size: 8,
        func_info_cnt: functions.len() as u32,
        func_info: Some(func_info.into()),
        attach_btf_id: target,
        ..ProgLoad::default()
    }));
    let kernel: Arc<dyn Kernel> = judge.clone();
    // The judge keeps the verdicts.
    let _ = Fd::open(&kernel, &mut command);
}

/// Loads types.
///
/// # Errors
/// The kernel refuses them.
pub fn load_btf(judge: &Arc<Layer<Judge>>, bytes: &[u8]) -> Result<Fd> {
    let btf = Some(bytes.to_vec().into());
    let btf_size = bytes.len() as u32;
    let load = BtfLoad { btf, btf_size, ..BtfLoad::default() };
    let kernel: Arc<dyn Kernel> = judge.clone();
    Fd::open(&kernel, &mut Command::BtfLoad(load)).context("types are refused")
}

fn create(judge: &Arc<Layer<Judge>>, create: MapCreate<'_>) -> Result<u32> {
    judge.bpf(&mut Command::MapCreate(create)).context("a map cannot be created")
}

/// A value with fields.
struct Value {
    id: u32,
    size: u32,
}

/// The types of all programs.
struct Types {
    bytes: Vec<u8>,
    int: u32,
    main: u32,
    callback: u32,
    object: u32,
    fields: Vec<(Value, i32)>,
}

impl Types {
    fn new(vmlinux: &Btf) -> Types {
        let mut builder = Builder::new();
        let int = builder.int("int", 4, 1);
        let char = builder.int("char", 1, 0);
        let void = builder.ptr(0);
        // A structure that the kernel knows by its name and size.
        let known = |builder: &mut Builder, name: &str| {
            let size = vmlinux
                .find(name, Kind::Struct)
                .and_then(|id| vmlinux.size_of(id).ok())
                .unwrap_or(8) as u32;
            let bytes = builder.array(char, int, size);
            let member = Member { name: "opaque", type_id: bytes, bit_offset: 0, bitfield_size: 0 };
            (builder.structure(name, size, &[member]), size)
        };
        let (list_node, list_size) = known(&mut builder, "bpf_list_node");
        let (tree_node, tree_size) = known(&mut builder, "bpf_rb_node");
        let (refcount, _) = known(&mut builder, "bpf_refcount");
        let at = |name, type_id, bytes: u32| Member {
            name,
            type_id,
            bit_offset: 8 * bytes,
            bitfield_size: 0,
        };
        let object_size = list_size + tree_size + 8;
        let object = builder.structure(
            "object",
            object_size,
            &[
                at("list", list_node, 0),
                at("tree", tree_node, list_size),
                at("count", refcount, list_size + tree_size),
                at("number", int, list_size + tree_size + 4),
            ],
        );
        let mut fields = Vec::new();
        let (lock, _) = known(&mut builder, "bpf_spin_lock");
        let (head, head_size) = known(&mut builder, "bpf_list_head");
        let (root, root_size) = known(&mut builder, "bpf_rb_root");
        let size = 8 + head_size + root_size;
        let id = builder.structure(
            "locked",
            size,
            &[
                at("lock", lock, 0),
                at("number", int, 4),
                at("head", head, 8),
                at("root", root, 8 + head_size),
            ],
        );
        builder.decl_tag("contains:object:list", id, 2, false);
        builder.decl_tag("contains:object:tree", id, 3, false);
        for off in [0, 8, 8 + head_size] {
            fields.push((Value { id, size }, off as i32));
        }
        for name in &FIELDS[3..] {
            let (field, field_size) = known(&mut builder, name);
            let size = 8 + field_size.next_multiple_of(8);
            let id = builder.structure(
                &format!("with_{name}"),
                size,
                &[at("number", int, 0), at("field", field, 8)],
            );
            fields.push((Value { id, size }, 8));
        }
        let proto = builder.func_proto(int, &[("ctx", void)]);
        let main = builder.func("main", proto, FuncLinkage::Global);
        let proto = builder.func_proto(int, &[("a", void), ("b", void), ("c", void)]);
        let callback = builder.func("callback", proto, FuncLinkage::Static);
        let bytes = builder.to_bytes(Endian::Little);
        Types { bytes, int, main, callback, object, fields }
    }
}
