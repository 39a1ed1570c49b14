//! The commands of `bpf(2)` as structures. Field names and meanings are those of
//! `union bpf_attr`; lengths that belong to a slice stand beside it, because raw
//! attributes may lie about them: a kernel answers `EFAULT` where a slice is
//! shorter than what it was told.

use skep_abi::{Cmd, Diagnostic};

use super::memory::{Memory, NestedBuffer};
use super::rows::{Layout, Row};
use super::wire::{Attr, Input, Output, Slot, View, attributes};

attributes! {
    /// MAP_CREATE. Gives an fd.
    MapCreate<'a> {
        /// [`skep_abi::MapType`] number.
        map_type: u32 = 0,
        /// Bytes in a key.
        key_size: u32 = 4,
        /// Bytes in a value.
        value_size: u32 = 8,
        /// Most elements; bytes for ring buffers.
        max_entries: u32 = 12,
        /// [`skep_abi::flags::map`].
        map_flags: u32 = 16,
        /// Template of inner maps.
        inner_map_fd: u32 = 20,
        /// NUMA node, with `NUMA_NODE`.
        numa_node: u32 = 24,
        /// Name, zero-terminated.
        map_name: [u8; 16] = 28,
        /// Device for offload.
        map_ifindex: u32 = 44,
        /// BTF that the ids below belong to.
        btf_fd: u32 = 48,
        /// BTF type of the key.
        btf_key_type_id: u32 = 52,
        /// BTF type of the value.
        btf_value_type_id: u32 = 56,
        /// Kernel type that a `struct_ops` map stands for.
        btf_vmlinux_value_type_id: u32 = 60,
        /// Hashes of a bloom filter, user address of an arena.
        map_extra: u64 = 64,
        /// Module BTF of a `struct_ops` type.
        value_type_btf_obj_fd: i32 = 72,
        /// BPF token.
        map_token_fd: i32 = 76,
        /// Hash of the only program that may use the map.
        excl_prog_hash: Input<'a> = 80,
        /// Its length.
        excl_prog_hash_size: u32 = 88,
    }

    /// MAP_LOOKUP_ELEM, MAP_LOOKUP_AND_DELETE_ELEM, MAP_UPDATE_ELEM. Per-CPU values
    /// are one after the other, each rounded up to 8 bytes.
    MapElem<'a> {
        /// The map.
        map_fd: u32 = 0,
        /// `key_size` bytes.
        key: Input<'a> = 8,
        /// The value: read by update, written by look-up.
        value: Output<'a> = 16,
        /// [`skep_abi::flags::update`].
        flags: u64 = 24,
    }

    /// MAP_DELETE_ELEM.
    MapDelete<'a> {
        /// The map.
        map_fd: u32 = 0,
        /// `key_size` bytes.
        key: Input<'a> = 8,
    }

    /// MAP_GET_NEXT_KEY.
    MapNextKey<'a> {
        /// The map.
        map_fd: u32 = 0,
        /// A key, or null for the first.
        key: Input<'a> = 8,
        /// The key after it.
        next_key: Output<'a> = 16,
    }

    /// MAP_LOOKUP_BATCH, MAP_LOOKUP_AND_DELETE_BATCH, MAP_UPDATE_BATCH,
    /// MAP_DELETE_BATCH.
    MapBatch<'a> {
        /// Where to go on, or null to start.
        in_batch: Input<'a> = 0,
        /// Receives where to go on.
        out_batch: Output<'a> = 8,
        /// Keys, one after the other.
        keys: Output<'a> = 16,
        /// Values, one after the other.
        values: Output<'a> = 24,
        /// Elements wanted; elements done.
        count: u32 = 32,
        /// The map.
        map_fd: u32 = 36,
        /// Flags of each element.
        elem_flags: u64 = 40,
        /// None so far.
        flags: u64 = 48,
    }

    /// MAP_FREEZE.
    MapFreeze<'a> {
        /// The map.
        map_fd: u32 = 0,
    }

    /// PROG_LOAD. Gives an fd.
    ProgLoad<'a> {
        /// [`skep_abi::ProgType`] number.
        prog_type: u32 = 0,
        /// Instruction slots.
        insn_cnt: u32 = 4,
        /// `insn_cnt` slots of 8 bytes.
        insns: Input<'a> = 8,
        /// Licence, zero-terminated.
        license: Input<'a> = 16,
        /// 0 for no log; 1, 2: more and more; 4: statistics.
        log_level: u32 = 24,
        /// Bytes of `log_buf`.
        log_size: u32 = 28,
        /// Receives the verifier's log, zero-terminated.
        log_buf: Output<'a> = 32,
        /// Kernel version; not checked since 5.0.
        kern_version: u32 = 40,
        /// [`skep_abi::flags::prog`].
        prog_flags: u32 = 44,
        /// Name, zero-terminated.
        prog_name: [u8; 16] = 48,
        /// Device that the program is bound to.
        prog_ifindex: u32 = 64,
        /// [`skep_abi::AttachType`] number.
        expected_attach_type: u32 = 68,
        /// BTF of the program.
        prog_btf_fd: u32 = 72,
        /// Bytes in a `func_info` record.
        func_info_rec_size: u32 = 76,
        /// Function records.
        func_info: Input<'a> = 80,
        /// How many.
        func_info_cnt: u32 = 88,
        /// Bytes in a `line_info` record.
        line_info_rec_size: u32 = 92,
        /// Line records.
        line_info: Input<'a> = 96,
        /// How many.
        line_info_cnt: u32 = 104,
        /// Kernel function or type that the program attaches to.
        attach_btf_id: u32 = 108,
        /// Program or module BTF that `attach_btf_id` belongs to.
        attach_prog_fd: u32 = 112,
        /// CO-RE records that the kernel resolves.
        core_relo_cnt: u32 = 116,
        /// fds that the instructions index.
        fd_array: Input<'a> = 120,
        /// CO-RE records.
        core_relos: Input<'a> = 128,
        /// Bytes in a CO-RE record.
        core_relo_rec_size: u32 = 136,
        /// Receives the size that the whole log has.
        log_true_size: u32 = 140,
        /// BPF token.
        prog_token_fd: i32 = 144,
        /// Entries of `fd_array`, where all are maps or BTF to hold.
        fd_array_cnt: u32 = 148,
        /// Signature of the instructions.
        signature: Input<'a> = 152,
        /// Its length.
        signature_size: u32 = 160,
        /// Key ring to check it with.
        keyring_id: i32 = 164,
        =>
        /// Filled by kernels that can say more than a log.
        diagnostic: Option<Diagnostic>,
    }

    /// OBJ_PIN.
    ObjPin<'a> {
        /// Path, zero-terminated.
        pathname: Input<'a> = 0,
        /// What to pin.
        bpf_fd: u32 = 8,
        /// Flags.
        file_flags: u32 = 12,
        /// Directory that the path starts from, with `PATH_FD`.
        path_fd: i32 = 16,
    }

    /// OBJ_GET. Gives an fd.
    ObjGet<'a> {
        /// Path, zero-terminated.
        pathname: Input<'a> = 0,
        /// 0.
        bpf_fd: u32 = 8,
        /// Flags.
        file_flags: u32 = 12,
        /// Directory that the path starts from, with `PATH_FD`.
        path_fd: i32 = 16,
    }

    /// PROG_TEST_RUN.
    TestRun<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// Receives what the program returned.
        retval: u32 = 4,
        /// Bytes of `data_in`.
        data_size_in: u32 = 8,
        /// Room in `data_out`; receives the packet's size.
        data_size_out: u32 = 12,
        /// The packet.
        data_in: Input<'a> = 16,
        /// Receives the packet.
        data_out: Output<'a> = 24,
        /// Runs; 0 is 1.
        repeat: u32 = 32,
        /// Receives the mean time of a run, in ns.
        duration: u32 = 36,
        /// Bytes of `ctx_in`.
        ctx_size_in: u32 = 40,
        /// Room in `ctx_out`; receives the context's size.
        ctx_size_out: u32 = 44,
        /// The context.
        ctx_in: Input<'a> = 48,
        /// Receives the context.
        ctx_out: Output<'a> = 56,
        /// Flags.
        flags: u32 = 64,
        /// CPU to run on, with a flag.
        cpu: u32 = 68,
        /// Frames in flight of a live run.
        batch_size: u32 = 72,
        =>
        /// Filled by kernels that can say why a run was stopped.
        diagnostic: Option<Diagnostic>,
    }

    /// PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, BTF_GET_FD_BY_ID. Gives an fd.
    GetById<'a> {
        /// The id.
        id: u32 = 0,
        /// Unused.
        next_id: u32 = 4,
        /// Flags of a map's fd.
        open_flags: u32 = 8,
        /// BPF token.
        fd_by_id_token_fd: i32 = 12,
    }

    /// PROG_GET_NEXT_ID, MAP_GET_NEXT_ID, BTF_GET_NEXT_ID.
    NextId<'a> {
        /// Id to start after.
        start_id: u32 = 0,
        /// Receives the id after it.
        next_id: u32 = 4,
    }

    /// OBJ_GET_INFO_BY_FD; see [`crate::MapInfo`] and its siblings.
    ObjInfo<'a> {
        /// The object.
        bpf_fd: u32 = 0,
        /// Bytes of `info`; receives how many were written.
        info_len: u32 = 4,
        /// A `struct bpf_*_info`, read and written.
        info: Output<'a> = 8,
        =>
        /// What the addresses inside of `info` may point to.
        nested: Vec<NestedBuffer<'a>>,
    }

    /// BTF_LOAD. Gives an fd.
    BtfLoad<'a> {
        /// The BTF.
        btf: Input<'a> = 0,
        /// Receives the log, zero-terminated.
        btf_log_buf: Output<'a> = 8,
        /// Bytes of `btf`.
        btf_size: u32 = 16,
        /// Bytes of `btf_log_buf`.
        btf_log_size: u32 = 20,
        /// 0 for no log.
        btf_log_level: u32 = 24,
        /// Receives the size that the whole log has.
        btf_log_true_size: u32 = 28,
        /// Flags.
        btf_flags: u32 = 32,
        /// BPF token.
        btf_token_fd: i32 = 36,
    }

    /// LINK_CREATE for most kinds of links. Gives an fd.
    LinkCreate<'a> {
        /// The program; for a structure of operations its map.
        prog_fd: u32 = 0,
        /// What it is attached to: a cgroup, a network namespace, a map, a program, or the
        /// number of an interface.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// [`skep_abi::flags::attach`], or those of the kind.
        flags: u32 = 12,
        /// The function of the target that is replaced or traced; where programs stand in an
        /// order, the fd or id of the one that this stands beside.
        target_btf_id: u32 = 16,
        /// The cookie; where programs stand in an order, the revision that it is known by.
        cookie: u64 = 24,
    }

    /// LINK_CREATE on a perf event.
    LinkCreatePerf<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// The perf event.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// None so far.
        flags: u32 = 12,
        /// What the program is told on each event.
        bpf_cookie: u64 = 16,
    }

    /// LINK_CREATE among the filters of packets.
    LinkCreateNetfilter<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// 0.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// None so far.
        flags: u32 = 12,
        /// The protocol family (`NFPROTO_*`).
        pf: u32 = 16,
        /// The place (`NF_INET_*`).
        hooknum: u32 = 20,
        /// Lower ones come first.
        priority: i32 = 24,
        /// [`skep_abi::flags::netfilter`].
        netfilter_flags: u32 = 28,
    }

    /// LINK_CREATE of an iterator.
    LinkCreateIter<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// 0.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// None so far.
        flags: u32 = 12,
        /// A `union bpf_iter_link_info`: what it goes over.
        iter_info: Input<'a> = 16,
        /// Its length.
        iter_info_len: u32 = 24,
    }

    /// LINK_CREATE on many functions of the kernel.
    LinkCreateKprobes<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// 0.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// None so far.
        flags: u32 = 12,
        /// [`skep_abi::flags::multi`].
        multi_flags: u32 = 16,
        /// How many functions.
        cnt: u32 = 20,
        /// Their names, each zero-terminated, one after the other. (Raw attributes have an
        /// array of addresses of names.)
        syms: Input<'a> = 24,
        /// Or their addresses.
        addrs: Input<'a> = 32,
        /// A cookie for each.
        cookies: Input<'a> = 40,
    }

    /// LINK_CREATE on many functions of a file.
    LinkCreateUprobes<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// 0.
        target_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// None so far.
        flags: u32 = 12,
        /// The file, zero-terminated.
        path: Input<'a> = 16,
        /// Where in the file, 8 bytes each.
        offsets: Input<'a> = 24,
        /// Where in the file the counter is that says whether anybody looks.
        ref_ctr_offsets: Input<'a> = 32,
        /// A cookie for each.
        cookies: Input<'a> = 40,
        /// How many functions.
        cnt: u32 = 48,
        /// [`skep_abi::flags::multi`].
        multi_flags: u32 = 52,
        /// Only in this process; 0 for all.
        pid: u32 = 56,
    }

    /// LINK_UPDATE.
    LinkUpdate<'a> {
        /// The link.
        link_fd: u32 = 0,
        /// The program, or map, that takes its place.
        new_prog_fd: u32 = 4,
        /// [`skep_abi::flags::attach::REPLACE`]: only where the old one is this.
        flags: u32 = 8,
        /// The old one, with that flag.
        old_prog_fd: u32 = 12,
    }

    /// LINK_DETACH.
    LinkDetach<'a> {
        /// The link.
        link_fd: u32 = 0,
    }

    /// PROG_ATTACH, PROG_DETACH: without a link.
    ProgAttach<'a> {
        /// What it is attached to, as for a link.
        target_fd: u32 = 0,
        /// The program.
        attach_bpf_fd: u32 = 4,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 8,
        /// [`skep_abi::flags::attach`].
        attach_flags: u32 = 12,
        /// The program to replace.
        replace_bpf_fd: u32 = 16,
        /// The fd or id of the one that it stands beside.
        relative_fd: u32 = 20,
        /// The revision that the order is known by.
        expected_revision: u64 = 24,
    }

    /// PROG_QUERY: what is attached somewhere.
    ProgQuery<'a> {
        /// The place, as for a link.
        target_fd: u32 = 0,
        /// [`skep_abi::AttachType`] number.
        attach_type: u32 = 4,
        /// [`skep_abi::flags::query`].
        query_flags: u32 = 8,
        /// Receives the flags that programs are attached with.
        attach_flags: u32 = 12,
        /// Receives ids of programs.
        prog_ids: Output<'a> = 16,
        /// Room for so many; receives how many there are.
        prog_cnt: u32 = 24,
        /// Receives flags of each.
        prog_attach_flags: Output<'a> = 32,
        /// Receives the id of each one's link.
        link_ids: Output<'a> = 40,
        /// Receives flags of each link.
        link_attach_flags: Output<'a> = 48,
        /// Receives the revision that the order is known by.
        revision: u64 = 56,
    }

    /// RAW_TRACEPOINT_OPEN. Gives an fd.
    RawTracepointOpen<'a> {
        /// The tracepoint, zero-terminated; null where the program knows.
        name: Input<'a> = 0,
        /// The program.
        prog_fd: u32 = 8,
        /// What the program is told on each event.
        cookie: u64 = 16,
    }

    /// TASK_FD_QUERY: the program behind a perf event of some process.
    TaskFdQuery<'a> {
        /// The process.
        pid: u32 = 0,
        /// Its fd.
        fd: u32 = 4,
        /// None so far.
        flags: u32 = 8,
        /// Room in `buf`; receives the length of the name.
        buf_len: u32 = 12,
        /// Receives the name of what is probed, zero-terminated.
        buf: Output<'a> = 16,
        /// Receives the program's id.
        prog_id: u32 = 24,
        /// Receives what it is (`BPF_FD_TYPE_*`).
        fd_type: u32 = 28,
        /// Receives how far behind the name.
        probe_offset: u64 = 32,
        /// Receives the address.
        probe_addr: u64 = 40,
    }

    /// ITER_CREATE: begins to read. Gives an fd.
    IterCreate<'a> {
        /// The link.
        link_fd: u32 = 0,
        /// None so far.
        flags: u32 = 4,
    }

    /// PROG_BIND_MAP: the map stays as long as the program.
    ProgBindMap<'a> {
        /// The program.
        prog_fd: u32 = 0,
        /// The map.
        map_fd: u32 = 4,
        /// None so far.
        flags: u32 = 8,
    }

    /// ENABLE_STATS: counted while the fd is open. Gives an fd.
    EnableStats<'a> {
        /// What is counted (0: times of programs).
        stats_type: u32 = 0,
    }

    /// TOKEN_CREATE: rights that a mounted bpffs lends. Gives an fd.
    TokenCreate<'a> {
        /// None so far.
        flags: u32 = 0,
        /// The bpffs, an fd of the machine.
        bpffs_fd: u32 = 4,
    }

    /// PROG_STREAM_READ_BY_FD: what a program printed to a stream of its own. Gives how many
    /// bytes.
    ProgStreamRead<'a> {
        /// Receives it.
        stream_buf: Output<'a> = 0,
        /// Room for so much.
        stream_buf_len: u32 = 8,
        /// 1 for the output, 2 for errors.
        stream_id: u32 = 12,
        /// The program.
        prog_fd: u32 = 16,
    }
}

/// Kind of an object that has ids.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum ObjectKind {
    Prog,
    Map,
    Btf,
    Link,
}

/// One call of `bpf(2)`.
#[derive(Debug)]
#[allow(missing_docs, reason = "each is the command of that name")]
pub enum Command<'a> {
    MapCreate(MapCreate<'a>),
    MapLookup(MapElem<'a>),
    MapUpdate(MapElem<'a>),
    MapDelete(MapDelete<'a>),
    MapNextKey(MapNextKey<'a>),
    MapLookupAndDelete(MapElem<'a>),
    MapLookupBatch(MapBatch<'a>),
    MapLookupAndDeleteBatch(MapBatch<'a>),
    MapUpdateBatch(MapBatch<'a>),
    MapDeleteBatch(MapBatch<'a>),
    MapFreeze(MapFreeze<'a>),
    ProgLoad(Box<ProgLoad<'a>>),
    TestRun(Box<TestRun<'a>>),
    ObjPin(ObjPin<'a>),
    ObjGet(ObjGet<'a>),
    GetById(ObjectKind, GetById<'a>),
    NextId(ObjectKind, NextId<'a>),
    ObjInfo(ObjInfo<'a>),
    BtfLoad(BtfLoad<'a>),
    LinkCreate(LinkCreate<'a>),
    LinkCreatePerf(LinkCreatePerf<'a>),
    LinkCreateNetfilter(LinkCreateNetfilter<'a>),
    LinkCreateIter(LinkCreateIter<'a>),
    LinkCreateKprobes(LinkCreateKprobes<'a>),
    LinkCreateUprobes(LinkCreateUprobes<'a>),
    LinkUpdate(LinkUpdate<'a>),
    LinkDetach(LinkDetach<'a>),
    ProgAttach(ProgAttach<'a>),
    ProgDetach(ProgAttach<'a>),
    ProgQuery(ProgQuery<'a>),
    RawTracepointOpen(RawTracepointOpen<'a>),
    TaskFdQuery(TaskFdQuery<'a>),
    IterCreate(IterCreate<'a>),
    ProgBindMap(ProgBindMap<'a>),
    EnableStats(EnableStats<'a>),
    TokenCreate(TokenCreate<'a>),
    ProgStreamRead(ProgStreamRead<'a>),
}

/// Applies an expression to whichever attribute structure a command holds.
macro_rules! each {
    ($command:expr, $attr:ident => $do:expr) => {
        match $command {
            Command::MapCreate($attr) => $do,
            Command::MapLookup($attr)
            | Command::MapUpdate($attr)
            | Command::MapLookupAndDelete($attr) => $do,
            Command::MapDelete($attr) => $do,
            Command::MapNextKey($attr) => $do,
            Command::MapLookupBatch($attr)
            | Command::MapLookupAndDeleteBatch($attr)
            | Command::MapUpdateBatch($attr)
            | Command::MapDeleteBatch($attr) => $do,
            Command::MapFreeze($attr) => $do,
            Command::ProgLoad($attr) => $do,
            Command::TestRun($attr) => $do,
            Command::ObjPin($attr) => $do,
            Command::ObjGet($attr) => $do,
            Command::GetById(_, $attr) => $do,
            Command::NextId(_, $attr) => $do,
            Command::ObjInfo($attr) => $do,
            Command::BtfLoad($attr) => $do,
            Command::LinkCreate($attr) => $do,
            Command::LinkCreatePerf($attr) => $do,
            Command::LinkCreateNetfilter($attr) => $do,
            Command::LinkCreateIter($attr) => $do,
            Command::LinkCreateKprobes($attr) => $do,
            Command::LinkCreateUprobes($attr) => $do,
            Command::LinkUpdate($attr) => $do,
            Command::LinkDetach($attr) => $do,
            Command::ProgQuery($attr) => $do,
            Command::RawTracepointOpen($attr) => $do,
            Command::TaskFdQuery($attr) => $do,
            Command::IterCreate($attr) => $do,
            Command::ProgBindMap($attr) => $do,
            Command::EnableStats($attr) => $do,
            Command::TokenCreate($attr) => $do,
            Command::ProgStreamRead($attr) => $do,
            Command::ProgAttach($attr) | Command::ProgDetach($attr) => $do,
        }
    };
}
pub(crate) use each;

/// The attach type of a raw LINK_CREATE.
fn attach_type(attr: &Attr) -> u32 {
    attr[8..].first_chunk().copied().map_or(0, u32::from_ne_bytes)
}

impl<'a> Command<'a> {
    /// The command's row in the table.
    pub fn cmd(&self) -> Cmd {
        match self {
            Command::MapCreate(_) => Cmd::MapCreate,
            Command::MapLookup(_) => Cmd::MapLookupElem,
            Command::MapUpdate(_) => Cmd::MapUpdateElem,
            Command::MapDelete(_) => Cmd::MapDeleteElem,
            Command::MapNextKey(_) => Cmd::MapGetNextKey,
            Command::MapLookupAndDelete(_) => Cmd::MapLookupAndDeleteElem,
            Command::MapLookupBatch(_) => Cmd::MapLookupBatch,
            Command::MapLookupAndDeleteBatch(_) => Cmd::MapLookupAndDeleteBatch,
            Command::MapUpdateBatch(_) => Cmd::MapUpdateBatch,
            Command::MapDeleteBatch(_) => Cmd::MapDeleteBatch,
            Command::MapFreeze(_) => Cmd::MapFreeze,
            Command::ProgLoad(_) => Cmd::ProgLoad,
            Command::TestRun(_) => Cmd::ProgTestRun,
            Command::ObjPin(_) => Cmd::ObjPin,
            Command::ObjGet(_) => Cmd::ObjGet,
            Command::GetById(ObjectKind::Prog, _) => Cmd::ProgGetFdById,
            Command::GetById(ObjectKind::Map, _) => Cmd::MapGetFdById,
            Command::GetById(ObjectKind::Btf, _) => Cmd::BtfGetFdById,
            Command::GetById(ObjectKind::Link, _) => Cmd::LinkGetFdById,
            Command::NextId(ObjectKind::Prog, _) => Cmd::ProgGetNextId,
            Command::NextId(ObjectKind::Map, _) => Cmd::MapGetNextId,
            Command::NextId(ObjectKind::Btf, _) => Cmd::BtfGetNextId,
            Command::NextId(ObjectKind::Link, _) => Cmd::LinkGetNextId,
            Command::ObjInfo(_) => Cmd::ObjGetInfoByFd,
            Command::BtfLoad(_) => Cmd::BtfLoad,
            Command::LinkCreate(_)
            | Command::LinkCreatePerf(_)
            | Command::LinkCreateNetfilter(_)
            | Command::LinkCreateIter(_)
            | Command::LinkCreateKprobes(_)
            | Command::LinkCreateUprobes(_) => Cmd::LinkCreate,
            Command::LinkUpdate(_) => Cmd::LinkUpdate,
            Command::LinkDetach(_) => Cmd::LinkDetach,
            Command::ProgAttach(_) => Cmd::ProgAttach,
            Command::ProgDetach(_) => Cmd::ProgDetach,
            Command::ProgQuery(_) => Cmd::ProgQuery,
            Command::RawTracepointOpen(_) => Cmd::RawTracepointOpen,
            Command::TaskFdQuery(_) => Cmd::TaskFdQuery,
            Command::IterCreate(_) => Cmd::IterCreate,
            Command::ProgBindMap(_) => Cmd::ProgBindMap,
            Command::EnableStats(_) => Cmd::EnableStats,
            Command::TokenCreate(_) => Cmd::TokenCreate,
            Command::ProgStreamRead(_) => Cmd::ProgStreamReadByFd,
        }
    }

    /// How its bytes are laid out, of commands that have several ways.
    pub(crate) fn layout(&self) -> Layout {
        match self {
            Command::LinkCreatePerf(_) => Layout::Perf,
            Command::LinkCreateNetfilter(_) => Layout::Netfilter,
            Command::LinkCreateIter(_) => Layout::Iter,
            Command::LinkCreateKprobes(_) => Layout::Kprobes,
            Command::LinkCreateUprobes(_) => Layout::Uprobes,
            _ => Layout::Plain,
        }
    }

    /// What its fields are for.
    pub(crate) fn row(&self) -> &'static Row {
        Row::find(self.cmd(), self.layout()).expect("each command has a row")
    }

    /// Whether what it gives is an fd.
    pub fn gives_fd(&self) -> bool {
        self.row().gives_fd
    }

    /// The field at this place of `union bpf_attr`, to change.
    pub(crate) fn slot(&mut self, at: usize) -> Slot<'_, 'a> {
        each!(self, fields => fields.slot(at))
    }

    /// The number at this place.
    pub(crate) fn number(&self, at: usize) -> u64 {
        match each!(self, fields => fields.view(at)) {
            View::Number(number) => number,
            View::Bytes(_) => 0,
        }
    }

    /// The memory that the field at this place points to; `None` for the null pointer.
    pub(crate) fn memory(&self, at: usize) -> Option<&[u8]> {
        match each!(self, fields => fields.view(at)) {
            View::Bytes(bytes) => bytes,
            View::Number(_) => None,
        }
    }

    /// The command that raw bytes are; `None` for one that is not in the table. Pointers
    /// are resolved in `memory`.
    pub(crate) fn decode(cmd: Cmd, attr: &Attr, memory: &Memory) -> Option<Command<'a>> {
        macro_rules! fields {
            ($structure:ident) => {
                $structure::decode(attr, memory)
            };
        }
        Some(match cmd {
            Cmd::MapCreate => Command::MapCreate(fields!(MapCreate)),
            Cmd::MapLookupElem => Command::MapLookup(fields!(MapElem)),
            Cmd::MapUpdateElem => Command::MapUpdate(fields!(MapElem)),
            Cmd::MapDeleteElem => Command::MapDelete(fields!(MapDelete)),
            Cmd::MapGetNextKey => Command::MapNextKey(fields!(MapNextKey)),
            Cmd::MapLookupAndDeleteElem => Command::MapLookupAndDelete(fields!(MapElem)),
            Cmd::MapLookupBatch => Command::MapLookupBatch(fields!(MapBatch)),
            Cmd::MapLookupAndDeleteBatch => Command::MapLookupAndDeleteBatch(fields!(MapBatch)),
            Cmd::MapUpdateBatch => Command::MapUpdateBatch(fields!(MapBatch)),
            Cmd::MapDeleteBatch => Command::MapDeleteBatch(fields!(MapBatch)),
            Cmd::MapFreeze => Command::MapFreeze(fields!(MapFreeze)),
            Cmd::ProgLoad => Command::ProgLoad(Box::new(fields!(ProgLoad))),
            Cmd::ProgTestRun => Command::TestRun(Box::new(fields!(TestRun))),
            Cmd::ObjPin => Command::ObjPin(fields!(ObjPin)),
            Cmd::ObjGet => Command::ObjGet(fields!(ObjGet)),
            Cmd::ProgGetFdById => Command::GetById(ObjectKind::Prog, fields!(GetById)),
            Cmd::MapGetFdById => Command::GetById(ObjectKind::Map, fields!(GetById)),
            Cmd::BtfGetFdById => Command::GetById(ObjectKind::Btf, fields!(GetById)),
            Cmd::LinkGetFdById => Command::GetById(ObjectKind::Link, fields!(GetById)),
            Cmd::ProgGetNextId => Command::NextId(ObjectKind::Prog, fields!(NextId)),
            Cmd::MapGetNextId => Command::NextId(ObjectKind::Map, fields!(NextId)),
            Cmd::BtfGetNextId => Command::NextId(ObjectKind::Btf, fields!(NextId)),
            Cmd::LinkGetNextId => Command::NextId(ObjectKind::Link, fields!(NextId)),
            Cmd::ObjGetInfoByFd => Command::ObjInfo(fields!(ObjInfo)),
            Cmd::BtfLoad => Command::BtfLoad(fields!(BtfLoad)),
            Cmd::LinkCreate => match Layout::of_link(attach_type(attr))? {
                Layout::Plain => Command::LinkCreate(fields!(LinkCreate)),
                Layout::Perf => Command::LinkCreatePerf(fields!(LinkCreatePerf)),
                Layout::Netfilter => Command::LinkCreateNetfilter(fields!(LinkCreateNetfilter)),
                Layout::Iter => Command::LinkCreateIter(fields!(LinkCreateIter)),
                Layout::Kprobes => Command::LinkCreateKprobes(fields!(LinkCreateKprobes)),
                Layout::Uprobes => Command::LinkCreateUprobes(fields!(LinkCreateUprobes)),
            },
            Cmd::LinkUpdate => Command::LinkUpdate(fields!(LinkUpdate)),
            Cmd::LinkDetach => Command::LinkDetach(fields!(LinkDetach)),
            Cmd::ProgAttach => Command::ProgAttach(fields!(ProgAttach)),
            Cmd::ProgDetach => Command::ProgDetach(fields!(ProgAttach)),
            Cmd::ProgQuery => Command::ProgQuery(fields!(ProgQuery)),
            Cmd::RawTracepointOpen => Command::RawTracepointOpen(fields!(RawTracepointOpen)),
            Cmd::TaskFdQuery => Command::TaskFdQuery(fields!(TaskFdQuery)),
            Cmd::IterCreate => Command::IterCreate(fields!(IterCreate)),
            Cmd::ProgBindMap => Command::ProgBindMap(fields!(ProgBindMap)),
            Cmd::EnableStats => Command::EnableStats(fields!(EnableStats)),
            Cmd::TokenCreate => Command::TokenCreate(fields!(TokenCreate)),
            Cmd::ProgStreamReadByFd => Command::ProgStreamRead(fields!(ProgStreamRead)),
        })
    }

    /// A copy that shares inputs and has output memory of its own.
    pub(crate) fn copy(&self) -> Command<'a> {
        match self {
            Command::MapCreate(attr) => Command::MapCreate(attr.copy()),
            Command::MapLookup(attr) => Command::MapLookup(attr.copy()),
            Command::MapUpdate(attr) => Command::MapUpdate(attr.copy()),
            Command::MapDelete(attr) => Command::MapDelete(attr.copy()),
            Command::MapNextKey(attr) => Command::MapNextKey(attr.copy()),
            Command::MapLookupAndDelete(attr) => Command::MapLookupAndDelete(attr.copy()),
            Command::MapLookupBatch(attr) => Command::MapLookupBatch(attr.copy()),
            Command::MapLookupAndDeleteBatch(attr) => Command::MapLookupAndDeleteBatch(attr.copy()),
            Command::MapUpdateBatch(attr) => Command::MapUpdateBatch(attr.copy()),
            Command::MapDeleteBatch(attr) => Command::MapDeleteBatch(attr.copy()),
            Command::MapFreeze(attr) => Command::MapFreeze(attr.copy()),
            Command::ProgLoad(attr) => Command::ProgLoad(Box::new(attr.copy())),
            Command::TestRun(attr) => Command::TestRun(Box::new(attr.copy())),
            Command::ObjPin(attr) => Command::ObjPin(attr.copy()),
            Command::ObjGet(attr) => Command::ObjGet(attr.copy()),
            Command::GetById(kind, attr) => Command::GetById(*kind, attr.copy()),
            Command::NextId(kind, attr) => Command::NextId(*kind, attr.copy()),
            Command::ObjInfo(attr) => {
                let mut copy = attr.copy();
                copy.nested = attr.nested.iter().map(NestedBuffer::copy).collect();
                Command::ObjInfo(copy)
            }
            Command::BtfLoad(attr) => Command::BtfLoad(attr.copy()),
            Command::LinkCreate(attr) => Command::LinkCreate(attr.copy()),
            Command::LinkCreatePerf(attr) => Command::LinkCreatePerf(attr.copy()),
            Command::LinkCreateNetfilter(attr) => Command::LinkCreateNetfilter(attr.copy()),
            Command::LinkCreateIter(attr) => Command::LinkCreateIter(attr.copy()),
            Command::LinkCreateKprobes(attr) => Command::LinkCreateKprobes(attr.copy()),
            Command::LinkCreateUprobes(attr) => Command::LinkCreateUprobes(attr.copy()),
            Command::LinkUpdate(attr) => Command::LinkUpdate(attr.copy()),
            Command::LinkDetach(attr) => Command::LinkDetach(attr.copy()),
            Command::ProgAttach(attr) => Command::ProgAttach(attr.copy()),
            Command::ProgDetach(attr) => Command::ProgDetach(attr.copy()),
            Command::ProgQuery(attr) => Command::ProgQuery(attr.copy()),
            Command::RawTracepointOpen(attr) => Command::RawTracepointOpen(attr.copy()),
            Command::TaskFdQuery(attr) => Command::TaskFdQuery(attr.copy()),
            Command::IterCreate(attr) => Command::IterCreate(attr.copy()),
            Command::ProgBindMap(attr) => Command::ProgBindMap(attr.copy()),
            Command::EnableStats(attr) => Command::EnableStats(attr.copy()),
            Command::TokenCreate(attr) => Command::TokenCreate(attr.copy()),
            Command::ProgStreamRead(attr) => Command::ProgStreamRead(attr.copy()),
        }
    }
}
