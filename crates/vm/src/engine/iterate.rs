//! Runs of iterators' programs: one for each object of the world, and one for the end, which has
//! none. What they print is what somebody would read who opens such an iterator. Counterparts:
//! `kernel/bpf/bpf_iter.c`, `kernel/bpf/task_iter.c`.

use std::sync::Arc;

use skep_abi::Errno;
use skep_abi::context::memory::{MOST_ARGUMENTS, WORD};
use skep_btf::{Btf, Type};

use super::event::{After, Event, Refused, scene};
use super::machine::Machine;
use super::runner::Scene;
use super::workspaces::{Place, Workspace};
use crate::memory::packet::PacketMemory;
use crate::memory::value::{Kind, Value};
use crate::objects::program::Program;
use crate::run::Outcome;
use crate::run::sequence::Sequence;
use crate::run::world::{Call, Captured, World};

/// Where `struct bpf_iter_meta` would be, and the file that it leads to.
const META: u64 = 0xffff_8880_4e48_0000;
const FILE: u64 = 0xffff_8880_4e49_0000;

/// The function that stands for what is walked over: its name, and how many words its arguments
/// are.
fn target<'t>(types: &'t Btf, program: &Program) -> Option<(&'t str, usize)> {
    let id = program.proof.as_ref()?.verified.program().attach_btf_id;
    let Ok(Type::Func { name, proto, .. }) = types.type_by_id(id) else { return None };
    let Ok(Type::FuncProto(proto)) = types.type_by_id(proto) else { return None };
    Some((name, proto.params.iter().count()))
}

/// What an iterator of this name walks over: of tasks those of the world, of all else nothing.
fn objects(name: &str, world: &World) -> Vec<u64> {
    let mut tasks = match name {
        "bpf_iter_task" => {
            let (pid, tgid) = world.ids();
            vec![tgid, pid]
        }
        _ => Vec::new(),
    };
    tasks.sort_unstable();
    tasks.dedup();
    tasks.into_iter().map(World::task_address).collect()
}

/// One walk.
struct Walk<'w> {
    machine: &'w Machine,
    program: &'w Arc<Program>,
    event: &'w Event<'w>,
    world: Arc<World>,
    sequence: Arc<Sequence>,
}

impl Walk<'_> {
    /// Runs the program on these words, of which the first leads to the walk's own.
    fn show(&self, words: &[u64], number: u64) -> Result<(Outcome, Call), Refused> {
        let meta = [FILE, 1, number].map(u64::to_ne_bytes).concat();
        let mut world = (*self.world).clone();
        world.memory.push(Captured { address: META, bytes: meta });
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut context = PacketMemory::new((MOST_ARGUMENTS * WORD) as usize);
        context.bytes_mut(0, bytes.len()).copy_from_slice(&bytes);
        let region = context.region(0, (MOST_ARGUMENTS * WORD) as usize, false);
        let region = region.with_kind(Kind::Memory);
        let scene = Scene {
            memory: Some(region),
            world: Some(Arc::new(world)),
            sequence: Some(self.sequence.clone()),
            ..scene(self.event)
        };
        let mut workspace = Workspace::new(self.machine, Place::Nothing)?;
        let arguments = [region.pointer(0), Value::UNINIT];
        Ok(workspace.run(self.machine.how(), self.program, arguments, scene, 1)?)
    }
}

/// Runs the program: on the words of the event's context, if it has one, else on what there is to
/// walk over.
///
/// # Errors
/// `E2BIG` for a context with too many words, and for more text of one object than fits.
pub(super) fn run(
    machine: &Machine,
    program: &Arc<Program>,
    event: &Event<'_>,
) -> Result<After, Refused> {
    if event.context.len() > (MOST_ARGUMENTS * WORD) as usize {
        return Err(Errno::E2BIG.into());
    }
    let world = event.world.clone().unwrap_or_else(|| machine.env.world());
    let found = machine.env.kernel_types().and_then(|types| target(types, program));
    let (name, words) = found.unwrap_or(("", 1));
    let mut given: Vec<[u64; MOST_ARGUMENTS as usize]> = Vec::new();
    let own = |object| {
        let mut words = [0; MOST_ARGUMENTS as usize];
        (words[0], words[1]) = (META, object);
        words
    };
    match event.context {
        [] => given.extend(objects(name, &world).into_iter().chain([0]).map(own)),
        context => {
            let mut words = [0; MOST_ARGUMENTS as usize];
            for (word, bytes) in words.iter_mut().zip(context.chunks(WORD as usize)) {
                let mut all = [0; WORD as usize];
                all[..bytes.len()].copy_from_slice(bytes);
                *word = u64::from_ne_bytes(all);
            }
            if words[0] == 0 {
                words[0] = META;
            }
            given.push(words);
        }
    }
    let sequence = Arc::new(Sequence::default());
    let walk = Walk { machine, program, event, world, sequence };
    let (mut data, mut last) = (Vec::new(), (Outcome::Returned(0), event.call));
    for (number, of) in (0..).zip(&given) {
        last = walk.show(of, number)?;
        let printed = walk.sequence.take().ok_or(Errno::E2BIG)?;
        // Who returns something else asks for the same object again: the walk is over.
        match last.0 {
            Outcome::Returned(0) => data.extend(printed),
            _ => break,
        }
    }
    let (outcome, call) = last;
    let bytes = (words as u32).min(MOST_ARGUMENTS) * WORD;
    let mut context = event.context.to_vec();
    context.resize(context.len().max(bytes as usize), 0);
    Ok(After { outcome, context, data, retval: call.retval })
}
