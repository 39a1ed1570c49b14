//! A layer before a kernel answers with a number that the kernel did not give: nobody
//! comes to own, and so to close, what is another's.

use std::io::Read;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use skep::Errno;
use skep::sys::{Below, Between, Command, Fd, Kernel, Layer};
use skep::vm::Vm;

use crate::tools;

struct Forger(i32);

impl Between for Forger {
    fn bpf(&self, _below: &Below<'_>, _command: &mut Command<'_>) -> Result<u32, Errno> {
        Ok(self.0 as u32)
    }
}

/// Gives a file's number for a map's.
pub fn main() {
    let file = std::fs::File::open("/proc/self/stat").unwrap();
    let below: Vec<Arc<dyn Kernel>> =
        [Some(Arc::new(Vm::with_cpus(1)) as Arc<dyn Kernel>), tools::linux()]
            .into_iter()
            .flatten()
            .collect();
    for kernel in below {
        let layer: Arc<dyn Kernel> = Arc::new(Layer::new(kernel, Forger(file.as_raw_fd())));
        assert_eq!(Fd::open(&layer, &mut tools::creating(2, 8, 1, 0)).err(), Some(Errno::EBADF));
    }
    let mut text = String::new();
    (&file).read_to_string(&mut text).expect("it is still open");
}
