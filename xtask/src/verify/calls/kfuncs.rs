//! Calls of the kernel's functions. Each parameter of each is given every thing there
//! is, the others what fits; and each is called from every hook with nothing but zeros.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_abi::{AttachType, Kfunc, KfuncFlags};
use skep_btf::{Btf, Kind, Type};
use skep_isa::{Cond, Insn, Operand, Reg};
use skep_sys::Layer;

use super::scene::{FIELDS, HOOKS, Hook, Scene, THINGS, Thing};
use crate::verify::judge::Judge;

/// Hooks where every thing is tried; the first of [`HOOKS`].
const BUSY_HOOKS: usize = 4;

/// What gives back what a function yields, by the type that it yields.
const RELEASES: &[(&str, &str)] = &[
    ("task_struct", "bpf_task_release"),
    ("cgroup", "bpf_cgroup_release"),
    ("bpf_cpumask", "bpf_cpumask_release"),
    ("bpf_crypto_ctx", "bpf_crypto_ctx_release"),
    ("nf_conn", "bpf_ct_release"),
    ("bpf_key", "bpf_key_put"),
    ("file", "bpf_put_file"),
];

/// What ends a section that a function begins.
const ENDS: &[(&str, &str)] = &[
    ("bpf_rcu_read_lock", "bpf_rcu_read_unlock"),
    ("bpf_preempt_disable", "bpf_preempt_enable"),
    ("bpf_local_irq_save", "bpf_local_irq_restore"),
    ("bpf_res_spin_lock", "bpf_res_spin_unlock"),
];

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    function: u32,
    hook: usize,
    /// The parameter that does not get what fits, and what it gets; without one, all
    /// get zeros.
    odd: Option<(usize, Thing)>,
}

/// Every call there is.
pub fn cases(scene: &Scene) -> Vec<Case> {
    let (mut cases, mut dangerous) = (Vec::new(), 0);
    for function in functions(&scene.vmlinux) {
        let params = params(&scene.vmlinux, function);
        if params.len() > 5 {
            continue;
        }
        cases.extend((0..HOOKS.len()).map(|hook| Case { function, hook, odd: None }));
        for (hook, place) in HOOKS.iter().enumerate().take(BUSY_HOOKS) {
            if !is_offered(&scene.vmlinux, function, place) {
                continue;
            }
            for (index, param) in params.iter().enumerate() {
                let mut one = |thing| {
                    if breaks_linux(&scene.vmlinux, function, param, thing) {
                        dangerous += 1;
                        return;
                    }
                    let odd = Some((index, thing));
                    cases.push(Case { function, hook, odd });
                };
                one(fitting(scene, function, param));
                THINGS.iter().for_each(|&thing| one(thing));
                (0..FIELDS.len()).for_each(|field| {
                    one(Thing::Field(field, 0));
                    one(Thing::Field(field, 1));
                    one(Thing::FieldMap(field));
                });
                if let Some((_, id)) = pointed(&scene.vmlinux, param.type_id) {
                    one(Thing::Cast(id));
                }
            }
        }
    }
    if dangerous > 0 {
        println!("not put to Linux, which would crash: {dangerous} calls");
    }
    cases
}

/// The functions that the kernel offers, by its own tags and by our table.
fn functions(vmlinux: &Btf) -> BTreeSet<u32> {
    let tagged = vmlinux.types().filter_map(|(_, ty)| match ty {
        Type::DeclTag { name: "bpf_kfunc", target, .. } => Some(target),
        _ => None,
    });
    let rows = Kfunc::all().iter().filter_map(|row| vmlinux.find(row.name, Kind::Func));
    tagged.chain(rows).collect()
}

fn row(vmlinux: &Btf, function: u32) -> Option<&'static Kfunc> {
    Kfunc::from_name(vmlinux.type_by_id(function).ok()?.name())
}

/// Whether programs there may call it. One that the table lacks is tried everywhere.
fn is_offered(vmlinux: &Btf, function: u32, hook: &Hook) -> bool {
    let attach = AttachType::from_number(hook.attach);
    row(vmlinux, function).is_none_or(|row| row.is_offered(hook.kind, attach))
}

struct Param {
    name: String,
    type_id: u32,
}

fn prototype(vmlinux: &Btf, function: u32) -> Option<(u32, Vec<Param>)> {
    let Ok(Type::Func { proto, .. }) = vmlinux.type_by_id(function) else { return None };
    let Ok(Type::FuncProto(proto)) = vmlinux.type_by_id(proto) else { return None };
    let params = proto.params.iter();
    let params = params.map(|param| Param { name: param.name.into(), type_id: param.type_id });
    Some((proto.ret, params.collect()))
}

fn params(vmlinux: &Btf, function: u32) -> Vec<Param> {
    prototype(vmlinux, function).map_or_else(Vec::new, |(_, params)| params)
}

/// The structure that a pointer points to.
fn pointed(vmlinux: &Btf, type_id: u32) -> Option<(String, u32)> {
    let Ok(Type::Ptr { target }) = vmlinux.resolved(type_id) else { return None };
    let id = vmlinux.resolve_modifiers(target).ok()?;
    let ty = vmlinux.type_by_id(id).ok()?;
    ty.composite().map(|composite| (composite.name.to_string(), id))
}

/// The field of the work that a function arranges, which its map must hold.
fn work(vmlinux: &Btf, function: u32) -> Option<usize> {
    params(vmlinux, function).iter().find_map(|param| {
        let (name, _) = pointed(vmlinux, param.type_id)?;
        let is_work = matches!(name.as_str(), "bpf_wq" | "bpf_task_work");
        FIELDS.iter().position(|field| is_work && *field == name)
    })
}

/// Whether Linux 6.18.44 would go through a null pointer in the kernel: it asks the map
/// of a work item, and the one that it is initialised with, for their special fields
/// without looking whether they have any, or are maps at all. The thread that loads
/// dies there.
fn breaks_linux(vmlinux: &Btf, function: u32, param: &Param, thing: Thing) -> bool {
    if work(vmlinux, function).is_none() {
        return false;
    }
    let harmless = matches!(
        thing,
        Thing::Null
            | Thing::Number(_)
            | Thing::Unknown
            | Thing::Byte
            | Thing::Ctx
            | Thing::Stack
            | Thing::Uninit
            | Thing::Field(..)
            | Thing::FieldMap(_)
    );
    let name = pointed(vmlinux, param.type_id).map(|(name, _)| name).unwrap_or_default();
    let is_value = matches!(
        thing,
        Thing::Value(_)
            | Thing::ValueOrNull
            | Thing::ReadOnlyValue
            | Thing::WriteOnlyValue
            | Thing::Text
    );
    if param.name.ends_with("__map") { !harmless } else { name.starts_with("bpf_") && is_value }
}

/// What fits a parameter, as far as its type and name tell.
fn fitting(scene: &Scene, function: u32, param: &Param) -> Thing {
    let vmlinux = &scene.vmlinux;
    let ends = |suffix: &str| param.name.ends_with(suffix);
    if ends("__ign") || ends("__prog") {
        return Thing::Null;
    }
    let Ok(Type::Ptr { target }) = vmlinux.resolved(param.type_id) else {
        return match param.name.as_str() {
            "btf_id__k" => vmlinux
                .find("task_struct", Kind::Struct)
                .map_or(Thing::Null, |id| Thing::Number(id as i32)),
            "local_type_id__k" => Thing::Number(scene.object as i32),
            name if name.ends_with("__sz") || name.ends_with("__szk") => Thing::Number(8),
            name if name.contains("size") => Thing::Number(8),
            _ => Thing::Null,
        };
    };
    let row = row(vmlinux, function);
    let begins = row.is_some_and(|row| row.has(KfuncFlags::ITER_NEW));
    let iterates = row
        .is_some_and(|row| row.flags.intersects(KfuncFlags::ITER_NEXT | KfuncFlags::ITER_DESTROY));
    let (name, id) = pointed(vmlinux, param.type_id).unwrap_or_default();
    let field = FIELDS.iter().position(|field| *field == name);
    match name.as_str() {
        "bpf_dynptr" if ends("__uninit") => Thing::Uninit,
        "bpf_dynptr" => Thing::Dynptr,
        _ if ends("__map") => work(vmlinux, function).map_or(Thing::Map, Thing::FieldMap),
        _ if ends("__str") => Thing::Text,
        _ if ends("__irq_flag") => Thing::Uninit,
        _ if ends("__alloc") || ends("__refcounted_kptr") => Thing::Object,
        _ if field.is_some() => Thing::Field(field.unwrap_or(0), 0),
        "bpf_list_node" | "bpf_rb_node" => Thing::Object,
        name if name.starts_with("bpf_iter_") && begins => Thing::Uninit,
        name if name.starts_with("bpf_iter_") && iterates => Thing::Iter,
        "__sk_buff" | "xdp_md" | "bpf_nf_ctx" | "bpf_sock_addr_kern" | "pt_regs" => Thing::Ctx,
        "sk_buff" | "xdp_buff" => Thing::Ctx,
        "task_struct" => Thing::Task,
        "cgroup" => Thing::Cgroup,
        "cpumask" | "bpf_cpumask" => Thing::Cpumask,
        "sock" => Thing::Sock,
        "sock_common" => Thing::SockCommon,
        "" if matches!(vmlinux.resolved(target), Ok(Type::FuncProto(_))) => Thing::Func,
        "" => Thing::Value(0),
        _ if id != 0 && vmlinux.size_of(id).is_ok_and(|size| size <= 64) => Thing::Value(0),
        _ => Thing::Cast(id),
    }
}

/// Puts a call to both judges; gives its name, or `None` where the hook has no such thing.
pub fn judge(scene: &Scene, judge: &Arc<Layer<Judge>>, case: &Case) -> Option<String> {
    let (vmlinux, hook) = (&scene.vmlinux, &HOOKS[case.hook]);
    let (ret, params) = prototype(vmlinux, case.function)?;
    let function = vmlinux.type_by_id(case.function).ok()?.name().to_string();
    let call = Insn::Call(skep_isa::Callee::Kfunc { btf_id: case.function as i32, module: 0 });
    let mut script = scene.open();
    let mut ready = Vec::new();
    for (index, param) in params.iter().enumerate() {
        let thing = match case.odd {
            None => Thing::Null,
            Some((odd, thing)) if odd == index => thing,
            Some(_) => fitting(scene, case.function, param),
        };
        ready.push(scene.prepare(&mut script, hook, thing)?);
    }
    for (index, ready) in ready.iter().enumerate() {
        let reg = Reg::new(index as u8 + 1)?;
        scene.give(&mut script, reg, *ready);
    }
    script.put(call);
    let row = row(vmlinux, case.function);
    let has = |flag| row.is_some_and(|row| row.has(flag));
    if has(KfuncFlags::ACQUIRE) {
        let yields = pointed(vmlinux, ret).map(|(name, _)| name).unwrap_or_default();
        let release = RELEASES.iter().find(|(of, _)| *of == yields).map(|(_, release)| *release);
        if has(KfuncFlags::RET_NULL) {
            script.only_if(Cond::Ne, Reg::R0, Operand::Imm(0));
        }
        script.mov(Reg::R1, Operand::Reg(Reg::R0));
        script.mov(Reg::R2, Operand::Imm(0));
        script.kfunc(release.unwrap_or("bpf_obj_drop_impl"));
    }
    let stem = function.strip_suffix("_new").filter(|_| has(KfuncFlags::ITER_NEW));
    let end = match stem {
        Some(stem) => Some(format!("{stem}_destroy")),
        None => ENDS.iter().find(|(begin, _)| *begin == function).map(|(_, end)| end.to_string()),
    };
    if let Some(end) = end {
        if let Some(first) = ready.first() {
            scene.give(&mut script, Reg::R1, *first);
        }
        script.kfunc(&end);
    }
    // What was begun and not given to be ended.
    for (param, ready) in params.iter().zip(&ready) {
        let name = pointed(vmlinux, param.type_id).map(|(name, _)| name).unwrap_or_default();
        if name == "bpf_iter_num" && has(KfuncFlags::ITER_NEXT) {
            scene.give(&mut script, Reg::R1, *ready);
            script.kfunc("bpf_iter_num_destroy");
        }
    }
    let consumed =
        has(KfuncFlags::RELEASE).then(|| ready.iter().find_map(|ready| ready.slot())).flatten();
    let insns = script.finish(hook.code, consumed);
    let what = match case.odd {
        None => "zeros".into(),
        Some((index, thing)) => format!("arg{index} {thing:?}"),
    };
    scene.load(judge, hook, insns);
    Some(format!("{} {function}: {what}", hook.name))
}
