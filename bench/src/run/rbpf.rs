//! rbpf, whose Cranelift back end takes long to build: only benches are built with it
//! (feature `peers`, which `cargo xtask bench` sets). Without it there is no such engine.

use anyhow::Result;

use super::peers::{Engine, LowMemory};

/// Which engine of rbpf.
#[derive(Clone, Copy)]
pub enum RbpfEngine {
    Interpreter,
    Jit,
    Cranelift,
}

/// rbpf.
pub struct Rbpf<'c> {
    #[cfg(feature = "peers")]
    vm: rbpf::EbpfVmRaw<'c>,
    engine: RbpfEngine,
    #[cfg(not(feature = "peers"))]
    code: std::marker::PhantomData<&'c [u8]>,
}

#[cfg(feature = "peers")]
impl<'c> Rbpf<'c> {
    pub fn new(code: &'c [u8], engine: RbpfEngine) -> Result<Rbpf<'c>> {
        let mut vm = rbpf::EbpfVmRaw::new(Some(code))?;
        match engine {
            RbpfEngine::Interpreter => {}
            RbpfEngine::Jit => vm.jit_compile()?,
            RbpfEngine::Cranelift => vm.cranelift_compile()?,
        }
        Ok(Rbpf { vm, engine })
    }
}

#[cfg(feature = "peers")]
impl Engine for Rbpf<'_> {
    fn once(&mut self, memory: &LowMemory) -> u32 {
        let bytes = memory.bytes();
        let result = match self.engine {
            RbpfEngine::Interpreter => self.vm.execute_program(bytes),
            // SAFETY: Linux's verifier takes these programs.
            RbpfEngine::Jit => unsafe { self.vm.execute_program_jit(bytes) },
            RbpfEngine::Cranelift => self.vm.execute_program_cranelift(bytes),
        };
        result.map_or(u32::MAX - 1, |r0| r0 as u32)
    }
}

#[cfg(not(feature = "peers"))]
impl<'c> Rbpf<'c> {
    pub fn new(_code: &'c [u8], engine: RbpfEngine) -> Result<Rbpf<'c>> {
        let rbpf = Rbpf { engine, code: std::marker::PhantomData };
        anyhow::bail!("{} was built without its peers", rbpf.name())
    }

    fn name(&self) -> &'static str {
        match self.engine {
            RbpfEngine::Interpreter => "rbpf's interpreter",
            RbpfEngine::Jit => "rbpf's JIT",
            RbpfEngine::Cranelift => "rbpf's Cranelift back end",
        }
    }
}

#[cfg(not(feature = "peers"))]
impl Engine for Rbpf<'_> {
    fn once(&mut self, _memory: &LowMemory) -> u32 {
        u32::MAX - 1
    }
}
