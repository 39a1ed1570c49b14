//! From a checked script to an object: one program for each of its bodies.
//!
//! Values of up to eight bytes are computed in r0, extended to 64 bits by their type. All else
//! lies in a region of an array map that belongs to the program and the CPU: variables at the
//! front, what expressions need behind them. Nothing of a script's stands on the stack, so no
//! script can be too large for it, and what a loop changes is never known to a verifier, so
//! loops end their verification at their second turn (`may_goto` bounds them).
//!
//! | register | holds |
//! |---|---|
//! | r6 | the context |
//! | r7, r8 | what a few instructions in a row need across a call |
//! | r9 | the program's region |
//!
//! The stack: the region's address and the context (callbacks get them by a pointer to both),
//! a key, then spilled numbers.

mod action;
mod aggregate;
mod builtin;
mod bytes;
mod call;
mod cast;
mod code;
mod element;
mod memory;
mod only;
mod place;
mod scalar;
mod section;
mod statement;
mod tables;
mod text;

use std::sync::Arc;

use skep_abi::MapType;
use skep_btf::{Builder as Types, FuncLinkage};
use skep_load::{Function, MapDef, Object};
use thiserror::Error;

use super::checked::{Map, MapKind, Script};
use super::kind::Kind;
use super::output::maps::stored_size;
use super::place::Place;
use super::plan::{Action, LOST, Plan, RING, map_name};
use code::Code;

/// What is known of the machine when a script is lowered.
#[derive(Clone, Debug)]
pub struct Machine {
    /// How many CPUs there can be.
    pub cpus: u32,
    /// Nanoseconds since boot at which the tracing began.
    pub start: u64,
    /// The child that was started, or 0.
    pub child: u32,
    /// The name space of processes, where it is not the first: device and inode.
    pub namespace: Option<(u64, u64)>,
    /// Nanoseconds from the clock that `sw_tai` is made of to TAI.
    pub tai: i64,
    /// Bytes of the ring, a power of two and of pages.
    pub ring: u32,
    /// The map whose only value stands for the time in time series, for tests.
    pub clock: Option<String>,
    /// Restricts programs to the processes that a map names, and says where in a
    /// `struct task_struct` a process's number lies.
    pub only: Option<u32>,
    /// Intervals are programs that are run from outside.
    pub timers: bool,
    /// The only process that probes of the kernel's events see.
    pub filter: Option<u32>,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine {
            cpus: 1,
            start: 0,
            child: 0,
            namespace: None,
            tai: 0,
            ring: 1 << 20,
            clock: None,
            only: None,
            timers: false,
            filter: None,
        }
    }
}

impl Machine {
    /// The address of a kernel symbol, where this user may know it.
    fn symbol(&self, name: &str) -> Option<u64> {
        let text = std::fs::read_to_string("/proc/kallsyms").ok()?;
        let found = text.lines().find_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let (address, _, symbol) = (words.next()?, words.next()?, words.next()?);
            (symbol == name).then_some(address)
        })?;
        u64::from_str_radix(found, 16).ok().filter(|address| *address != 0)
    }
}

/// Why a script has no object.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{text}")]
pub struct LowerError {
    /// What is wrong, in a line.
    pub text: String,
    /// Where.
    pub place: Place,
}

/// What programs of a script share while they are made.
struct Shared<'a> {
    script: &'a Script,
    machine: &'a Machine,
    actions: Vec<Action>,
    times: Vec<super::ast::Name>,
    cgroups: Vec<Option<super::ast::Name>>,
    functions: Vec<Function>,
    /// Maps that programs need besides, each once.
    extra: Vec<MapDef>,
    types: Types,
    /// Prototypes: of programs, and of callbacks over maps.
    protos: [u32; 2],
    /// Bytes of the largest region.
    region: u32,
}

/// Maps of the object in front of the script's own.
const REGIONS: usize = 0;
const RING_MAP: usize = 1;
const LOST_MAP: usize = 2;
/// Whether the script has ended: what comes behind `exit()` does nothing.
const EXITED_MAP: usize = 3;
const FIRST_MAP: usize = 4;

/// The map of processes that are seen, behind the script's own.
fn only_map(script: &Script) -> usize {
    FIRST_MAP + script.maps.len()
}

/// Lowers a script for a machine.
///
/// # Errors
/// What a kernel could not do, or what is not done here yet.
pub fn lower(script: &Script, machine: &Machine) -> Result<Plan, LowerError> {
    let mut types = Types::new();
    let int = types.int("int", 4, 1);
    let address = types.ptr(0);
    let of_program = types.func_proto(int, &[("ctx", address)]);
    let parts = [("map", address), ("key", address), ("value", address), ("ctx", address)];
    let of_callback = types.func_proto(int, &parts);
    let mut shared = Shared {
        script,
        machine,
        actions: Vec::new(),
        times: Vec::new(),
        cgroups: Vec::new(),
        functions: Vec::new(),
        extra: Vec::new(),
        types,
        protos: [of_program, of_callback],
        region: 0,
    };
    let mut object = Object::empty("trace", script.config.license);
    for (index, program) in script.programs.iter().enumerate() {
        let name = program_name(&program.name, index);
        let section = section::of(program, machine.timers)
            .map_err(|text| LowerError { text, place: program.place })?;
        let function = Code::program(&mut shared, program, index, &name, &section)?;
        object
            .add_program(&name, &section, function)
            .map_err(|text| LowerError { text, place: program.place })?;
    }
    let count = script.programs.len().max(1) as u32;
    object.maps = vec![
        MapDef::new(
            "regions",
            MapType::Array,
            4,
            shared.region.max(8),
            machine.cpus.max(1).saturating_mul(count),
        ),
        MapDef::new(RING, MapType::Ringbuf, 0, 0, machine.ring),
        MapDef::new(LOST, MapType::PercpuArray, 4, 8, count),
        MapDef::new("exited", MapType::Array, 4, 8, 1),
    ];
    object.maps.extend(script.maps.iter().map(|map| map_def(map, machine.cpus)));
    if let Some(tgid) = machine.only {
        let map = object.maps.len();
        object.maps.push(only::map());
        only::add(&mut shared, &mut object, tgid, map)
            .map_err(|text| LowerError { text, place: Place::default() })?;
    }
    object.maps.append(&mut shared.extra);
    object.functions = shared.functions;
    object.btf = shared.types.build().ok().map(Arc::new);
    let Shared { actions, times, cgroups, .. } = shared;
    Ok(Plan { object, actions, times, cgroups })
}

/// A program's name as kernels and messages have it.
fn program_name(point: &str, index: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let name: String = point.chars().map(plain).take(100).collect();
    format!("{name}_{}", index + 1)
}

/// From how many bytes on, of all CPUs, elements are not allocated before they are needed. Such
/// elements can fail to come: an event in an interrupt finds what was set aside for it alone.
const LARGE: usize = 64 << 20;

fn map_def(map: &Map, cpus: u32) -> MapDef {
    let is_aggregate = matches!(map.value.kind, Kind::Aggregate(_));
    let kind = match map.declared {
        Some(MapKind::Hash) if is_aggregate => MapType::PercpuHash,
        Some(MapKind::LruHash) if is_aggregate => MapType::LruPercpuHash,
        Some(MapKind::Hash) => MapType::Hash,
        Some(MapKind::LruHash) => MapType::LruHash,
        Some(MapKind::PercpuHash) => MapType::PercpuHash,
        Some(MapKind::PercpuArray) => MapType::PercpuArray,
        Some(MapKind::PercpuLruHash) => MapType::LruPercpuHash,
        None if is_aggregate => MapType::PercpuHash,
        None => MapType::Hash,
    };
    let key = if kind == MapType::PercpuArray { 4 } else { map.key.size().max(1) };
    let size = stored_size(map).max(1);
    let entries = if map.scalar { 1 } else { u32::try_from(map.entries).unwrap_or(u32::MAX) };
    let mut def = MapDef::new(&map_name(&map.name), kind, key, size as u32, entries.max(1));
    let copies = if kind == MapType::Hash { 1 } else { cpus.max(1) as usize };
    let bytes = (size + key as usize).saturating_mul(def.max_entries as usize);
    let bytes = bytes.saturating_mul(copies);
    if bytes >= LARGE && matches!(kind, MapType::Hash | MapType::PercpuHash) {
        def.flags |= skep_abi::flags::map::NO_PREALLOC;
    }
    def
}

impl Shared<'_> {
    /// Adds an action; gives its number.
    fn action(&mut self, action: Action) -> u32 {
        self.actions.push(action);
        self.actions.len() as u32 - 1
    }

    /// A map that programs need besides the script's own; gives its index in the object.
    fn extra(&mut self, def: MapDef) -> usize {
        let first = only_map(self.script) + usize::from(self.machine.only.is_some());
        let found = self.extra.iter().position(|of| of.name == def.name);
        first
            + found.unwrap_or_else(|| {
                self.extra.push(def);
                self.extra.len() - 1
            })
    }

    /// The type of a function that records name.
    fn function_type(&mut self, name: &str, callback: bool) -> u32 {
        self.types.func(name, self.protos[usize::from(callback)], FuncLinkage::Static)
    }
}
