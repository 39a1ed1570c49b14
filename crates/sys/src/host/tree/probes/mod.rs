//! Where functions are probed, laid out for the agent: for each file its thunks, and which
//! bytes become jumps to them.
//!
//! ```text
//! Wish (file, offset, what) -- file: segments, symbols -- site: what is covered -- thunk -- Laid
//! ```
//! A jump takes five bytes. What it covers is moved into the thunk (`thunk`), where nothing else
//! can come to the middle of it (`site`); else a breakpoint takes one byte, and what it covers is
//! one instruction.

mod file;
mod site;
mod thunk;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::layout::{Module, Patch, Probes, RETURNS, TRAPS, probe};
use file::File;

/// What is wanted of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Watch {
    /// Its calls are events.
    pub entry: bool,
    /// Its returns are.
    pub ret: bool,
    /// With registers.
    pub registers: bool,
    /// With the last 8 KiB of the stack, so that calls can be followed.
    pub stack: bool,
    /// With 512 bytes behind arguments that are addresses, a bit each.
    pub memory: u8,
    /// The same of the result.
    pub result: bool,
}

impl Watch {
    /// Both.
    #[must_use]
    pub fn and(self, other: Watch) -> Watch {
        Watch {
            entry: self.entry | other.entry,
            ret: self.ret | other.ret,
            registers: self.registers | other.registers,
            stack: self.stack | other.stack,
            memory: self.memory | other.memory,
            result: self.result | other.result,
        }
    }

    fn bits(self, number: u32) -> u32 {
        let flag = |wanted: bool, bit: u32| if wanted { bit } else { 0 };
        let memory = u32::from(self.memory & 0x3f) * probe::MEMORY;
        let more = self.stack || memory != 0 || self.result;
        number & probe::NUMBER
            | flag(self.entry, probe::ENTRY)
            | flag(self.ret, probe::RETURN)
            | flag(self.registers || more, probe::REGISTERS)
            | flag(self.stack, probe::STACK)
            | flag(self.result, probe::RESULT)
            | memory
    }
}

/// A place of a file that is probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wish {
    /// The file.
    pub file: PathBuf,
    /// Where in it.
    pub offset: u64,
    /// What is wanted.
    pub watch: Watch,
}

/// What the agent is given.
#[derive(Default)]
pub struct Laid {
    /// As `layout::Probes` begins it; empty where there is nothing.
    pub bytes: Vec<u8>,
    /// What cannot be probed, and why.
    pub refused: Vec<(u32, String)>,
}

/// Most places: what their numbers can say.
const MOST: usize = probe::NUMBER as usize;
const PAGE: usize = 4096;

/// A file's part, before it has its place among the others.
pub(super) struct Part {
    pub identity: (u64, u64),
    pub entry: u64,
    pub area: u64,
    pub image: Vec<u8>,
    pub near: Vec<u32>,
    pub far: Vec<u32>,
    pub patches: Vec<Patch>,
    pub traps: bool,
}

/// Lays wishes out; they are known by their places in the list.
///
/// # Errors
/// A file that cannot be read, or is no program or library of this machine's.
pub fn lay(wishes: &[Wish]) -> io::Result<Laid> {
    if wishes.len() > MOST {
        let why = format!("{} functions, with room for {MOST}", wishes.len());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let mut by_file: BTreeMap<&Path, Vec<(u32, &Wish)>> = BTreeMap::new();
    for (number, wish) in (0..).zip(wishes) {
        by_file.entry(&wish.file).or_default().push((number, wish));
    }
    let (mut parts, mut refused) = (Vec::new(), Vec::new());
    for (path, wishes) in by_file {
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let file = File::read(path).map_err(named)?;
        parts.push(part(&file, &wishes, &mut refused));
    }
    parts.retain(|part| !part.patches.is_empty());
    let returns = wishes.iter().any(|wish| wish.watch.ret);
    Ok(Laid { bytes: join(&parts, returns), refused })
}

/// One file's.
fn part(file: &File, wishes: &[(u32, &Wish)], refused: &mut Vec<(u32, String)>) -> Part {
    let mut places: Vec<(u64, u64, u32, Watch)> = Vec::new();
    for &(number, wish) in wishes {
        let address = file.address(wish.offset);
        match address {
            _ if wish.watch.ret && file.go => refused.push((
                number,
                "Go moves its stacks: returns of its functions cannot be seen".into(),
            )),
            Some(address) => places.push((address, wish.offset, number, wish.watch)),
            None => {
                refused.push((number, format!("{:#x} is none of the file's code", wish.offset)))
            }
        }
    }
    places.sort_by_key(|&(address, ..)| address);
    let addresses: Vec<u64> = places.iter().map(|place| place.0).collect();
    let targets = site::targets(file, &addresses);
    let area = file.area();
    let mut part = Part {
        identity: file.identity,
        entry: file.entry,
        area,
        // The addresses of the agent's two functions.
        image: vec![0; 16],
        near: Vec::new(),
        far: Vec::new(),
        patches: Vec::new(),
        traps: false,
    };
    for (address, offset, number, watch) in places {
        let placed = site::at(file, address, &targets, &addresses)
            .and_then(|site| thunk::add(&mut part, &site, watch.bits(number)).map(|at| (site, at)));
        match placed {
            Ok((site, thunk)) => {
                part.traps |= site.len == 1;
                let old = site.old;
                part.patches.push(Patch { offset, address, thunk, len: site.len, old });
            }
            Err(why) => refused.push((number, why)),
        }
    }
    part.image.resize(part.image.len().next_multiple_of(PAGE), 0xcc);
    part
}

/// All of them, one behind the other.
fn join(parts: &[Part], returns: bool) -> Vec<u8> {
    if parts.is_empty() {
        return Vec::new();
    }
    let mut at = size_of::<Probes>() + size_of_val(parts) / size_of::<Part>() * size_of::<Module>();
    let (mut modules, mut rest) = (Vec::new(), Vec::new());
    let begin = at;
    for part in parts {
        let mut add = |bytes: Vec<u8>| {
            let place = at;
            at += bytes.len().next_multiple_of(16);
            rest.extend(bytes);
            rest.resize(at - begin, 0);
            place as u32
        };
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let module = Module {
            device: part.identity.0,
            inode: part.identity.1,
            entry: part.entry,
            area: part.area,
            image_len: part.image.len() as u32,
            near_count: part.near.len() as u32,
            far_count: part.far.len() as u32,
            patch_count: part.patches.len() as u32,
            image: add(part.image.clone()),
            near: add(words(&part.near)),
            far: add(words(&part.far)),
            patches: add(part.patches.iter().flat_map(patch_bytes).collect()),
        };
        modules.push(module);
    }
    let traps = parts.iter().any(|part| part.traps);
    let flags = if traps { TRAPS } else { 0 } | if returns { RETURNS } else { 0 };
    let len = (begin + rest.len()).next_multiple_of(PAGE);
    let mut bytes = Vec::with_capacity(len);
    bytes.extend((len as u64).to_le_bytes());
    bytes.extend((parts.len() as u32).to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(modules.iter().flat_map(module_bytes));
    bytes.extend(rest);
    bytes.resize(len, 0);
    bytes
}

fn patch_bytes(of: &Patch) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of::<Patch>());
    bytes.extend(of.offset.to_le_bytes());
    bytes.extend(of.address.to_le_bytes());
    bytes.extend(of.thunk.to_le_bytes());
    bytes.extend(of.len.to_le_bytes());
    bytes.extend(of.old);
    bytes
}

fn module_bytes(of: &Module) -> Vec<u8> {
    let longs = [of.device, of.inode, of.entry, of.area];
    let words = [
        of.image,
        of.image_len,
        of.near,
        of.near_count,
        of.far,
        of.far_count,
        of.patches,
        of.patch_count,
    ];
    let longs = longs.iter().flat_map(|long| long.to_le_bytes());
    longs.chain(words.iter().flat_map(|word| word.to_le_bytes())).collect()
}
