//! Settings of a script: the `config` block, and variables of the environment.

use super::kind::StackMode;

/// All settings with their values.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "the names are those of the settings")]
pub struct Config {
    pub cache_user_symbols: CacheUserSymbols,
    pub cpp_demangle: bool,
    pub lazy_symbolication: bool,
    pub license: &'static str,
    pub log_size: u64,
    pub max_bpf_progs: u64,
    pub max_cat_bytes: u64,
    pub max_map_keys: u64,
    pub max_probes: u64,
    pub max_strlen: u64,
    pub missing_probes: MissingProbes,
    pub on_stack_limit: u64,
    /// 0: chosen from the memory there is.
    pub perf_rb_pages: u64,
    pub print_maps_on_exit: bool,
    pub show_debug_info: bool,
    pub stack_mode: StackMode,
    pub str_trunc_trailer: String,
    pub unstable_import_statement: Unstable,
    pub unstable_tseries: Unstable,
    pub unstable_typeinfo: Unstable,
    pub unstable_dw_ustack: Unstable,
    pub use_blazesym: bool,
}

/// How symbols of processes are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the values")]
pub enum CacheUserSymbols {
    #[default]
    PerPid,
    PerProgram,
    None,
}

/// What a probe that is not there means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the values")]
pub enum MissingProbes {
    #[default]
    Error,
    Warn,
    Ignore,
}

/// What the use of an unstable feature means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names are those of the values")]
pub enum Unstable {
    Enable,
    #[default]
    Warn,
    Error,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            cache_user_symbols: CacheUserSymbols::default(),
            cpp_demangle: true,
            lazy_symbolication: false,
            license: "GPL",
            log_size: 1_000_000,
            max_bpf_progs: 1024,
            max_cat_bytes: 10240,
            max_map_keys: 4096,
            max_probes: 1024,
            max_strlen: 1024,
            missing_probes: MissingProbes::default(),
            on_stack_limit: 32,
            perf_rb_pages: 0,
            print_maps_on_exit: true,
            show_debug_info: true,
            stack_mode: StackMode::default(),
            str_trunc_trailer: "..".to_owned(),
            unstable_import_statement: Unstable::Warn,
            unstable_tseries: Unstable::Warn,
            unstable_typeinfo: Unstable::Enable,
            unstable_dw_ustack: Unstable::Warn,
            use_blazesym: true,
        }
    }
}
