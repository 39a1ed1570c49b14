//! The calls: a row each, with how often it comes up.

use std::sync::{Arc, Weak};
use std::time::Duration;

use skep::isa::Slot;
use skep::sys::{
    BtfLoad, Command, Fd, GetById, MapBatch, MapCreate, MapDelete, MapElem, MapFreeze, MapNextKey,
    Memory, NestedBuffer, NextId, ObjGet, ObjInfo, ObjPin, ObjectKind, ProgLoad, TestRun, raw_bpf,
};
use skep::vm::hooks::PacketHook;
use skep::vm::{RawMemory, run_raw};

use super::ON_PURPOSE;
use super::programs;
use super::world::{Dice, Fenced, Subject, World};

/// One way to call.
struct Row {
    name: &'static str,
    weight: usize,
    call: fn(&Arc<World>, &mut Dice),
}

const ROWS: &[Row] = &[
    Row { name: "map_create", weight: 12, call: map_create },
    Row { name: "element", weight: 20, call: element },
    Row { name: "next_key", weight: 3, call: next_key },
    Row { name: "batch", weight: 6, call: batch },
    Row { name: "freeze", weight: 2, call: freeze },
    Row { name: "prog_load", weight: 12, call: prog_load },
    Row { name: "test_run", weight: 14, call: test_run },
    Row { name: "info", weight: 6, call: info },
    Row { name: "pin", weight: 2, call: pin },
    Row { name: "id", weight: 3, call: id },
    Row { name: "btf_load", weight: 1, call: btf_load },
    Row { name: "map", weight: 5, call: map },
    Row { name: "memory", weight: 8, call: memory },
    Row { name: "poll", weight: 2, call: poll },
    Row { name: "drop", weight: 6, call: |world, dice| world.drop_something(dice) },
    Row { name: "hook", weight: 4, call: hook },
    Row { name: "hook_run", weight: 8, call: hook_run },
    Row { name: "raw_bpf", weight: 6, call: raw_attributes },
    Row { name: "run_raw", weight: 2, call: raw_run },
    Row { name: "printer", weight: 5, call: printer },
    Row { name: "environment", weight: 2, call: environment },
];

/// The rows that may come up.
pub struct Table(Vec<&'static Row>);

/// Rows by name, all where nothing is named, all others where the text starts with `-`.
pub fn chosen(names: &str) -> Arc<Table> {
    let (without, names) = match names.strip_prefix('-') {
        Some(names) => (true, names),
        None => (names.is_empty(), names),
    };
    let named = |row: &&Row| names.split(',').any(|name| name == row.name);
    Arc::new(Table(ROWS.iter().filter(|row| named(row) != without).collect()))
}

impl Table {
    /// Makes a call.
    pub fn call(&self, world: &Arc<World>, dice: &mut Dice) {
        let all: usize = self.0.iter().map(|row| row.weight).sum();
        let mut at = dice.below(all);
        for row in &self.0 {
            match at.checked_sub(row.weight) {
                Some(rest) => at = rest,
                None => return (row.call)(world, dice),
            }
        }
    }
}

/// Array, hash, per-CPU, LRU, LPM, queue, stack, ring buffer, program array, map in map.
const TYPES: &[u32] = &[1, 1, 2, 2, 2, 5, 6, 9, 10, 11, 22, 23, 27, 27, 3, 12, 13, 30, 33];

fn map_create(world: &Arc<World>, dice: &mut Dice) {
    let map_type = dice.pick(TYPES);
    let inner_map_fd = world.number(dice);
    let key_size = match map_type {
        22 | 23 | 27 | 33 => 0,
        11 => 8,
        _ => dice.pick(&[4, 4, 4, 8, 12]),
    };
    let value_size = match map_type {
        27 | 33 => 0,
        3 | 12 | 13 => 4,
        _ => dice.pick(&[8, 8, 8, 4, 24, 64, 4096]),
    };
    let map_flags = match map_type {
        33 => dice.pick(&[1 << 10, 1 << 10 | 1 << 17]),
        11 => 1,
        2 => dice.pick(&[0, 0, 1 << 10, 1 << 3, 1 << 4, 1 << 7, 1 << 10 | 1 << 3]),
        _ => dice.pick(&[0, 0, 0, 1, 1 << 1, 1 << 3]),
    };
    let mut command = Command::MapCreate(MapCreate {
        map_type,
        key_size: if dice.one_in(30) { dice.len() as u32 } else { key_size },
        value_size: if dice.one_in(30) { dice.len() as u32 } else { value_size },
        max_entries: if map_type == 27 { 4096 } else { dice.pick(&[1, 1, 4, 4, 16]) },
        map_flags,
        inner_map_fd: if matches!(map_type, 12 | 13) { inner_map_fd } else { 0 },
        ..MapCreate::default()
    });
    open(world, world.subject(dice), &mut command, dice);
}

/// Runs what gives an fd, and keeps that.
fn open(world: &World, on: &Subject, command: &mut Command<'_>, dice: &mut Dice) {
    if let Ok(fd) = Fd::open(&on.kernel, command) {
        world.keep_fd(fd, dice);
    }
}

/// A key: one of a few, of some length.
fn a_key(dice: &mut Dice) -> Vec<u8> {
    let len = if dice.one_in(8) { dice.len().min(300) } else { dice.pick(&[4, 4, 4, 8, 12]) };
    let mut key = vec![0; len];
    if let Some(first) = key.first_mut() {
        *first = dice.below(5) as u8;
    }
    key
}

fn element(world: &Arc<World>, dice: &mut Dice) {
    let map_fd = world.number(dice);
    let key = a_key(dice);
    let len = dice.len();
    let mut value = Fenced::random(len, dice);
    if dice.one_in(4)
        && let Some(start) = value.get().first_chunk_mut::<4>()
    {
        // For maps that hold maps and programs.
        *start = world.number(dice).to_ne_bytes();
    }
    let elem = MapElem {
        map_fd,
        key: (!dice.one_in(10)).then(|| key[..].into()),
        value: value.get().into(),
        flags: dice.pick(&[0, 0, 0, 0, 1, 2, 4, 8]),
        ..MapElem::default()
    };
    let mut command = match dice.below(6) {
        0..=2 => Command::MapUpdate(elem),
        3 => Command::MapLookupAndDelete(elem),
        4 => Command::MapDelete(MapDelete { map_fd, key: elem.key, ..MapDelete::default() }),
        _ => Command::MapLookup(elem),
    };
    let _ = world.subject(dice).kernel.bpf(&mut command);
}

fn next_key(world: &Arc<World>, dice: &mut Dice) {
    let key = a_key(dice);
    let len = dice.len();
    let mut next = Fenced::random(len, dice);
    let _ = world.subject(dice).kernel.bpf(&mut Command::MapNextKey(MapNextKey {
        map_fd: world.number(dice),
        key: (!dice.one_in(3)).then(|| key[..].into()),
        next_key: next.get().into(),
        ..MapNextKey::default()
    }));
}

fn batch(world: &Arc<World>, dice: &mut Dice) {
    let (of_keys, of_values, of_out, of_in) = (dice.len(), dice.len(), dice.len(), dice.len());
    let mut keys = Fenced::random(of_keys, dice);
    let mut values = Fenced::random(of_values, dice);
    let mut out = Fenced::random(of_out, dice);
    let position = vec![0; of_in];
    let batch = MapBatch {
        in_batch: dice.one_in(2).then(|| position[..].into()),
        out_batch: out.get().into(),
        keys: keys.get().into(),
        values: values.get().into(),
        count: dice.pick(&[0, 1, 2, 4, 16, 1000, u32::MAX]),
        map_fd: world.number(dice),
        ..MapBatch::default()
    };
    let mut command = match dice.below(4) {
        0 => Command::MapLookupBatch(batch),
        1 => Command::MapLookupAndDeleteBatch(batch),
        2 => Command::MapUpdateBatch(batch),
        _ => Command::MapDeleteBatch(batch),
    };
    let _ = world.subject(dice).kernel.bpf(&mut command);
}

fn freeze(world: &Arc<World>, dice: &mut Dice) {
    let map_fd = world.number(dice);
    let freeze = MapFreeze { map_fd, ..MapFreeze::default() };
    let _ = world.subject(dice).kernel.bpf(&mut Command::MapFreeze(freeze));
}

fn prog_load(world: &Arc<World>, dice: &mut Dice) {
    let insns = programs::random(world, dice).concat();
    let room = dice.pick(&[0, 0, 128, 4096]);
    let mut log = Fenced::random(room, dice);
    let fds = dice.bytes(8);
    let mut load = ProgLoad {
        prog_type: dice.pick(&[6, 6, 6, 3, 1, 31]),
        insn_cnt: (insns.len() / 8) as u32,
        insns: Some(insns[..].into()),
        license: Some(if dice.one_in(20) { b"G"[..].into() } else { b"GPL\0"[..].into() }),
        ..ProgLoad::default()
    };
    if room > 0 {
        load.log_level = dice.pick(&[1, 2, 4]);
        load.log_size = if dice.one_in(10) { dice.len() as u32 } else { room as u32 };
        load.log_buf = log.get().into();
    }
    if dice.one_in(10) {
        load.fd_array = Some(fds[..].into());
    }
    if dice.one_in(20) {
        load.insn_cnt = dice.len() as u32;
    }
    let on = world.subject(dice);
    open(world, on, &mut Command::ProgLoad(Box::new(load)), dice);
}

fn run_on(world: &World, on: &Subject, dice: &mut Dice) {
    let (of_data, of_out, of_context) = (dice.len(), dice.len(), dice.len());
    let data = vec![0x5a; of_data];
    let mut out = Fenced::random(of_out, dice);
    let mut context_out = Fenced::random(of_context, dice);
    let of_context_in = if dice.one_in(4) { of_context.min(256) } else { 0 };
    let context = dice.bytes(of_context_in);
    let stated = |len: usize, dice: &mut Dice| {
        if dice.one_in(8) { dice.len() as u32 } else { len as u32 }
    };
    let mut run = TestRun {
        prog_fd: world.number(dice),
        data_size_in: stated(data.len(), dice),
        data_in: Some(data[..].into()),
        data_size_out: if dice.one_in(3) { 0 } else { stated(of_out, dice) },
        data_out: out.get().into(),
        repeat: dice.pick(&[0, 1, 1, 2, 5]),
        ..TestRun::default()
    };
    if dice.one_in(4) {
        run.ctx_size_in = stated(context.len(), dice);
        run.ctx_in = Some(context[..].into());
        run.ctx_size_out = stated(of_context, dice);
        run.ctx_out = context_out.get().into();
    }
    let _ = on.kernel.bpf(&mut Command::TestRun(Box::new(run)));
}

fn test_run(world: &Arc<World>, dice: &mut Dice) {
    run_on(world, world.subject(dice), dice);
}

fn info(world: &Arc<World>, dice: &mut Dice) {
    let len = dice.pick(&[0, 4, 32, 36, 40, 64, 104, 104, 120, 232, 232, 232, 240]);
    let mut bytes = Fenced::new(&vec![0; len]);
    let room = dice.len();
    let mut inside = Fenced::random(room, dice);
    // An address that is somebody's, one that a buffer stands for, or none.
    let address = dice.pick(&[0, 0x1000, 0x1000, bytes.get().as_ptr().addr() as u64]);
    for offset in (0..len.saturating_sub(8)).step_by(8) {
        if dice.one_in(4) {
            let word = if dice.one_in(3) { dice.len() as u64 } else { address };
            bytes.get()[offset..offset + 8].copy_from_slice(&word.to_ne_bytes());
        }
    }
    for offset in [16, 20, 24, 52, 104, 108, 144, 148, 180] {
        if dice.one_in(2)
            && let Some(word) = bytes.get().get_mut(offset..offset + 4)
        {
            word.copy_from_slice(&(dice.len() as u32).to_ne_bytes());
        }
    }
    let info_len = if dice.one_in(10) { dice.len() as u32 } else { len as u32 };
    let _ = world.subject(dice).kernel.bpf(&mut Command::ObjInfo(ObjInfo {
        bpf_fd: world.number(dice),
        info_len,
        info: bytes.get().into(),
        nested: vec![NestedBuffer { address: 0x1000, memory: inside.get().into() }],
        ..ObjInfo::default()
    }));
}

fn pin(world: &Arc<World>, dice: &mut Dice) {
    // Linux's pins would stay.
    let Some(vm) = &world.kernels[0].vm else { return };
    let path =
        dice.pick(&[&b"/sys/fs/bpf/one\0"[..], b"/sys/fs/bpf/other\0", b"/sys/fs/bpf/x", b""]);
    if dice.one_in(2) {
        let pin =
            ObjPin { pathname: Some(path.into()), bpf_fd: world.number(dice), ..ObjPin::default() };
        let _ = skep::Kernel::bpf(&**vm, &mut Command::ObjPin(pin));
    } else {
        let get = ObjGet { pathname: Some(path.into()), ..ObjGet::default() };
        open(world, &world.kernels[0], &mut Command::ObjGet(get), dice);
    }
}

fn id(world: &Arc<World>, dice: &mut Dice) {
    let kind = dice.pick(&[ObjectKind::Prog, ObjectKind::Map, ObjectKind::Btf]);
    let on = world.subject(dice);
    if dice.one_in(2) {
        let start_id = dice.pick(&[0, 1, 2, 3, u32::MAX]);
        let next = NextId { start_id, ..NextId::default() };
        let _ = on.kernel.bpf(&mut Command::NextId(kind, next));
    } else if on.vm.is_some() {
        // Linux's ids may be of others' objects.
        let by_id = GetById { id: dice.below(6) as u32, ..GetById::default() };
        open(world, on, &mut Command::GetById(kind, by_id), dice);
    }
}

fn btf_load(world: &Arc<World>, dice: &mut Dice) {
    let len = dice.pick(&[0, 24, 64, 200]);
    let mut bytes = dice.bytes(len);
    if let Some(head) = bytes.first_chunk_mut::<8>() {
        *head = [0x9f, 0xeb, 1, 0, 24, 0, 0, 0];
    }
    let btf_size = if dice.one_in(4) { dice.len() as u32 } else { len as u32 };
    let load = BtfLoad { btf: Some(bytes[..].into()), btf_size, ..BtfLoad::default() };
    let on = world.subject(dice);
    open(world, on, &mut Command::BtfLoad(load), dice);
}

fn map(world: &Arc<World>, dice: &mut Dice) {
    let Some(fd) = world.fd(dice) else { return };
    let offset = dice.pick(&[0, 0, 0, 4096, 8192, 100, u64::MAX - 4095]);
    let len = dice.pick(&[0, 4096, 4096, 8192, 12288, 100, 1 << 20, usize::MAX]);
    if let Ok(mapping) = fd.map(offset, len, dice.one_in(2)) {
        world.keep_mapping(mapping, dice);
    }
}

fn memory(world: &Arc<World>, dice: &mut Dice) {
    let Some(mapping) = world.mapping(dice) else { return };
    let at = match dice.below(4) {
        0 => dice.len(),
        1 => mapping.len().wrapping_sub(dice.below(12)),
        _ => dice.below(mapping.len()),
    };
    let len = dice.len();
    let mut bytes = Fenced::random(len, dice);
    match dice.below(5) {
        0 => drop(mapping.load_u32(at)),
        1 => drop(mapping.load_u64(at)),
        2 => drop(mapping.store_u64(at, dice.next())),
        3 => drop(mapping.write(at, bytes.get())),
        _ => drop(mapping.read(at, bytes.get())),
    }
}

fn poll(world: &Arc<World>, dice: &mut Dice) {
    let Some(fd) = world.fd(dice) else { return };
    let _ = fd.poll(Duration::from_micros(dice.below(2) as u64 * 500));
}

fn hook(world: &Arc<World>, dice: &mut Dice) {
    let Some(vm) = &world.subject(dice).vm else { return };
    if let Ok(hook) = PacketHook::new(vm, world.number(dice) as i32) {
        world.keep_hook(hook, dice);
    }
}

fn hook_run(world: &Arc<World>, dice: &mut Dice) {
    let Some(mut hook) = world.hook(dice) else { return };
    let frame = vec![0x11; dice.len()];
    for _ in 0..dice.pick(&[1, 1, 3]) {
        let _ = hook.run(&frame);
    }
    world.keep_hook(hook, dice);
}

fn raw_attributes(world: &Arc<World>, dice: &mut Dice) {
    let Some(vm) = &world.subject(dice).vm else { return };
    let mut memory = Memory::default();
    let mut address = 0x1000;
    let mut addresses = vec![0u64];
    for _ in 0..dice.below(4) {
        let len = dice.len().min(600);
        memory.add(address, dice.bytes(len));
        addresses.extend([address, address + len as u64 / 2, address + len as u64]);
        address += len as u64 + dice.pick(&[0, 0, 8]);
    }
    let mut attr = vec![0u8; dice.pick(&[4, 16, 32, 56, 80, 168, 200])];
    for word in attr.chunks_exact_mut(4) {
        if dice.one_in(3) {
            word.copy_from_slice(&(dice.below(40) as u32).to_ne_bytes());
        }
    }
    for word in attr.chunks_exact_mut(8) {
        if dice.one_in(3) {
            word.copy_from_slice(&dice.pick(&addresses).to_ne_bytes());
        }
    }
    let cmd = dice.pick(&[1, 1, 2, 2, 3, 4, 5, 10, 15, 18, 21, 22, 24, 25, 26, 27, 99]);
    // Where it opens something, that stays open: nobody owns a number.
    let _ = raw_bpf(&**vm, cmd, &mut attr, &mut memory);
}

fn raw_run(world: &Arc<World>, dice: &mut Dice) {
    let Some(vm) = &world.kernels[0].vm else { return };
    let bytes = programs::random(world, dice).concat();
    let Some(slots) = Slot::split(&bytes) else { return };
    let len = dice.len();
    let mut memory = RawMemory::new(&vec![1; len]);
    let _ = run_raw(vm, &slots, &mut memory);
    assert_eq!(memory.bytes().len(), len);
}

/// What is printed calls back: quietly, with a panic, or into the kernels again.
fn printer(world: &Arc<World>, dice: &mut Dice) {
    let Some(vm) = &world.subject(dice).vm else { return };
    let back: Weak<World> = Arc::downgrade(world);
    let mut own = Dice::new(dice.next());
    match dice.below(4) {
        0 => vm.environment().set_printer(|_| {}),
        1 => vm.environment().set_printer(|_| panic!("{ON_PURPOSE}")),
        2 => vm.environment().set_printer(move |_| {
            if let Some(world) = back.upgrade() {
                element(&world, &mut own);
                map_create(&world, &mut own);
            }
        }),
        _ => vm.environment().set_printer(move |_| {
            let Some(world) = back.upgrade() else { return };
            match own.below(3) {
                0 => hook_run(&world, &mut own),
                1 => printer(&world, &mut own),
                _ => test_run(&world, &mut own),
            }
        }),
    }
}

fn environment(world: &Arc<World>, dice: &mut Dice) {
    let Some(vm) = &world.subject(dice).vm else { return };
    let environment = vm.environment();
    match dice.below(4) {
        0 => environment.set_time(Some(dice.next())),
        1 => environment.set_time(None),
        2 => environment.seed(dice.next()),
        // As a program's text comes to the printer.
        _ => {
            let print = || environment.print("text");
            // A callback may panic through the one who calls it, if that is no program.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(print));
        }
    }
}
