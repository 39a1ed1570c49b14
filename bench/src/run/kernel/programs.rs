//! Programs that need a kernel around them: our own in `programs/kernel` on one packet,
//! and Debian's XDP objects on a sample of a capture. Nothing is timed before both
//! kernels agree on verdicts, packets, records and maps.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use skep::abi::ProgType;
use skep::load::capture::Reader;
use skep::load::relocate;
use skep::vm::jit::Checks;
use skep::{Kernel, Linux, Object, Target, Vm};

use super::side::{Side, difference};
use crate::run::measure::{median, turns};
use crate::run::peers::{Engine, LowMemory};

/// One program's figures.
pub struct Row {
    pub name: String,
    /// Median nanoseconds of a run.
    pub linux: f64,
    pub skep: f64,
    /// What ran it here: `elided`, `guarded`, or `interpreted`.
    pub how: &'static str,
    pub insns: usize,
}

impl Row {
    /// Our time by Linux's.
    pub fn over(&self) -> f64 {
        self.skep / self.linux
    }
}

/// Where a Debian package keeps XDP objects.
const DEBIAN: &str = "/usr/lib/x86_64-linux-gnu/bpf";
/// The recorded traffic, and how many packets of it are taken, evenly spread.
const CAPTURE: &str = "../examples/mixed.pcapng";
const SAMPLE: usize = 8;
/// Sizes that TEST_RUN takes.
const SIZES: std::ops::RangeInclusive<usize> = 34..=3520;
/// How often a program runs before each comparison; on recorded traffic once, since a
/// repeated run of XDP has Linux wait for all CPUs before and after.
const COMPARED: [u32; 3] = [1, 2, 300];

/// Compiles a program of the suite with its types; gives the object.
pub fn compile(source: &Path, target: &Path) -> Result<PathBuf> {
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let object = target.join(format!("{stem}.bpf.o"));
    let output = Command::new("clang-19")
        .args(["-O2", "--target=bpf", "-mcpu=v3", "-g", "-Wall", "-c"])
        .arg(format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH))
        .arg(source)
        .arg("-o")
        .arg(&object)
        .output()
        .context("clang-19")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(object)
}

/// A TCP segment of a connection, 128 bytes, with right checksums.
pub fn packet() -> Vec<u8> {
    let mut packet = vec![0; 128];
    packet[..14].copy_from_slice(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    let (ip, tcp) = packet[14..].split_at_mut(20);
    ip.copy_from_slice(&[
        0x45, 0, 0, 114, 0x12, 0x34, 0x40, 0, 64, 6, 0, 0, 192, 0, 2, 10, 198, 51, 100, 20,
    ]);
    tcp[..20].copy_from_slice(&[
        0x9c, 0x40, 1, 0xbb, 1, 2, 3, 4, 5, 6, 7, 8, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0,
    ]);
    for (at, byte) in tcp[20..].iter_mut().enumerate() {
        *byte = at as u8;
    }
    let pseudo = sum(&ip[12..20]) + 6 + tcp.len() as u32;
    let (ip_sum, tcp_sum) = (fold(sum(ip)), fold(sum(tcp) + pseudo));
    ip[10..12].copy_from_slice(&ip_sum);
    tcp[16..18].copy_from_slice(&tcp_sum);
    packet
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum()
}

fn fold(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    (!((once & 0xffff) + (once >> 16)) as u16).to_be_bytes()
}

/// Measures one program of an object on some packets.
pub fn measure(object: &Object, program: &str, packets: &[Vec<u8>], times: usize) -> Result<Row> {
    let linux: Arc<dyn Kernel> = Arc::new(Linux::new());
    let target = Target::of(&*linux);
    let linked = relocate(object, &target)?;
    let vm = Arc::new(Vm::new());
    let kernel: Arc<dyn Kernel> = vm.clone();
    let side = |kernel| Side::new(&linked, &target, kernel, program, packets);
    let (mut judge, mut ours) = (side(&linux).context("Linux")?, side(&kernel)?);
    let compared = if packets.len() == 1 { &COMPARED[..] } else { &COMPARED[..1] };
    for &repeat in compared {
        if let Some(what) = difference(&judge.traces(repeat)?, &ours.traces(repeat)?) {
            bail!("after {repeat} more runs: {what}");
        }
    }
    let loaded = ours.fd().and_then(|fd| vm.program(fd).ok()).context("the program is gone")?;
    let how = match loaded.checks() {
        Some(Checks::Elided) => "elided",
        Some(Checks::Guarded) => "guarded",
        None => "interpreted",
    };
    let mut engines: Vec<Option<Box<dyn Engine>>> =
        vec![Some(Box::new(judge)), Some(Box::new(ours))];
    let all = turns(&mut engines, &LowMemory::new()?, times);
    let time = |at: usize| median(&all[at]).context("another verdict than Linux's");
    let insns = linked.programs.iter().map(|program| program.insns.len()).sum();
    Ok(Row { name: program.to_owned(), linux: time(0)?, skep: time(1)?, how, insns })
}

/// Packets of the recorded traffic.
pub fn sample() -> Result<Vec<Vec<u8>>> {
    let mut reader = Reader::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURE))?;
    let mut all = Vec::new();
    while let Some(packet) = reader.next_packet()? {
        if SIZES.contains(&packet.data.len()) {
            all.push(packet.data.to_vec());
        }
    }
    let step = (all.len() / SAMPLE).max(1);
    Ok(all.into_iter().step_by(step).take(SAMPLE).collect())
}

/// The XDP programs of Debian's packages: file's stem, object with that program only, its
/// name.
pub fn recorded() -> Result<Vec<(String, Object, String)>> {
    let Ok(entries) = std::fs::read_dir(DEBIAN) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> =
        entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    let mut programs = Vec::new();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|it| it == "o")) {
        let object = Object::open(path)?;
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        for def in object.programs.iter().filter(|def| def.prog_type == Some(ProgType::Xdp)) {
            let mut alone = object.clone();
            alone.select(|other| other.name == def.name);
            programs.push((format!("{stem}: {}", def.name), alone, def.name.clone()));
        }
    }
    Ok(programs)
}
