//! Paths of files (`fs/bpf_fs_kfuncs.c`).

use skep_abi::Errno;
use skep_abi::kfunc::id;
use skep_isa::Reg;

use super::{Arg, Entry, word};
use crate::helpers::path::path_at;
use crate::memory::value::Value;
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] =
    &[(id::PATH_D_PATH, d_path, &[Arg::Number, Arg::Memory, Arg::Number])];

/// `bpf_path_d_path(path, buffer, len)`: gives the length with its zero.
fn d_path(run: &mut Run<'_>) -> Result<Value, Stop> {
    const NAME: &str = "bpf_path_d_path";
    let address = run.read(Reg::R1)?.bits;
    let room = run.size_argument(Reg::R3)?;
    if room == 0 {
        return Ok(word(-Errno::EINVAL.0));
    }
    run.writable_argument(NAME, Reg::R2, room)?;
    match path_at(run, address, room as usize) {
        Ok(path) => {
            run.write_argument(NAME, Reg::R2, &path)?;
            Ok(word(path.len() as i32))
        }
        Err(errno) => Ok(word(-errno.0)),
    }
}
