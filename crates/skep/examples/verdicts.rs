//! Linux's verdicts on the programs of an object, without a kernel.
//!
//! `cargo run -p skep --example verdicts [OBJECT]`

use skep::judge;
use skep::verify::{Env, Log, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/hello.bpf.o").to_owned();
    let file = std::env::args().nth(1).unwrap_or(own);
    let object = skep::Object::open(file)?;
    let target = skep::Target::new(Default::default());
    let linked = skep::load::relocate(&object, &target)?;
    let env = Env { vmlinux: target.kernel_btf().ok().cloned(), ..Env::default() };
    for program in judge::programs(&linked, &target) {
        match verify(&program, &env, &mut Log::silent()) {
            Ok(verified) => println!("{}: {:?}", program.name, verified.counts()),
            Err(error) => println!("{}: {error}", program.name),
        }
    }
    Ok(())
}
