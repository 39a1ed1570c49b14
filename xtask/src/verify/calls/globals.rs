//! Calls of the program's own global functions: arguments of every kind that BTF can
//! state, tagged or not, each given every thing there is; and what the function may
//! then do with it.

use std::sync::Arc;

use anyhow::Result;
use skep_btf::{Btf, Builder, Endian, FuncLinkage, Kind, Member};
use skep_isa::{AluOp, Callee, Cond, Insn, Operand, Reg, Size, Width};
use skep_sys::{Fd, Layer};

use super::scene::{FIELDS, HOOKS, Hook, Scene, THINGS, Thing, load, load_btf};
use crate::verify::judge::Judge;

/// Hooks where every thing is given; the first of [`HOOKS`].
const BUSY_HOOKS: usize = 4;

/// The context's type as programs name it, of every kind of program.
const CONTEXTS: &[&str] = &[
    "__sk_buff",
    "xdp_md",
    "bpf_sock",
    "bpf_sock_addr",
    "bpf_sock_ops",
    "bpf_perf_event_data",
    "bpf_raw_tracepoint_args",
    "bpf_sysctl",
    "bpf_sockopt",
    "sk_msg_md",
    "bpf_sk_lookup",
    "sk_reuseport_md",
    "bpf_cgroup_dev_ctx",
    "bpf_nf_ctx",
    "pt_regs",
    "user_pt_regs",
    "user_regs_struct",
    "bpf_user_pt_regs_t",
    "sk_buff",
    "xdp_buff",
    "bpf_iter__task",
    "trace_event_raw_sched_switch",
];

/// What a parameter points to or is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Int,
    Char,
    Long,
    Huge,
    Bool,
    Enum,
    Enum64,
    Float,
    Void,
    ConstInt,
    Pair,
    Big,
    Union,
    Empty,
    Forward,
    Array,
    Flexible,
    Pointer,
    Function,
    Dynptr,
    ConstDynptr,
    /// A structure with this name.
    Named(&'static str),
    /// A typedef of this name for an int.
    Typedef(&'static str),
    /// A typedef of this name for a structure of that name.
    Alias(&'static str, &'static str),
}

/// Every kind, first those that are values.
const VALUES: &[Of] = &[
    Of::Int,
    Of::Char,
    Of::Long,
    Of::Huge,
    Of::Bool,
    Of::Enum,
    Of::Enum64,
    Of::Float,
    Of::Pair,
    Of::Union,
    Of::Array,
];

const TARGETS: &[Of] = &[
    Of::Int,
    Of::Char,
    Of::Long,
    Of::Huge,
    Of::Bool,
    Of::Enum,
    Of::Float,
    Of::Void,
    Of::ConstInt,
    Of::Pair,
    Of::Big,
    Of::Union,
    Of::Empty,
    Of::Forward,
    Of::Array,
    Of::Flexible,
    Of::Pointer,
    Of::Function,
    Of::Dynptr,
    Of::ConstDynptr,
    Of::Named("task_struct"),
    Of::Named("__sk_buff"),
    Of::Named("xdp_md"),
    Of::Named("sock"),
    Of::Typedef("number"),
];

/// Tags, and what they are tried on.
const TAGS: &[(&[&str], &[Of])] = &[
    (&["arg:nonnull"], &[Of::Int, Of::Pair, Of::Big, Of::Dynptr, Of::Void, Of::Named("__sk_buff")]),
    (&["arg:nullable"], &[Of::Pair, Of::Named("task_struct")]),
    (
        &["arg:trusted"],
        &[
            Of::Named("task_struct"),
            Of::Named("task_struct___own"),
            Of::Named("cgroup"),
            Of::Named("no_such_struct"),
            Of::Alias("task", "task_struct"),
            Of::Int,
            Of::Void,
            Of::Forward,
        ],
    ),
    (&["arg:trusted", "arg:nullable"], &[Of::Named("task_struct"), Of::Named("bpf_cpumask")]),
    (&["arg:trusted", "arg:nonnull"], &[Of::Named("task_struct")]),
    (
        &["arg:untrusted"],
        &[
            Of::Named("task_struct"),
            Of::Named("no_such_struct"),
            Of::Int,
            Of::Char,
            Of::ConstInt,
            Of::Void,
            Of::Union,
            Of::Pair,
            Of::Array,
            Of::Pointer,
            Of::Enum,
        ],
    ),
    (&["arg:untrusted", "arg:nonnull"], &[Of::Named("task_struct"), Of::Int]),
    (&["arg:untrusted", "arg:nullable"], &[Of::Named("task_struct"), Of::Int]),
    (&["arg:untrusted", "arg:trusted"], &[Of::Named("task_struct")]),
    (&["arg:ctx"], &[Of::Void, Of::Int, Of::Pair, Of::Named("xdp_md"), Of::Named("task_struct")]),
    (&["arg:ctx", "arg:nonnull"], &[Of::Void]),
    (&["arg:arena"], &[Of::Int, Of::Void, Of::Pair]),
    (&["arg:unknown"], &[Of::Int, Of::Pair]),
    (&["something"], &[Of::Int]),
];

/// What the function does with its argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Nothing,
    Reads,
    Writes,
    ReadsUnchecked,
    WritesFar,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    of: Of,
    pointer: bool,
    tags: &'static [&'static str],
    linkage: FuncLinkage,
    returns: Of,
    /// Further parameters, numbers all.
    more: u8,
}

impl Signature {
    fn of(of: Of, pointer: bool) -> Signature {
        let (linkage, returns) = (FuncLinkage::Global, Of::Int);
        Signature { of, pointer, tags: &[], linkage, returns, more: 0 }
    }
}

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    signature: Signature,
    hook: usize,
    thing: Thing,
    body: Body,
}

/// Every call there is.
pub fn cases() -> Vec<Case> {
    let mut signatures: Vec<Signature> = Vec::new();
    signatures.extend(VALUES.iter().map(|&of| Signature::of(of, false)));
    signatures.extend(TARGETS.iter().map(|&of| Signature::of(of, true)));
    for (tags, targets) in TAGS {
        signatures.extend(targets.iter().map(|&of| Signature { tags, ..Signature::of(of, true) }));
        signatures.push(Signature { tags, ..Signature::of(Of::Int, false) });
    }
    let mut cases = Vec::new();
    for signature in &signatures {
        for hook in 0..BUSY_HOOKS {
            let mut one = |thing, body| {
                cases.push(Case { signature: *signature, hook, thing, body });
            };
            THINGS.iter().for_each(|&thing| one(thing, Body::Nothing));
            (0..FIELDS.len()).for_each(|field| one(Thing::Field(field, 0), Body::Nothing));
            for body in [Body::Reads, Body::Writes, Body::ReadsUnchecked, Body::WritesFar] {
                for thing in
                    [Thing::Null, Thing::Value(0), Thing::Stack, Thing::Current, Thing::Ctx]
                {
                    one(thing, body);
                }
            }
        }
    }
    for hook in 0..HOOKS.len() {
        let mut one = |signature, thing| {
            cases.push(Case { signature, hook, thing, body: Body::Nothing });
        };
        for &name in CONTEXTS {
            let named = Signature::of(Of::Named(name), true);
            [Thing::Ctx, Thing::Null, Thing::Value(0)].iter().for_each(|thing| one(named, *thing));
            one(Signature { tags: &["arg:ctx"], ..named }, Thing::Ctx);
        }
        one(Signature::of(Of::Alias("bpf_user_pt_regs_t", "pt_regs"), true), Thing::Ctx);
        one(Signature::of(Of::Long, true), Thing::Ctx);
        one(Signature { tags: &["arg:ctx"], ..Signature::of(Of::Long, true) }, Thing::Ctx);
    }
    for hook in 0..BUSY_HOOKS {
        let mut one = |signature| {
            for thing in [Thing::Null, Thing::Value(0), Thing::Ctx, Thing::Current] {
                cases.push(Case { signature, hook, thing, body: Body::Nothing });
            }
        };
        for returns in [Of::Void, Of::Pair, Of::Char, Of::Enum64, Of::Float, Of::Pointer] {
            one(Signature { returns, ..Signature::of(Of::Int, true) });
        }
        for more in [4, 5] {
            one(Signature { more, ..Signature::of(Of::Int, true) });
        }
        for of in [Of::Int, Of::Pair, Of::Named("task_struct"), Of::Dynptr] {
            let of = Signature { linkage: FuncLinkage::Static, ..Signature::of(of, true) };
            one(of);
            one(Signature { tags: &["arg:nonnull"], ..of });
        }
    }
    cases
}

/// Adds a type.
fn add(builder: &mut Builder, of: Of) -> u32 {
    let at = |name, type_id, bytes: u32| Member {
        name,
        type_id,
        bit_offset: 8 * bytes,
        bitfield_size: 0,
    };
    let int = builder.int("int", 4, 1);
    match of {
        Of::Int => int,
        Of::Char => builder.int("char", 1, 1),
        Of::Long => builder.int("unsigned long", 8, 0),
        Of::Huge => builder.int("__int128", 16, 1),
        Of::Bool => builder.int("_Bool", 1, 4),
        Of::Enum => builder.enumeration("choice", 4, false, &[("one", 1)]),
        Of::Enum64 => builder.enumeration("wide", 8, false, &[("two", 2)]),
        Of::Float => builder.float("double", 8),
        Of::Void => 0,
        Of::ConstInt => builder.qualifier(Kind::Const, int),
        Of::Pair => builder.structure("pair", 8, &[at("a", int, 0), at("b", int, 4)]),
        Of::Big => {
            let bytes = builder.array(int, int, 150);
            builder.structure("big", 600, &[at("a", bytes, 0)])
        }
        Of::Union => builder.union("either", 8, &[at("a", int, 0), at("b", int, 0)]),
        Of::Empty => builder.structure("nothing", 0, &[]),
        Of::Forward => builder.forward("elsewhere", false),
        Of::Array => builder.array(int, int, 4),
        Of::Flexible => builder.array(int, int, 0),
        Of::Pointer => builder.ptr(int),
        Of::Function => builder.func_proto(int, &[("", int)]),
        Of::Dynptr | Of::ConstDynptr => {
            let long = builder.int("unsigned long", 8, 0);
            let words = builder.array(long, int, 2);
            let id = builder.structure("bpf_dynptr", 16, &[at("opaque", words, 0)]);
            if of == Of::Dynptr { id } else { builder.qualifier(Kind::Const, id) }
        }
        Of::Named(name) => builder.structure(name, 4, &[at("a", int, 0)]),
        Of::Typedef(name) => builder.typedef(name, int),
        Of::Alias(name, of) => {
            let id = add(builder, Of::Named(of));
            builder.typedef(name, id)
        }
    }
}

/// The functions' types: the whole BTF, and the ids of the program, the function that
/// is called, and the one that is pointed to.
fn types(scene: &Scene, signature: &Signature) -> Result<(Vec<u8>, [u32; 3])> {
    let mut builder = Builder::from_btf(&Btf::parse(scene.types.clone())?);
    let int = builder.int("int", 4, 1);
    let mut param = add(&mut builder, signature.of);
    if signature.pointer {
        param = builder.ptr(param);
    }
    let mut params = vec![("p", param)];
    params.extend((0..signature.more).map(|_| ("more", int)));
    let mut ret = add(&mut builder, signature.returns);
    if signature.returns == Of::Pair {
        ret = builder.ptr(ret);
    }
    let proto = builder.func_proto(ret, &params);
    let called = builder.func("called", proto, signature.linkage);
    for tag in signature.tags {
        builder.decl_tag(tag, called, 0, false);
    }
    Ok((builder.to_bytes(Endian::Little), [scene.main, called, scene.callback]))
}

/// What the function's instructions are.
fn body(body: Body) -> Vec<Insn> {
    let mov = |dst, src| Insn::Alu { op: AluOp::Mov, width: Width::W64, dst, src };
    let mut insns = vec![mov(Reg::R0, Operand::Imm(0))];
    if matches!(body, Body::Reads | Body::Writes | Body::WritesFar) {
        let (cond, src) = (Cond::Ne, Operand::Imm(0));
        insns.push(Insn::Branch { cond, width: Width::W64, dst: Reg::R1, src, off: 1 });
        insns.push(Insn::Exit);
    }
    let (size, base) = (Size::W, Reg::R1);
    match body {
        Body::Nothing => {}
        Body::Reads | Body::ReadsUnchecked => {
            insns.push(Insn::Load { size, signed: false, dst: Reg::R0, base, off: 0 });
        }
        Body::Writes => insns.push(Insn::Store { size, base, off: 0, src: Operand::Imm(1) }),
        Body::WritesFar => insns.push(Insn::Store { size, base, off: 8, src: Operand::Imm(1) }),
    }
    insns.extend([mov(Reg::R0, Operand::Imm(0)), Insn::Exit]);
    insns
}

/// The types that were loaded last: programs that follow each other often share them.
#[derive(Default)]
pub struct Loaded(Option<(Signature, Fd, [u32; 3])>);

/// Puts a call to both judges; gives its name, or `None` where the hook has no such thing.
///
/// # Errors
/// Types that are no types.
pub fn judge(
    scene: &Scene,
    judge: &Arc<Layer<Judge>>,
    loaded: &mut Loaded,
    case: &Case,
) -> Result<Option<String>> {
    let hook: &Hook = &HOOKS[case.hook];
    let mut script = scene.open();
    let Some(ready) = scene.prepare(&mut script, hook, case.thing) else { return Ok(None) };
    scene.give(&mut script, Reg::R1, ready);
    for more in 0..case.signature.more.min(4) {
        script.mov(Reg::new(more + 2).unwrap_or(Reg::R2), Operand::Imm(0));
    }
    let at = script.len();
    script.put(Insn::Call(Callee::Local(0)));
    let mut insns = script.finish(hook.code, None);
    let (btf, ids) = match &loaded.0 {
        Some((signature, btf, ids)) if *signature == case.signature => (btf.raw() as u32, *ids),
        _ => {
            if let Some((_, btf, _)) = loaded.0.take() {
                judge.forget_btf(btf.raw());
            }
            let (bytes, ids) = types(scene, &case.signature)?;
            let Ok(btf) = load_btf(judge, &bytes) else { return Ok(None) };
            let number = btf.raw() as u32;
            loaded.0 = Some((case.signature, btf, ids));
            (number, ids)
        }
    };
    let start = insns.len();
    insns[at] = Insn::Call(Callee::Local((start - at - 1) as i32));
    insns.extend(body(case.body));
    let mut functions = vec![(0, ids[0]), (start as u32, ids[1])];
    if super::scene::place_callback(&mut insns) {
        functions.push((insns.len() as u32 - 2, ids[2]));
    }
    load(judge, &scene.vmlinux, hook, &insns, btf, &functions);
    let Signature { of, pointer, tags, linkage, returns, more } = case.signature;
    let star = if pointer { "*" } else { "" };
    let mut name = format!("{} {linkage:?} {of:?}{star}", hook.name);
    for tag in tags {
        name += &format!(" {tag}");
    }
    if returns != Of::Int || more > 0 {
        name += &format!(" returns {returns:?} more {more}");
    }
    Ok(Some(format!("{name} <- {:?}, {:?}", case.thing, case.body)))
}
