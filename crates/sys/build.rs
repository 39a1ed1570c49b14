//! Builds the agent of `host/tree`: what runs in traced processes, as one block of bytes.
//!
//! The compiler makes an object of it; the few relocations between its own parts are applied
//! here. Whatever it would need from elsewhere (a panic, a library, a writable static) is an
//! error of the build.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use object::elf::{
    R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_PC32, R_X86_64_PC64, R_X86_64_PLT32, SHF_ALLOC,
    SHF_EXECINSTR, SHF_WRITE,
};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionFlags,
    SectionIndex,
};

const SOURCES: &str = "src/host/tree/agent";

fn main() {
    println!("cargo:rerun-if-changed={SOURCES}");
    println!("cargo:rerun-if-changed=src/host/tree/layout.rs");
    println!("cargo:rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|v| v == value);
    if !is("CARGO_CFG_TARGET_OS", "linux") || !is("CARGO_CFG_TARGET_ARCH", "x86_64") {
        return;
    }
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    let object = out.join("agent.o");
    compile(&object);
    let bytes = fs::read(&object).expect("the compiler has written the object");
    let agent = link(&bytes).unwrap_or_else(|error| panic!("linking the agent: {error}"));
    fs::write(out.join("agent.bin"), agent).expect("OUT_DIR can be written");
}

/// Compiles it for the plain machine: flags of the build (coverage, sanitizers, a newer CPU)
/// are not for code that runs in others' processes.
fn compile(object: &Path) {
    let rustc = env::var_os("RUSTC").expect("cargo sets RUSTC");
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let status = Command::new(rustc)
        .env_remove("RUSTFLAGS")
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "agent"])
        .args(["--emit", "obj", "--target", &target])
        .args(["-C", "opt-level=s", "-C", "panic=abort", "-C", "codegen-units=1"])
        .args(["-C", "relocation-model=pic", "-C", "force-unwind-tables=no"])
        .args(["-C", "debug-assertions=no", "-C", "overflow-checks=no"])
        .args(["-C", "target-cpu=x86-64", "-C", "no-vectorize-loops", "-C", "no-vectorize-slp"])
        .arg("-o")
        .arg(object)
        .arg(format!("{SOURCES}/main.rs"))
        .status()
        .expect("the compiler can be started");
    assert!(status.success(), "the agent does not compile");
}

/// Where the page of thunks lies (`layout::THUNKS`), and where the tables begin.
const THUNKS: u64 = 0x8000;
const TABLES: u64 = 0x9000;

/// Lays the sections out and applies the relocations.
fn link(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let mut sections: Vec<_> = file
        .sections()
        .filter(|section| {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                return false;
            };
            // Tables for unwinding are of no use where nobody looks for them.
            let tables = section.name().is_ok_and(|name| name == ".eh_frame");
            sh_flags.0 & SHF_ALLOC.0 != 0 && section.size() != 0 && !tables
        })
        .collect();
    let rank = |name: &str| match name {
        ".text.first" => 0,
        ".text.thunks" => 3,
        name if name.starts_with(".text") => 1,
        _ => 2,
    };
    sections.sort_by_key(|section| rank(section.name().unwrap_or_default()));
    let (mut image, mut placed) = (Vec::new(), HashMap::<SectionIndex, u64>::new());
    for section in &sections {
        let name = section.name().map_err(|error| error.to_string())?;
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if sh_flags.0 & SHF_WRITE.0 != 0 {
            return Err(format!("{name} is writable"));
        }
        let code = sh_flags.0 & SHF_EXECINSTR.0 != 0;
        if !code && !name.starts_with(".rodata") {
            return Err(format!("{name} is neither code nor constants"));
        }
        let mut at = (image.len() as u64).next_multiple_of(section.align().max(1));
        if rank(name) == 3 {
            if at > THUNKS {
                return Err(format!("{at} bytes, with room for {THUNKS}"));
            }
            at = THUNKS;
        }
        image.resize(at as usize, if code { 0xcc } else { 0 });
        image.extend(section.data().map_err(|error| error.to_string())?);
        placed.insert(section.index(), at);
    }
    if image.len() as u64 > TABLES {
        return Err(format!("{} bytes, with room for {TABLES}", image.len()));
    }
    for section in &sections {
        let base = placed[&section.index()];
        for (offset, relocation) in section.relocations() {
            let at = base + offset;
            let RelocationTarget::Symbol(symbol) = relocation.target() else {
                return Err("a relocation that names no symbol".into());
            };
            let symbol = file.symbol_by_index(symbol).map_err(|error| error.to_string())?;
            let name = symbol.name().unwrap_or_default();
            let home = symbol.section_index().and_then(|index| placed.get(&index));
            let Some(home) = home else {
                return Err(format!("it needs {name}, which it does not have"));
            };
            let value = home + symbol.address();
            let RelocationFlags::Elf { r_type } = relocation.flags() else {
                return Err("no relocation of ELF".into());
            };
            let distance = value.wrapping_add(relocation.addend() as u64).wrapping_sub(at) as i64;
            let size = match r_type {
                R_X86_64_PC32 | R_X86_64_PLT32 => 4,
                R_X86_64_PC64 => 8,
                // `call *memset@GOTPCREL(%rip)` becomes `addr32 call memset`, as long as it.
                R_X86_64_GOTPCREL | R_X86_64_GOTPCRELX => {
                    let call = image.get_mut(at as usize - 2..at as usize);
                    match call {
                        Some(bytes) if bytes == [0xff, 0x15] => {
                            bytes.copy_from_slice(&[0x67, 0xe8]);
                        }
                        _ => return Err(format!("an address of {name} in a table")),
                    }
                    4
                }
                other => return Err(format!("relocation {other} to {name}")),
            };
            let to = image
                .get_mut(at as usize..at as usize + size)
                .ok_or("a relocation outside of its section")?;
            to.copy_from_slice(&distance.to_le_bytes()[..size]);
        }
    }
    Ok(image)
}
