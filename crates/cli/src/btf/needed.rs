//! What objects need of a kernel's types: all that is looked at while they are judged.
//!
//! Each program is judged twice: as it is, and as if no variable were constant, so that code
//! which another value of a constant would reach is looked into, too. Programs that are not
//! loaded unless named are judged one by one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep::abi::Capabilities;
use skep::btf::{Btf, subset};
use skep::judge;
use skep::load::{Object, Target, relocate};
use skep::sys::Host;
use skep::verify::{self as verifier, Log, MapDef, MapRef};

use crate::failure::Failure;
use crate::files::in_file;
use crate::objects;
use crate::verify::{Kernel, inputs, judge as judges};

/// The part of a kernel's types, read from `file`, that these objects need.
///
/// # Errors
/// An object that cannot be read, or a folder without any.
pub fn of(file: &Path, btf: Btf, named: &[PathBuf]) -> Result<Btf, Failure> {
    let btf = Arc::new(btf.watched());
    let target = Target::new(Host::default()).with_kernel_btf(btf.clone());
    let kernel = Kernel::new(target, Capabilities::all(), file.display().to_string());
    for path in inputs::objects(named)? {
        let object = objects::open(&path)?;
        look(&path, &object, &kernel);
        for waiting in object.programs.iter().filter(|program| !program.autoload) {
            let mut alone = object.clone();
            alone.select(|program| program.name == waiting.name);
            look(&path, &alone, &kernel);
        }
    }
    let bytes = subset::of(&btf).map_err(|error| in_file(file, error))?;
    Btf::parse(bytes).map_err(|error| in_file(file, error))
}

/// Judges the programs that are loaded. What comes of it does not matter here: an object
/// without a verdict looks at what it looks at, and has none with the pack either.
fn look(path: &Path, object: &Object, kernel: &Kernel) {
    let _ = judges::object(path, object, kernel, 0);
    let Ok(linked) = relocate(object, &kernel.target) else { return };
    for program in judge::programs(&linked, &kernel.target) {
        let mut program = verifier::Program::clone(&program);
        for of in &mut program.maps {
            let map = MapDef { frozen: None, ..MapDef::clone(&of.map) };
            *of = MapRef { fd: of.fd, map: Arc::new(map) };
        }
        let _ = verifier::verify(&Arc::new(program), &kernel.env, &mut Log::silent());
    }
}
