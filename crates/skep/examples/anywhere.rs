//! The same program in user space or, as root, in the running Linux: what stands above a
//! [`Kernel`] cannot tell which it is.
//!
//! `cargo run -p skep --example anywhere [embedded|linux]`

use std::sync::Arc;

use skep::{Kernel, Object, Vm};

const HELLO: &[u8] = include_bytes!("hello.bpf.o");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kernel: Arc<dyn Kernel> = match std::env::args().nth(1).as_deref() {
        #[cfg(target_os = "linux")]
        Some("linux") => Arc::new(skep::Linux::new()),
        _ => Arc::new(Vm::new()),
    };
    let skep = Object::parse("hello.bpf.o", HELLO)?.load(&kernel)?;
    skep.set_global("packets", &39u64)?;
    let program = skep.program("hello").ok_or("no such program")?;
    for len in [60, 61, 62] {
        let ran = program.run(&vec![0; len])?;
        println!("{} bytes: returned {}", ran.packet.len(), ran.retval);
    }
    println!("{}: {} packets", kernel.name(), skep.global::<u64>("packets")?);
    Ok(())
}
