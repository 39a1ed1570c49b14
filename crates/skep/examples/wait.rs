//! Waiting for a ring buffer's records without spinning: its event is a file descriptor
//! for `poll`, `epoll`, or the loop of an async runtime (tokio's `AsyncFd`).
//!
//! `cargo run -p skep --example wait`

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::sync::Arc;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use skep::load::capture::Reader;
    use skep::{Kernel, Object, Vm};

    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let kernel: Arc<dyn Kernel> = Arc::new(Vm::new());
    let mut object = Object::open(format!("{folder}/syn_guard.bpf.o"))?;
    object.set_global("syn_limit", &0u32)?;
    let skep = object.load(&kernel)?;
    let program = skep.program("syn_guard").ok_or("no such program")?.clone();
    let packets = std::thread::spawn(move || -> Result<(), String> {
        let mut capture =
            Reader::open(format!("{folder}/mixed.pcapng")).map_err(|e| e.to_string())?;
        for _ in 0..200 {
            let Some(packet) = capture.next_packet().map_err(|e| e.to_string())? else { break };
            // What BPF_PROG_TEST_RUN takes.
            if (15..=1514).contains(&packet.data.len()) {
                program.run(packet.data).map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    });
    let mut alerts = skep.ring_buffer("alerts")?;
    let mut records = 0;
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    loop {
        let is_over = packets.is_finished();
        let ready = poll(&mut [PollFd::new(&alerts.event()?, PollFlags::IN)], Some(&second))?;
        match ready {
            0 if is_over => break,
            _ => records += alerts.by_ref().count(),
        }
    }
    packets.join().map_err(|_| "the sender panicked")??;
    println!("{records} alerts");
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the embedded kernel has no descriptors to wait for on this system");
}
