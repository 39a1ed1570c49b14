//! What each CO-RE record of an object resolves to:
//! `cargo run -p skep-btf --example relocations OBJECT [BTF-FILE]`.

use std::sync::Arc;

use object::{Object, ObjectSection};
use skep_btf::core::{Access, Resolved, Resolver, Targets};
use skep_btf::{Btf, Ext};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: relocations OBJECT [BTF-FILE]")?;
    let target = arguments.next().unwrap_or("/sys/kernel/btf/vmlinux".into());
    let local = section(&path, ".BTF")?.ok_or("the object has no .BTF")?;
    let local = Btf::parse(local)?;
    let Some(ext) = section(&path, ".BTF.ext")? else {
        return Ok(());
    };
    let ext = Ext::parse(&ext, &local)?;
    let kernel = match section(&target, ".BTF") {
        Ok(Some(bytes)) => bytes,
        _ => std::fs::read(&target)?,
    };
    let targets = Targets::new(Arc::new(Btf::parse(kernel)?));
    let mut resolver = Resolver::new(&local, &targets);
    for section in &ext.core_relos {
        println!("section {}", local.string(section.name_off)?);
        for record in &section.records {
            print!("{:>5} {} => ", record.insn_off / 8, resolver.describe(record));
            match resolver.resolve(record) {
                Ok(Resolved::Patch(patch)) => {
                    print!("{}", patch.value);
                    match patch.access {
                        Access::Keep => println!(),
                        Access::Resize { from, to } => println!(", load {to} bytes for {from}"),
                        Access::Forbidden => println!(", poison if it loads"),
                    }
                }
                Ok(Resolved::Poison(_)) => println!("poison"),
                Err(error) => println!("error: {error}"),
            }
        }
    }
    Ok(())
}

fn section(path: &str, name: &str) -> Result<Option<Vec<u8>>, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let file = object::File::parse(&*bytes)?;
    Ok(match file.section_by_name(name) {
        Some(section) => Some(section.data()?.to_vec()),
        None => None,
    })
}
