//! `parity maps`: for each type of map, random operations by system calls, with every flag, on
//! Linux and on the embedded kernel: the same results and errnos, and the same values. The order
//! of hash tables is each kernel's own, so that of their keys only how many there are counts.

mod operation;
mod shape;

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use skep_abi::{Errno, MapType};
use skep_sys::{BtfLoad, Command, Fd, Kernel, Linux, MapCreate};
use skep_vm::Vm;

use crate::inputs::Random;
use crate::run::pin_to_cpu_0;
use operation::Operation;
use shape::Shape;

/// How much to compare.
#[derive(Args, Clone)]
pub struct Options {
    /// Operations on maps of each type
    #[arg(long, default_value_t = 100_000)]
    count: usize,
    /// Which
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only types whose name has this in it
    #[arg(long)]
    only: Option<String>,
}

impl Options {
    /// What the tests compare.
    pub fn short() -> Options {
        Options { count: 2000, seed: 1, only: None }
    }
}

/// Operations on one map, before there is another.
const ON_ONE: usize = 200;
/// Attributes of MAP_CREATE for each type, of which few make a map.
const CREATED: usize = 400;

/// A kernel, with types for its maps.
struct Side {
    kernel: Arc<dyn Kernel>,
    types: Fd,
    /// A map that others hold.
    inner: Fd,
}

/// Compares, and prints the figures. Gives whether there was no difference.
///
/// # Errors
/// A kernel that takes no types.
pub fn execute(options: &Options) -> Result<bool> {
    pin_to_cpu_0()?;
    let sides = [side(Arc::new(Linux::new()))?, side(Arc::new(Vm::new()))?];
    let (mut agree, mut all) = (0, 0);
    for &kind in MapType::ALL {
        if kind == MapType::Unspec {
            continue;
        }
        let name = kind.name();
        if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            continue;
        }
        match compare(kind, &sides, options) {
            // Those of struct_ops want a type of the kernel's for their value.
            Ok((0, _)) => println!("parity maps: {name}: not compared: no map could be made"),
            Ok((made, done)) => {
                (agree, all) = (agree + 1, all + 1);
                println!("parity maps: {name}: {made} maps, {done} operations: no difference");
            }
            Err(how) => {
                all += 1;
                println!("parity maps: {name} differs: {how}");
            }
        }
    }
    println!("parity maps: agree {agree} of {all}");
    Ok(agree == all && all > 0)
}

fn side(kernel: Arc<dyn Kernel>) -> Result<Side> {
    let bytes = shape::types();
    let size = bytes.len() as u32;
    let load = BtfLoad { btf: Some(bytes.into()), btf_size: size, ..BtfLoad::default() };
    let types = Fd::open(&kernel, &mut Command::BtfLoad(load));
    let create = MapCreate {
        map_type: MapType::Array as u32,
        key_size: 4,
        value_size: 8,
        max_entries: 2,
        ..MapCreate::default()
    };
    let inner = Fd::open(&kernel, &mut Command::MapCreate(create));
    match (types, inner) {
        (Ok(types), Ok(inner)) => Ok(Side { kernel, types, inner }),
        (types, inner) => bail!("{:?} {:?}", types.err(), inner.err()),
    }
}

/// Compares maps of a type: gives how many were made, and the operations; or what differs.
fn compare(
    kind: MapType,
    sides: &[Side; 2],
    options: &Options,
) -> std::result::Result<(usize, usize), String> {
    let mut random = Random::new(options.seed ^ (kind as u64) << 32);
    let mut made = 0;
    for _ in 0..CREATED {
        let shape = Shape::any(kind, &mut random);
        made += usize::from(create(&shape, sides)?.is_some());
    }
    let mut done = 0;
    let mut idle = 0;
    while done < options.count && idle < 50 {
        let shape = Shape::usual(kind, &mut random);
        let Some(maps) = create(&shape, sides)? else {
            idle += 1;
            continue;
        };
        made += 1;
        let mut history = Vec::new();
        for _ in 0..ON_ONE.min(options.count - done) {
            let operation = Operation::any(&shape, &mut random);
            let [linux, ours] =
                [0, 1].map(|side| operation.run(&*sides[side].kernel, &maps[side], &sides[side]));
            history.push(operation.text());
            if linux != ours {
                let last = history.len().saturating_sub(12);
                return Err(format!(
                    "{}: {ours:x?}, on Linux {linux:x?}, after {}",
                    shape.text(),
                    history[last..].join("; ")
                ));
            }
            done += 1;
        }
    }
    Ok((made, done))
}

/// Makes a map on both, or on none.
fn create(shape: &Shape, sides: &[Side; 2]) -> std::result::Result<Option<[Fd; 2]>, String> {
    let make = |side: &Side| -> Result<Fd, Errno> {
        let attr = shape.attr(side.types.raw() as u32, side.inner.raw() as u32);
        Fd::open(&side.kernel, &mut Command::MapCreate(attr))
    };
    match (make(&sides[0]), make(&sides[1])) {
        (Ok(linux), Ok(ours)) => Ok(Some([linux, ours])),
        (Err(linux), Err(ours)) if linux == ours => Ok(None),
        (linux, ours) => Err(format!(
            "creating {}: {:?}, on Linux {:?}",
            shape.text(),
            ours.map(drop),
            linux.map(drop)
        )),
    }
}
