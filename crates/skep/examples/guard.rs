//! A SYN-flood guard on a capture, in the embedded kernel: set a variable, load, replay,
//! read its alerts while it runs, and walk over its counts. A test counts the lines from
//! `fn main` on: this whole job takes at most 20.
//!
//! `cargo run -p skep --example guard`

use std::sync::Arc;

use skep::load::capture::Reader;
use skep::vm::hooks::PacketHook;
use skep::{ByBtf, Kernel, Object, PerCpu, Vm};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let vm = Arc::new(Vm::new());
    let mut object = Object::open(format!("{FOLDER}/syn_guard.bpf.o"))?;
    object.set_global("syn_limit", &20u32)?;
    let skep = object.load(&(vm.clone() as Arc<dyn Kernel>))?;
    let mut hook = PacketHook::new(&vm, skep.program("syn_guard").ok_or("none")?.fd().raw())?;
    let mut alerts = skep.ring_buffer("alerts")?;
    let mut capture = Reader::open(format!("{FOLDER}/mixed.pcapng"))?;
    while let Some(packet) = capture.next_packet()? {
        vm.environment().set_time(Some(packet.time));
        if packet.data.len() >= 14 {
            hook.run(packet.data)?;
        }
        for alert in alerts.records::<ByBtf<serde_json::Value>>() {
            println!("flood: {}", alert?.0);
        }
    }
    for entry in skep.typed::<u32, PerCpu<[u64; 2]>>("verdicts")?.iter() {
        println!("verdict and counts: {:?}", entry?);
    }
    Ok(())
}
