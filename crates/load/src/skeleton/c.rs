//! Skeletons in C, over libbpf: the structure and the functions that its users know, by the same
//! names, so that a program which includes bpftool's includes this one as well.

use std::fmt::Write as _;

use skep_abi::flags::map::MMAPABLE;
use skep_btf::{BtfError, Type, c::Printer};

use super::{Section, literal, names, section};
use crate::object::{MapDef, Object};

/// A map as the skeleton has it.
struct Slot<'a> {
    map: &'a MapDef,
    /// The field's name.
    field: String,
    /// Its variables, where user space maps them.
    section: Option<Section<'a>>,
}

/// A header for an object that is called `name`, whose file was `bytes`. The object is to have
/// been read under that name, since libbpf finds maps of variables by it. Types of variables that
/// have a name are the including file's to define.
///
/// # Errors
/// The object's types are broken.
pub fn c(object: &Object, bytes: &[u8], name: &str) -> Result<String, BtfError> {
    let slots: Vec<Slot<'_>> = object.maps.iter().map(|map| slot(object, map)).collect();
    let guard = format!("SKEP_{}_SKEL_H", names::plain(name).to_uppercase());
    let mut text = format!(
        "/* Made by skep gen skeleton: make it anew, do not edit it. */\n#ifndef {guard}\n\
         #define {guard}\n\n#include <errno.h>\n#include <stdlib.h>\n#include <bpf/libbpf.h>\n\n"
    );
    structure(&mut text, object, &slots, name)?;
    functions(&mut text, name);
    tables(&mut text, object, &slots, name);
    let _ = write!(
        text,
        "static inline const void *{name}__elf_bytes(size_t *size)\n{{\n\tstatic const char bytes[] = {};\n\n\
         \t*size = sizeof(bytes) - 1;\n\treturn bytes;\n}}\n\n",
        literal::bytes(bytes)
    );
    members(&mut text, name);
    asserts(&mut text, &slots, name);
    let _ = writeln!(text, "#endif /* {guard} */");
    Ok(text)
}

fn slot<'a>(object: &'a Object, map: &'a MapDef) -> Slot<'a> {
    let field = match map.origin.section() {
        Some(section) => names::plain(section.trim_start_matches('.')),
        None => names::plain(&map.name),
    };
    let mapped = map.origin.section().is_some() && map.flags & MMAPABLE != 0;
    Slot { map, field, section: mapped.then(|| section(object, map)).flatten() }
}

fn structure(
    text: &mut String,
    object: &Object,
    slots: &[Slot<'_>],
    name: &str,
) -> Result<(), BtfError> {
    let _ = write!(
        text,
        "struct {name} {{\n\tstruct bpf_object_skeleton *skeleton;\n\tstruct bpf_object *obj;\n"
    );
    let mut group = |group: &str, of: &str, fields: Vec<String>| {
        if fields.is_empty() {
            return;
        }
        text.push_str("\tstruct {\n");
        for field in fields {
            let _ = writeln!(text, "\t\tstruct {of} *{field};");
        }
        let _ = writeln!(text, "\t}} {group};");
    };
    let programs = || object.programs.iter().map(|of| names::plain(&of.name)).collect();
    group("maps", "bpf_map", slots.iter().map(|slot| slot.field.clone()).collect());
    group("progs", "bpf_program", programs());
    group("links", "bpf_link", programs());
    let mut printer = object.btf.as_deref().map(Printer::new);
    for slot in slots {
        if let (Some(section), Some(printer)) = (&slot.section, &mut printer) {
            variables(text, section, printer, name, &slot.field)?;
        }
    }
    let _ = write!(
        text,
        "\n#ifdef __cplusplus\n\
         \tstatic inline struct {name} *open(const struct bpf_object_open_opts *opts = nullptr);\n\
         \tstatic inline struct {name} *open_and_load();\n\
         \tstatic inline int load(struct {name} *skel);\n\
         \tstatic inline int attach(struct {name} *skel);\n\
         \tstatic inline void detach(struct {name} *skel);\n\
         \tstatic inline void destroy(struct {name} *skel);\n\
         \tstatic inline const void *elf_bytes(size_t *size);\n\
         #endif\n}};\n\n"
    );
    Ok(())
}

/// A section's variables, but for static ones, which have no name outside of their file.
fn variables(
    text: &mut String,
    section: &Section<'_>,
    printer: &mut Printer<'_>,
    name: &str,
    field: &str,
) -> Result<(), BtfError> {
    let _ = writeln!(text, "\tstruct {name}__{field} {{");
    let (mut at, mut gaps) = (0u64, 0);
    for var in section.vars.iter().filter(|var| !var.is_static) {
        let offset = u64::from(var.at.offset);
        let align = u64::from(section.btf.align_of(var.type_id).unwrap_or(1)).max(1);
        if at.next_multiple_of(align) != offset && at < offset {
            let _ = writeln!(text, "\t\tchar __pad{gaps}[{}];", offset - at);
            gaps += 1;
        }
        let declared = printer.declaration(var.type_id, &names::plain(var.name))?;
        // Nested definitions are indented as deeply as this.
        let declared = unqualified(&declared).replace('\n', "\n\t\t");
        let _ = writeln!(text, "\t\t{declared};");
        at = offset + u64::from(var.at.size);
    }
    let _ = writeln!(text, "\t}} *{field};");
    Ok(())
}

/// A declaration without `const` and `volatile`: what the program may not write, its loader may.
fn unqualified(declaration: &str) -> String {
    let mut text = String::with_capacity(declaration.len());
    let mut rest = declaration;
    while let Some(first) = rest.chars().next() {
        let is_word = |one: char| one.is_ascii_alphanumeric() || one == '_';
        let len = rest.find(|one| is_word(one) != is_word(first)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(len);
        rest = behind;
        match word {
            "const" | "volatile" => rest = rest.strip_prefix(' ').unwrap_or(rest),
            _ => text.push_str(word),
        }
    }
    text
}

fn functions(text: &mut String, name: &str) {
    let _ = write!(
        text,
        "static inline int {name}__create_skeleton(struct {name} *obj);\n\
         static inline const void *{name}__elf_bytes(size_t *size);\n\n\
         static inline void {name}__destroy(struct {name} *obj)\n{{\n\
         \tif (obj) {{\n\t\tbpf_object__destroy_skeleton(obj->skeleton);\n\t\tfree(obj);\n\t}}\n}}\n\n\
         static inline struct {name} *{name}__open_opts(const struct bpf_object_open_opts *opts)\n{{\n\
         \tstruct {name} *obj = (struct {name} *)calloc(1, sizeof(*obj));\n\
         \tint err = obj ? {name}__create_skeleton(obj) : -ENOMEM;\n\n\
         \tif (!err)\n\t\terr = bpf_object__open_skeleton(obj->skeleton, opts);\n\
         \tif (!err)\n\t\treturn obj;\n\
         \t{name}__destroy(obj);\n\terrno = -err;\n\treturn NULL;\n}}\n\n\
         static inline struct {name} *{name}__open(void)\n{{\n\treturn {name}__open_opts(NULL);\n}}\n\n\
         static inline int {name}__load(struct {name} *obj)\n{{\n\
         \treturn bpf_object__load_skeleton(obj->skeleton);\n}}\n\n\
         static inline struct {name} *{name}__open_and_load(void)\n{{\n\
         \tstruct {name} *obj = {name}__open();\n\
         \tint err = obj ? {name}__load(obj) : 0;\n\n\
         \tif (!err)\n\t\treturn obj;\n\
         \t{name}__destroy(obj);\n\terrno = -err;\n\treturn NULL;\n}}\n\n\
         static inline int {name}__attach(struct {name} *obj)\n{{\n\
         \treturn bpf_object__attach_skeleton(obj->skeleton);\n}}\n\n\
         static inline void {name}__detach(struct {name} *obj)\n{{\n\
         \tbpf_object__detach_skeleton(obj->skeleton);\n}}\n\n"
    );
}

/// The function that tells libbpf where everything belongs.
fn tables(text: &mut String, object: &Object, slots: &[Slot<'_>], name: &str) {
    let _ = write!(
        text,
        "static inline int {name}__create_skeleton(struct {name} *obj)\n{{\n\
         \tstruct bpf_object_skeleton *s = (struct bpf_object_skeleton *)calloc(1, sizeof(*s));\n\n\
         \tif (!s)\n\t\treturn -ENOMEM;\n\
         \tobj->skeleton = s;\n\ts->sz = sizeof(*s);\n\ts->name = \"{name}\";\n\ts->obj = &obj->obj;\n"
    );
    let mut table = |of: &str, short: &str, count: usize| {
        if count == 0 {
            return false;
        }
        let _ = write!(
            text,
            "\n\ts->{short}_cnt = {count};\n\ts->{short}_skel_sz = sizeof(*s->{short}s);\n\
             \ts->{short}s = (struct bpf_{of}_skeleton *)calloc({count}, sizeof(*s->{short}s));\n\
             \tif (!s->{short}s)\n\t\treturn -ENOMEM;\n"
        );
        true
    };
    if table("map", "map", slots.len()) {
        for (index, Slot { map, field, section }) in slots.iter().enumerate() {
            let _ = write!(
                text,
                "\ts->maps[{index}].name = {};\n\ts->maps[{index}].map = &obj->maps.{field};\n",
                quoted(&map.name)
            );
            if section.is_some() {
                let _ = writeln!(text, "\ts->maps[{index}].mmaped = (void **)&obj->{field};");
            }
        }
    }
    let mut table = |count: usize| {
        let _ = write!(
            text,
            "\n\ts->prog_cnt = {count};\n\ts->prog_skel_sz = sizeof(*s->progs);\n\
             \ts->progs = (struct bpf_prog_skeleton *)calloc({count}, sizeof(*s->progs));\n\
             \tif (!s->progs)\n\t\treturn -ENOMEM;\n"
        );
    };
    if !object.programs.is_empty() {
        table(object.programs.len());
        for (index, program) in object.programs.iter().enumerate() {
            let _ = write!(
                text,
                "\ts->progs[{index}].name = {};\n\ts->progs[{index}].prog = &obj->progs.{field};\n\
                 \ts->progs[{index}].link = &obj->links.{field};\n",
                quoted(&program.name),
                field = names::plain(&program.name),
            );
        }
    }
    let _ =
        write!(text, "\n\ts->data = (void *){name}__elf_bytes(&s->data_sz);\n\treturn 0;\n}}\n\n");
}

/// The functions as members, for C++.
fn members(text: &mut String, name: &str) {
    let _ = write!(
        text,
        "#ifdef __cplusplus\n\
         struct {name} *{name}::open(const struct bpf_object_open_opts *opts) {{ return {name}__open_opts(opts); }}\n\
         struct {name} *{name}::open_and_load() {{ return {name}__open_and_load(); }}\n\
         int {name}::load(struct {name} *skel) {{ return {name}__load(skel); }}\n\
         int {name}::attach(struct {name} *skel) {{ return {name}__attach(skel); }}\n\
         void {name}::detach(struct {name} *skel) {{ {name}__detach(skel); }}\n\
         void {name}::destroy(struct {name} *skel) {{ {name}__destroy(skel); }}\n\
         const void *{name}::elf_bytes(size_t *size) {{ return {name}__elf_bytes(size); }}\n\
         #endif\n\n"
    );
}

/// What the compiler is to agree on.
fn asserts(text: &mut String, slots: &[Slot<'_>], name: &str) {
    let _ = write!(
        text,
        "#ifdef __cplusplus\n#define _Static_assert static_assert\n#endif\n\
         __attribute__((unused)) static void {name}__assert(struct {name} *s __attribute__((unused)))\n{{\n"
    );
    for Slot { field, section, .. } in slots {
        let Some(section) = section else { continue };
        for var in section.vars.iter().filter(|var| !var.is_static) {
            let plain = names::plain(var.name);
            let (size, offset) = (var.at.size, var.at.offset);
            // Types that the kernel alone knows have no size here, and no variables.
            if matches!(section.btf.resolved(var.type_id), Ok(Type::Void | Type::Fwd { .. })) {
                continue;
            }
            let _ = writeln!(
                text,
                "\t_Static_assert(sizeof(s->{field}->{plain}) == {size}, \"size of {plain}\");"
            );
            let _ = writeln!(
                text,
                "\t_Static_assert(__builtin_offsetof(struct {name}__{field}, {plain}) == {offset}, \
                 \"place of {plain}\");"
            );
        }
    }
    text.push_str("}\n#ifdef __cplusplus\n#undef _Static_assert\n#endif\n\n");
}

/// As a string of C's.
fn quoted(name: &str) -> String {
    let mut text = String::from("\"");
    for one in name.chars() {
        match one {
            '"' | '\\' => text.extend(['\\', one]),
            ' '..='~' => text.push(one),
            other => {
                let mut bytes = [0; 4];
                for byte in other.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:03o}");
                }
            }
        }
    }
    text + "\""
}
