//! The `config` block and settings of the environment, read into [`Config`].

use super::ast::SettingValue;
use super::config::{CacheUserSymbols, Config, MissingProbes, Unstable};
use super::kind::StackMode;
use super::number;
use super::unit::Unit;

const PREFIX: &str = "bpftrace_";

/// Names that are no more, and what they are now.
const RENAMED: [(&str, &str); 4] = [
    ("strlen", "max_strlen"),
    ("no_cpp_demangle", "cpp_demangle"),
    ("cat_bytes_max", "max_cat_bytes"),
    ("map_keys_max", "max_map_keys"),
];

/// Names without effect.
const DEPRECATED: [&str; 3] = ["symbol_source", "max_type_res_iterations", "unstable_map_decl"];

/// Names that only the environment has.
const ENVIRONMENT: [&str; 4] = ["btf", "kernel_build", "kernel_source", "vmlinux"];

/// Licenses that programs may have.
const LICENSES: [&str; 6] =
    ["Dual MIT/GPL", "Dual BSD/GPL", "Dual MPL/GPL", "GPL and additional rights", "GPL v2", "GPL"];

/// Reads the config block, then the environment.
pub fn apply(unit: &mut Unit<'_>) {
    for setting in std::mem::take(&mut unit.settings) {
        let key = &*setting.key;
        if DEPRECATED.contains(&key) {
            let text = format!("{key} is deprecated and has no effect");
            unit.diagnostics.warning(setting.place, text);
            continue;
        }
        let plain = plain_key(key);
        let renamed = RENAMED.iter().find(|(old, _)| *old == plain);
        let now = renamed.map_or(key, |(_, now)| now);
        if let Err(why) = set(&mut unit.config, now, &setting.value) {
            unit.diagnostics.error(setting.place, why);
        } else if renamed.is_some() {
            let text = format!("{key} has been renamed, please use {now}");
            unit.diagnostics.warning(setting.place, text);
        }
    }
    for (key, value) in &unit.options.settings {
        let value = SettingValue::Text(value.clone());
        if let Err(why) = set(&mut unit.config, key, &value) {
            let place = crate::trace::place::Place::default();
            unit.diagnostics.error(place, why);
        }
    }
}

fn plain_key(key: &str) -> String {
    let lower = key.to_ascii_lowercase();
    lower.strip_prefix(PREFIX).unwrap_or(&lower).to_owned()
}

/// Sets one setting.
pub fn set(config: &mut Config, key: &str, value: &SettingValue) -> Result<(), String> {
    let says = |why: &str| Err(format!("{key}: {why}"));
    let plain = plain_key(key);
    if let Some(target) = number_of(config, &plain) {
        match to_number(value) {
            Some(number) => *target = number,
            None => return says(&format!("expecting a number, got {}", text_of(value))),
        }
        return Ok(());
    }
    if let Some(target) = truth_of(config, &plain) {
        match to_truth(value) {
            Some(truth) => *target = truth,
            None => {
                return says("Invalid bool value: valid values are true, false, 1 or 0.");
            }
        }
        return Ok(());
    }
    if let Some(target) = unstable_of(config, &plain) {
        *target = match (&*text_of(value).to_ascii_lowercase(), to_truth(value)) {
            ("enable", _) | (_, Some(true)) => Unstable::Enable,
            ("warn", _) => Unstable::Warn,
            ("error", _) | (_, Some(false)) => Unstable::Error,
            _ => {
                return says(
                    "Invalid value for unstable config: valid values are enable, warn, and error.",
                );
            }
        };
        return Ok(());
    }
    let text = text_of(value);
    match &*plain {
        "str_trunc_trailer" => config.str_trunc_trailer = text,
        "stack_mode" => match StackMode::of(&text) {
            Some(mode) => config.stack_mode = mode,
            None => {
                return says(
                    "Invalid value for stack_mode: valid values are bpftrace, raw, perf, and \
                     build_id.",
                );
            }
        },
        "missing_probes" => {
            config.missing_probes = match &*text.to_ascii_lowercase() {
                "ignore" => MissingProbes::Ignore,
                "warn" => MissingProbes::Warn,
                "error" => MissingProbes::Error,
                _ => {
                    return says(
                        "Invalid value for missing_probes: valid values are ignore, warn, and \
                         error.",
                    );
                }
            };
        }
        "cache_user_symbols" => match &*text.to_ascii_lowercase() {
            "1" | "true" => {}
            "per_pid" => config.cache_user_symbols = CacheUserSymbols::PerPid,
            "per_program" => config.cache_user_symbols = CacheUserSymbols::PerProgram,
            "none" | "0" | "false" => config.cache_user_symbols = CacheUserSymbols::None,
            _ => {
                return says(
                    "Invalid value for cache_user_symbols: valid values are PER_PID, \
                     PER_PROGRAM, and NONE.",
                );
            }
        },
        "license" => match LICENSES.into_iter().find(|license| *license == text) {
            Some(license) => config.license = license,
            None => {
                let valid = LICENSES.join(", ");
                return Err(format!(
                    "Invalid value for license. Found: {text}. Valid values: {valid}. Read more \
                     about BPF programs and licensing: https://docs.kernel.org/bpf/\
                     bpf_licensing.html#using-bpf-programs-in-the-linux-kernel"
                ));
            }
        },
        plain if ENVIRONMENT.contains(&plain) => {
            return says("can only be set as an environment variable");
        }
        _ => return says("not a known configuration option"),
    }
    Ok(())
}

fn number_of<'c>(config: &'c mut Config, key: &str) -> Option<&'c mut u64> {
    Some(match key {
        "log_size" => &mut config.log_size,
        "max_bpf_progs" => &mut config.max_bpf_progs,
        "max_cat_bytes" => &mut config.max_cat_bytes,
        "max_map_keys" => &mut config.max_map_keys,
        "max_probes" => &mut config.max_probes,
        "max_strlen" => &mut config.max_strlen,
        "on_stack_limit" => &mut config.on_stack_limit,
        "perf_rb_pages" => &mut config.perf_rb_pages,
        _ => return None,
    })
}

fn truth_of<'c>(config: &'c mut Config, key: &str) -> Option<&'c mut bool> {
    Some(match key {
        "cpp_demangle" => &mut config.cpp_demangle,
        "lazy_symbolication" => &mut config.lazy_symbolication,
        "print_maps_on_exit" => &mut config.print_maps_on_exit,
        "show_debug_info" => &mut config.show_debug_info,
        "use_blazesym" => &mut config.use_blazesym,
        _ => return None,
    })
}

fn unstable_of<'c>(config: &'c mut Config, key: &str) -> Option<&'c mut Unstable> {
    Some(match key {
        "unstable_import_statement" => &mut config.unstable_import_statement,
        "unstable_tseries" => &mut config.unstable_tseries,
        "unstable_typeinfo" => &mut config.unstable_typeinfo,
        "unstable_dw_ustack" => &mut config.unstable_dw_ustack,
        _ => return None,
    })
}

fn text_of(value: &SettingValue) -> String {
    match value {
        SettingValue::Text(text) => text.clone(),
        SettingValue::Int(number) => number.to_string(),
        SettingValue::Bool(truth) => truth.to_string(),
    }
}

fn to_number(value: &SettingValue) -> Option<u64> {
    match value {
        SettingValue::Int(number) => Some(*number),
        SettingValue::Bool(truth) => Some(u64::from(*truth)),
        SettingValue::Text(text) => number::unsigned(text).ok(),
    }
}

fn to_truth(value: &SettingValue) -> Option<bool> {
    match value {
        SettingValue::Bool(truth) => Some(*truth),
        SettingValue::Int(number) => Some(*number != 0),
        SettingValue::Text(text) => match &*text.to_ascii_lowercase() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
    }
}
