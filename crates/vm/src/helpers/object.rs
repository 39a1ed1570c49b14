//! Pointers that fields own (`__kptr`), and objects that each CPU has one of.

use skep_abi::helper::id;
use skep_isa::{Reg, Size};

use super::Function;
use crate::memory::value::Value;
use crate::run::{Run, Stop, describe};

pub(super) const FUNCTIONS: &[(u32, Function)] =
    &[(id::PER_CPU_PTR, per_cpu), (id::THIS_CPU_PTR, this_cpu), (id::KPTR_XCHG, exchange)];

impl Run<'_> {
    /// An address in an object of the heap, as a pointer to it; a number where it is in none.
    pub(crate) fn object_pointer(&self, address: u64) -> Value {
        let region = self.env.heap.object(address);
        region.map_or(Value::scalar(address), |region| region.value(address))
    }

    /// The run owns what starts there from now on.
    pub(crate) fn own_object(&mut self, address: u64) {
        let heap = self.env.heap.clone();
        self.held.rare().owned.take(&heap, address);
    }

    /// The run owns it no more.
    pub(crate) fn give_object(&mut self, address: u64) -> bool {
        self.held.rare().owned.give(address)
    }
}

/// `bpf_kptr_xchg(field, pointer)`: gives what the field held.
fn exchange(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_kptr_xchg";
    let field = run.memory_argument(NAME, Reg::R1, 8, true)?;
    let new = run.read(Reg::R2)?.bits;
    if new != 0 {
        run.give_object(new);
    }
    let old = run.env.heap.exchange(field.bits, new);
    let wrong = |fault| describe(fault, field, Reg::R1.number(), 0, 8, true);
    field.store(0, Size::DW, new).map_err(wrong)?;
    if old != 0 {
        run.own_object(old);
    }
    Ok(run.object_pointer(old))
}

/// `bpf_per_cpu_ptr(pointer, cpu)`: null for a CPU that there is none of.
fn per_cpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cpu = run.read(Reg::R2)?.bits as u32;
    of_cpu(run, cpu)
}

/// `bpf_this_cpu_ptr(pointer)`.
fn this_cpu(run: &mut Run<'_>) -> Result<Value, Stop> {
    let cpu = run.cpu();
    of_cpu(run, cpu)
}

fn of_cpu(run: &mut Run<'_>, cpu: u32) -> Result<Value, Stop> {
    let pointer = run.read(Reg::R1)?;
    if cpu >= run.env.cpus() {
        return Ok(Value::scalar(0));
    }
    Ok(match run.env.heap.of_cpu(pointer.bits, cpu) {
        Some(region) => region.pointer(0),
        // A variable of the kernel's, of which all CPUs have the same: none.
        None => pointer,
    })
}
