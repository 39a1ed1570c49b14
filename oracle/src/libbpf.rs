//! libbpf, as far as the judge asks it.
//!
//! An [`Object`] owns what libbpf allocated for a file; maps and programs are pointers
//! into it and live no longer than a borrow of it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{null, null_mut};
use std::sync::{Mutex, PoisonError};

use libbpf_sys as sys;
use serde_json::{Value, json};

/// An opened object.
pub struct Object {
    raw: *mut sys::bpf_object,
}

/// A map of an object.
pub struct Map<'a> {
    raw: *mut sys::bpf_map,
    of: PhantomData<&'a Object>,
}

/// A program of an object.
pub struct Program<'a> {
    raw: *mut sys::bpf_program,
    of: PhantomData<&'a Object>,
}

impl Object {
    /// Opens a file; nothing is asked of the kernel.
    pub fn open(file: &str) -> Result<Object, String> {
        let path = CString::new(file).map_err(|_| "a name with a zero".to_owned())?;
        catch_warnings();
        // SAFETY: the path is a string that outlives the call; no options are allowed.
        let raw = unsafe { sys::bpf_object__open_file(path.as_ptr(), null()) };
        match raw.is_null() {
            true => Err(failure()),
            false => Ok(Object { raw }),
        }
    }

    /// The maps in libbpf's order.
    pub fn maps(&self) -> Vec<Map<'_>> {
        let mut maps = Vec::new();
        let mut last = null_mut();
        loop {
            // SAFETY: the object is open, and `last` is null or one of its maps.
            last = unsafe { sys::bpf_object__next_map(self.raw, last) };
            if last.is_null() {
                return maps;
            }
            maps.push(Map { raw: last, of: PhantomData });
        }
    }

    /// The programs in libbpf's order, subprograms left out.
    pub fn programs(&self) -> Vec<Program<'_>> {
        let mut programs = Vec::new();
        let mut last = null_mut();
        loop {
            // SAFETY: the object is open, and `last` is null or one of its programs.
            last = unsafe { sys::bpf_object__next_program(self.raw, last) };
            if last.is_null() {
                return programs;
            }
            programs.push(Program { raw: last, of: PhantomData });
        }
    }

    /// Relocates the programs that are `wanted`. Sizes that an application would set
    /// before (entries of a hash, values of stack traces) get some value, since without
    /// one no map can be made.
    pub fn prepare(&mut self, wanted: impl Fn(usize) -> bool) -> Result<(), String> {
        catch_warnings();
        for map in self.maps() {
            map.complete();
        }
        for (index, program) in self.programs().iter().enumerate() {
            // SAFETY: the program belongs to this object, which is open and not loaded.
            unsafe { sys::bpf_program__set_autoload(program.raw, wanted(index)) };
        }
        // SAFETY: the object is open.
        match unsafe { sys::bpf_object__prepare(self.raw) } {
            0 => Ok(()),
            _ => Err(failure()),
        }
    }

    /// A relocated program as JSON. Fds of maps are zeroed; the maps are named instead.
    pub fn describe_program(&self, index: usize) -> Value {
        let programs = self.programs();
        let mut slots = programs[index].slots();
        let maps: Vec<(c_int, String)> =
            self.maps().iter().map(|map| (map.fd(), map.name())).collect();
        let mut named = Vec::new();
        let mut at = 0;
        while at < slots.len() {
            let [code, registers, ..] = slots[at];
            let is_wide = code == WIDE_LOAD;
            if is_wide && matches!(registers >> 4, MAP_FD | MAP_VALUE) {
                let fd = slots[at][4..].try_into().map_or(-1, i32::from_le_bytes);
                if let Some((_, name)) = maps.iter().find(|(of, _)| *of == fd) {
                    named.push(json!([at, name]));
                    slots[at][4..].fill(0);
                }
            }
            at += if is_wide { 2 } else { 1 };
        }
        json!({
            "program": programs[index].name(),
            "section": programs[index].section(),
            "insns": hex(&slots.concat()),
            "maps": named,
        })
    }

    /// A program that libbpf refuses, as JSON.
    pub fn name_program(&self, index: usize, error: String) -> Value {
        let programs = self.programs();
        let program = &programs[index];
        json!({ "program": program.name(), "section": program.section(), "error": error })
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        // SAFETY: the object is open, and no map or program outlives a borrow of it.
        unsafe { sys::bpf_object__close(self.raw) };
    }
}

const WIDE_LOAD: u8 = 0x18;
const MAP_FD: u8 = 1;
const MAP_VALUE: u8 = 2;

impl Map<'_> {
    fn name(&self) -> String {
        // SAFETY: the map lives, and its name with it.
        text(unsafe { sys::bpf_map__name(self.raw) })
    }

    fn fd(&self) -> c_int {
        // SAFETY: the map lives.
        unsafe { sys::bpf_map__fd(self.raw) }
    }

    /// Gives sizes that are left open some value.
    fn complete(&self) {
        // SAFETY: the map lives and is not created yet.
        unsafe {
            let kind = sys::bpf_map__type(self.raw);
            if sys::bpf_map__max_entries(self.raw) == 0
                && kind != sys::BPF_MAP_TYPE_PERF_EVENT_ARRAY
            {
                sys::bpf_map__set_max_entries(self.raw, 1);
            }
            if kind == sys::BPF_MAP_TYPE_STACK_TRACE && sys::bpf_map__value_size(self.raw) == 0 {
                sys::bpf_map__set_value_size(self.raw, 8);
            }
        }
    }

    /// The first contents of a map that has any.
    fn initial(&self) -> Option<String> {
        let mut len = 0;
        // SAFETY: the map lives; its initial value, if it has one, has the length that
        // libbpf gives and is not written to while we copy it.
        unsafe {
            let start = sys::bpf_map__initial_value(self.raw, &raw mut len).cast::<u8>();
            (!start.is_null()).then(|| hex(std::slice::from_raw_parts(start, len as usize)))
        }
    }

    /// What the kernel's configuration became, once the object is prepared; as JSON.
    pub fn configuration(&self) -> Option<Value> {
        let name = self.name();
        name.ends_with(".kconfig")
            .then(|| json!({ "configuration": name, "contents": self.initial() }))
    }

    /// The definition as JSON.
    pub fn describe(&self) -> Value {
        let initial = self.initial();
        // SAFETY: the map lives.
        unsafe {
            json!({
                "map": self.name(),
                "type": sys::bpf_map__type(self.raw),
                "key_size": sys::bpf_map__key_size(self.raw),
                "value_size": sys::bpf_map__value_size(self.raw),
                "max_entries": sys::bpf_map__max_entries(self.raw),
                "flags": sys::bpf_map__map_flags(self.raw),
                "extra": sys::bpf_map__map_extra(self.raw),
                "numa_node": sys::bpf_map__numa_node(self.raw),
                "key_type_id": sys::bpf_map__btf_key_type_id(self.raw),
                "value_type_id": sys::bpf_map__btf_value_type_id(self.raw),
                "initial": initial,
            })
        }
    }
}

impl Program<'_> {
    fn name(&self) -> String {
        // SAFETY: the program lives, and its name with it.
        text(unsafe { sys::bpf_program__name(self.raw) })
    }

    fn section(&self) -> String {
        // SAFETY: the program lives, and its section's name with it.
        text(unsafe { sys::bpf_program__section_name(self.raw) })
    }

    /// The instructions, 8 bytes each.
    fn slots(&self) -> Vec<[u8; 8]> {
        // SAFETY: the program lives; libbpf gives as many instructions of 8 bytes as it
        // says, and does not change them while we copy.
        let bytes = unsafe {
            let start = sys::bpf_program__insns(self.raw).cast::<u8>();
            let count = sys::bpf_program__insn_cnt(self.raw) as usize;
            std::slice::from_raw_parts(start, 8 * count)
        };
        bytes.as_chunks::<8>().0.to_vec()
    }
}

/// Program type and attach type of a section name.
pub fn section(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    let (mut prog_type, mut attach_type) = (0, 0);
    // SAFETY: a string, and two places for the results, that outlive the call.
    let result = unsafe {
        sys::libbpf_prog_type_by_name(name.as_ptr(), &raw mut prog_type, &raw mut attach_type)
    };
    (result == 0).then_some((prog_type, attach_type))
}

fn text(raw: *const c_char) -> String {
    if raw.is_null() {
        return String::new();
    }
    // SAFETY: libbpf's names are strings that end in a zero.
    unsafe { CStr::from_ptr(raw) }.to_string_lossy().into_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What libbpf warned of since the last call of [`catch_warnings`].
static WARNINGS: Mutex<String> = Mutex::new(String::new());

fn warnings() -> std::sync::MutexGuard<'static, String> {
    WARNINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn catch_warnings() {
    warnings().clear();
    // SAFETY: the callback is a function of this program.
    unsafe { sys::libbpf_set_print(Some(keep_warning)) };
}

/// The errno of the call that failed just now, and what libbpf said before.
fn failure() -> String {
    let errno = std::io::Error::last_os_error();
    let said: Vec<String> = warnings().lines().map(str::to_owned).collect();
    format!("{errno}: {}", said.join("; "))
}

unsafe extern "C" {
    fn vsnprintf(
        buffer: *mut c_char,
        size: usize,
        format: *const c_char,
        arguments: *mut c_void,
    ) -> c_int;
}

unsafe extern "C" fn keep_warning(
    level: sys::libbpf_print_level,
    format: *const c_char,
    arguments: *mut sys::__va_list_tag,
) -> c_int {
    if level == sys::LIBBPF_WARN {
        let mut buffer = [0u8; 1024];
        // SAFETY: libbpf gives a format with its arguments, and the buffer has the size
        // that is told; what is written ends in a zero.
        unsafe { vsnprintf(buffer.as_mut_ptr().cast(), buffer.len(), format, arguments.cast()) };
        let line = CStr::from_bytes_until_nul(&buffer).unwrap_or_default();
        warnings().push_str(&line.to_string_lossy());
    }
    0
}
