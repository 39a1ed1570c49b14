//! How long the kernel's BTF takes: `cargo run --release -p skep-btf --example times [FILE]`.

use std::hint::black_box;
use std::time::Instant;

use skep_btf::{Btf, Kind, c, dump};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1);
    let path = path.as_deref().unwrap_or("/sys/kernel/btf/vmlinux");
    let bytes = best("read the file", || std::fs::read(path))?;
    println!("{path}: {} bytes", bytes.len());
    let btf = best("parse and check", || Btf::parse(bytes.clone()))?;
    println!("{} types", btf.len() - 1);
    let fresh = || Btf::parse(bytes.clone());
    best_of("index the names", fresh, |btf| btf.find("task_struct", Kind::Struct))?;
    best("find one name", || black_box(btf.find("task_struct", Kind::Struct)));
    best("raw dump", || dump::write_raw(&btf, &mut std::io::sink()))?;
    best("print as C", || c::write_header(&btf, &mut std::io::sink()))?;
    Ok(())
}

/// Runs `work` five times and prints the shortest.
fn best<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut shortest = f64::MAX;
    for _ in 0..4 {
        shortest = shortest.min(milliseconds(&mut work));
    }
    let start = Instant::now();
    let result = work();
    shortest = shortest.min(start.elapsed().as_secs_f64() * 1e3);
    println!("{what:<16} {shortest:>9.3} ms");
    result
}

/// Likewise, with what each run starts from made before its time starts.
fn best_of<S, T, E>(
    what: &str,
    mut prepare: impl FnMut() -> Result<S, E>,
    work: impl Fn(&S) -> T,
) -> Result<(), E> {
    let mut shortest = f64::MAX;
    for _ in 0..5 {
        let state = prepare()?;
        shortest = shortest.min(milliseconds(|| work(&state)));
    }
    println!("{what:<16} {shortest:>9.3} ms");
    Ok(())
}

fn milliseconds<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    start.elapsed().as_secs_f64() * 1e3
}
