//! The fields of each command by what they are for: a row for each command, and in it one
//! for each field that is more than a number. Whoever copies, checks, translates, compares
//! or decodes commands goes by these. Counterpart: `__sys_bpf` and the function of each
//! command in `kernel/bpf/syscall.c`.

use skep_abi::{AttachType, Cmd};

/// A command.
#[derive(Debug)]
pub(crate) struct Row {
    /// Which.
    pub cmd: Cmd,
    /// In which of its layouts.
    pub layout: Layout,
    /// End of the last field that it may use (`*_LAST_FIELD`); bytes behind it are refused.
    pub end: usize,
    /// Whether what it gives is an fd.
    pub gives_fd: bool,
    /// Whether it is begun anew where a signal interrupted it.
    pub retried: bool,
    /// Whether two kernels answer it alike: not where it names ids, or an order of keys,
    /// which are each kernel's own.
    pub alike: bool,
    /// Its fields, by their places.
    pub fields: &'static [FieldRow],
}

/// How the bytes of a LINK_CREATE are laid out; all other commands have one layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Layout {
    Plain,
    Perf,
    Netfilter,
    Iter,
    Kprobes,
    Uprobes,
}

impl Layout {
    /// That of a link of this attach type; `None` for a type that is not known here: its
    /// bytes might be addresses.
    pub(crate) fn of_link(attach_type: u32) -> Option<Layout> {
        use AttachType as A;
        Some(match A::from_number(attach_type)? {
            A::PerfEvent => Layout::Perf,
            A::Netfilter => Layout::Netfilter,
            A::TraceIter => Layout::Iter,
            A::TraceKprobeMulti | A::TraceKprobeSession => Layout::Kprobes,
            A::TraceUprobeMulti | A::TraceUprobeSession => Layout::Uprobes,
            _ => Layout::Plain,
        })
    }
}

/// A field of a command.
#[derive(Debug)]
pub(crate) struct FieldRow {
    /// Name, as in the header.
    pub name: &'static str,
    /// Its place in `union bpf_attr`.
    pub at: usize,
    /// What it is for.
    pub role: Role,
    /// Whether two kernels write the same.
    pub compared: bool,
}

/// What a field is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// An fd of the kernel's.
    Fd,
    /// One, or 0 for none.
    OptFd,
    /// A number that the kernel writes.
    Given,
    /// Memory that the kernel reads.
    In(Len, Holds),
    /// Memory that the kernel writes.
    Out(Len),
    /// Memory that the kernel reads, and may write to.
    InOut(Len),
    /// A structure that the kernel reads and writes, and that holds addresses.
    Nested(Len),
}

/// How many bytes are at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Len {
    /// As many as the field at this place says.
    Of(usize),
    /// The same; where it says 0, as many as there are.
    OfOrAll(usize),
    /// The product of two fields.
    Records(usize, usize),
    /// Slots of 8 bytes, as many as the field at this place says.
    Slots(usize),
    /// Words of 4 bytes, likewise.
    Words(usize),
    /// Texts, each with its zero, likewise; the kernel gets an array of their addresses.
    Texts(usize),
    /// Keys or values of the map, or a place in it: the kernel knows.
    Map,
    /// Up to the first zero.
    Text,
    /// Fds by their indices in the instructions, and at least as many as the field at this
    /// place says.
    Indexed(usize),
}

/// Fds inside of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holds {
    /// None.
    Nothing,
    /// In instructions.
    Insns,
    /// One after the other.
    Fds,
    /// In values of the map at this place, if those are fds.
    Values(usize),
}

impl Row {
    /// The row of a command, the first of those that have several layouts.
    pub(crate) fn of(cmd: Cmd) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.cmd == cmd)
    }

    /// All rows.
    #[cfg(test)]
    pub(crate) fn all() -> &'static [Row] {
        ROWS
    }

    /// That of one of its layouts.
    pub(crate) fn find(cmd: Cmd, layout: Layout) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.cmd == cmd && row.layout == layout)
    }
}

const fn field(name: &'static str, at: usize, role: Role) -> FieldRow {
    FieldRow { name, at, role, compared: false }
}

const fn fd(name: &'static str, at: usize) -> FieldRow {
    field(name, at, Role::Fd)
}

const fn optional(name: &'static str, at: usize) -> FieldRow {
    field(name, at, Role::OptFd)
}

const fn given(name: &'static str, at: usize) -> FieldRow {
    field(name, at, Role::Given)
}

const fn input(name: &'static str, at: usize, len: Len) -> FieldRow {
    field(name, at, Role::In(len, Holds::Nothing))
}

const fn holding(name: &'static str, at: usize, len: Len, holds: Holds) -> FieldRow {
    field(name, at, Role::In(len, holds))
}

const fn output(name: &'static str, at: usize, len: Len) -> FieldRow {
    field(name, at, Role::Out(len))
}

impl FieldRow {
    const fn compared(self) -> FieldRow {
        FieldRow { compared: true, ..self }
    }
}

const fn row(cmd: Cmd, end: usize, fields: &'static [FieldRow]) -> Row {
    let layout = Layout::Plain;
    Row { cmd, layout, end, gives_fd: false, retried: false, alike: true, fields }
}

const fn maker(cmd: Cmd, end: usize, fields: &'static [FieldRow]) -> Row {
    Row { gives_fd: true, ..row(cmd, end, fields) }
}

const fn own(row: Row) -> Row {
    Row { alike: false, ..row }
}

/// A LINK_CREATE. What it attaches to is one kernel's alone.
const fn link(layout: Layout, fields: &'static [FieldRow]) -> Row {
    Row { layout, ..own(maker(Cmd::LinkCreate, 60, fields)) }
}

/// Places of fields that several commands share.
const MAP_FD: usize = 0;
const BATCH_FD: usize = 36;

const MAP: FieldRow = fd("map_fd", MAP_FD);
const KEY: FieldRow = input("key", 8, Len::Map);
const VALUE: FieldRow = output("value", 16, Len::Map).compared();
const IN_BATCH: FieldRow = input("in_batch", 0, Len::Map);
const OUT_BATCH: FieldRow = output("out_batch", 8, Len::Map);
const COUNT: FieldRow = given("count", 32);
const BATCH: FieldRow = fd("map_fd", BATCH_FD);
const READ_BATCH: &[FieldRow] = &[
    IN_BATCH,
    OUT_BATCH,
    output("keys", 16, Len::Map),
    output("values", 24, Len::Map),
    COUNT,
    BATCH,
];
const WRITTEN_BATCH: &[FieldRow] = &[
    IN_BATCH,
    OUT_BATCH,
    input("keys", 16, Len::Map),
    holding("values", 24, Len::Map, Holds::Values(BATCH_FD)),
    COUNT,
    BATCH,
];
const PATH: FieldRow = input("pathname", 0, Len::Text);
const NEXT_ID: &[FieldRow] = &[given("next_id", 4)];
const LINKED: FieldRow = fd("prog_fd", 0);
const ATTACHED: &[FieldRow] = &[optional("attach_bpf_fd", 4), optional("replace_bpf_fd", 16)];

static ROWS: &[Row] = &[
    maker(
        Cmd::MapCreate,
        92,
        &[
            optional("inner_map_fd", 20),
            optional("btf_fd", 48),
            input("excl_prog_hash", 80, Len::Of(88)),
        ],
    ),
    row(Cmd::MapLookupElem, 32, &[MAP, KEY, VALUE]),
    row(Cmd::MapUpdateElem, 32, &[MAP, KEY, holding("value", 16, Len::Map, Holds::Values(MAP_FD))]),
    row(Cmd::MapDeleteElem, 16, &[MAP, KEY]),
    own(row(Cmd::MapGetNextKey, 24, &[MAP, KEY, output("next_key", 16, Len::Map)])),
    row(Cmd::MapLookupAndDeleteElem, 32, &[MAP, KEY, VALUE]),
    own(row(Cmd::MapLookupBatch, 56, READ_BATCH)),
    row(Cmd::MapLookupAndDeleteBatch, 56, READ_BATCH),
    row(Cmd::MapUpdateBatch, 56, WRITTEN_BATCH),
    row(Cmd::MapDeleteBatch, 56, WRITTEN_BATCH),
    row(Cmd::MapFreeze, 4, &[MAP]),
    Row {
        retried: true,
        ..maker(
            Cmd::ProgLoad,
            168,
            &[
                holding("insns", 8, Len::Slots(4), Holds::Insns),
                input("license", 16, Len::Text),
                output("log_buf", 32, Len::Of(28)),
                optional("prog_btf_fd", 72),
                input("func_info", 80, Len::Records(76, 88)),
                input("line_info", 96, Len::Records(92, 104)),
                optional("attach_prog_fd", 112),
                holding("fd_array", 120, Len::Indexed(148), Holds::Fds),
                input("core_relos", 128, Len::Records(136, 116)),
                given("log_true_size", 140),
                input("signature", 152, Len::Of(160)),
            ],
        )
    },
    row(Cmd::ObjPin, 20, &[PATH, fd("bpf_fd", 8)]),
    maker(Cmd::ObjGet, 20, &[PATH]),
    row(
        Cmd::ProgTestRun,
        76,
        &[
            fd("prog_fd", 0),
            given("retval", 4).compared(),
            given("data_size_out", 12).compared(),
            input("data_in", 16, Len::Of(8)),
            output("data_out", 24, Len::OfOrAll(12)).compared(),
            given("duration", 36),
            given("ctx_size_out", 44),
            // A syscall program's context is given back where it was taken from.
            field("ctx_in", 48, Role::InOut(Len::Of(40))),
            output("ctx_out", 56, Len::Of(44)).compared(),
        ],
    ),
    own(maker(Cmd::ProgGetFdById, 4, &[])),
    own(maker(Cmd::MapGetFdById, 12, &[])),
    own(maker(Cmd::BtfGetFdById, 16, &[])),
    own(row(Cmd::ProgGetNextId, 8, NEXT_ID)),
    own(row(Cmd::MapGetNextId, 8, NEXT_ID)),
    own(row(Cmd::BtfGetNextId, 8, NEXT_ID)),
    row(
        Cmd::ObjGetInfoByFd,
        16,
        &[fd("bpf_fd", 0), given("info_len", 4), field("info", 8, Role::Nested(Len::Of(4)))],
    ),
    maker(
        Cmd::BtfLoad,
        40,
        &[
            input("btf", 0, Len::Of(16)),
            output("btf_log_buf", 8, Len::Of(20)),
            given("btf_log_true_size", 28),
        ],
    ),
    link(Layout::Plain, &[LINKED]),
    link(Layout::Perf, &[LINKED, fd("target_fd", 4)]),
    link(Layout::Netfilter, &[LINKED]),
    link(Layout::Iter, &[LINKED, input("iter_info", 16, Len::Of(24))]),
    link(
        Layout::Kprobes,
        &[
            LINKED,
            input("syms", 24, Len::Texts(20)),
            input("addrs", 32, Len::Slots(20)),
            input("cookies", 40, Len::Slots(20)),
        ],
    ),
    link(
        Layout::Uprobes,
        &[
            LINKED,
            input("path", 16, Len::Text),
            input("offsets", 24, Len::Slots(48)),
            input("ref_ctr_offsets", 32, Len::Slots(48)),
            input("cookies", 40, Len::Slots(48)),
        ],
    ),
    own(row(
        Cmd::LinkUpdate,
        16,
        &[fd("link_fd", 0), fd("new_prog_fd", 4), optional("old_prog_fd", 12)],
    )),
    own(row(Cmd::LinkDetach, 4, &[fd("link_fd", 0)])),
    own(maker(Cmd::LinkGetFdById, 4, &[])),
    own(row(Cmd::LinkGetNextId, 8, NEXT_ID)),
    own(row(Cmd::ProgAttach, 32, ATTACHED)),
    own(row(Cmd::ProgDetach, 32, ATTACHED)),
    own(row(
        Cmd::ProgQuery,
        64,
        &[
            given("attach_flags", 12),
            output("prog_ids", 16, Len::Words(24)),
            given("prog_cnt", 24),
            output("prog_attach_flags", 32, Len::Words(24)),
            output("link_ids", 40, Len::Words(24)),
            output("link_attach_flags", 48, Len::Words(24)),
            given("revision", 56),
        ],
    )),
    own(maker(Cmd::RawTracepointOpen, 24, &[input("name", 0, Len::Text), fd("prog_fd", 8)])),
    own(row(
        Cmd::TaskFdQuery,
        48,
        &[
            given("buf_len", 12),
            output("buf", 16, Len::Of(12)),
            given("prog_id", 24),
            given("fd_type", 28),
            given("probe_offset", 32),
            given("probe_addr", 40),
        ],
    )),
    own(maker(Cmd::IterCreate, 8, &[fd("link_fd", 0)])),
    row(Cmd::ProgBindMap, 12, &[fd("prog_fd", 0), fd("map_fd", 4)]),
    own(maker(Cmd::EnableStats, 4, &[])),
    own(maker(Cmd::TokenCreate, 8, &[])),
    own(row(
        Cmd::ProgStreamReadByFd,
        20,
        &[output("stream_buf", 0, Len::Of(8)), fd("prog_fd", 16)],
    )),
];
