//! What loaders read in different ways: libbpf by its own words (the oracle runs it), aya as
//! `aya_obj::Object::parse` does, cilium/ebpf as its source says.

use skep_abi::ProgType;
use skep_load::{Loader, MapOrigin, Object, ObjectError, ObjectErrorKind, Target, relocate};

fn path(name: &str) -> String {
    format!("{}/tests/objects/{name}.bpf.o", env!("CARGO_MANIFEST_DIR"))
}

fn open(name: &str, loader: Loader) -> Result<Object, ObjectError> {
    Object::open_as(path(name), loader)
}

/// What a loader refuses, and the hint.
fn refused(name: &str, loader: Loader) -> (String, String) {
    let error = open(name, loader).expect_err("it is refused");
    let ObjectErrorKind::Rule { rule, .. } = error.kind() else { panic!("{error}") };
    (rule.clone(), error.hint().unwrap_or_default())
}

#[test]
fn a_static_program_is_refused_by_libbpf_and_listed_by_the_others() {
    let (rule, hint) = refused("static_prog", Loader::Libbpf);
    assert_eq!(rule, "sec 'xdp': program 'hidden' is static and not supported");
    assert_eq!(hint, "cilium/ebpf and aya take it: --loader cilium");
    for loader in [Loader::Cilium, Loader::Aya] {
        let object = open("static_prog", loader).expect("it is taken");
        let mut names: Vec<&str> = object.programs.iter().map(|of| of.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["hidden", "shown"]);
    }
}

#[test]
fn section_names_have_a_type_by_the_loaders_rule() {
    let types = |loader: Loader| {
        let object = open("sections", loader).expect("it is taken");
        object.programs.iter().map(|of| of.prog_type).collect::<Vec<_>>()
    };
    assert_eq!(types(Loader::Libbpf), [None, None, None]);
    let (tc, ops, xdp) = (ProgType::SchedCls, ProgType::SockOps, ProgType::Xdp);
    assert_eq!(types(Loader::Cilium), [Some(tc), Some(ops), Some(xdp)]);
    let (rule, hint) = refused("sections", Loader::Aya);
    assert_eq!(rule, "invalid program section `xdp_stats1`");
    assert_eq!(hint, "cilium/ebpf takes it: --loader cilium");
}

#[test]
fn libbpf_wants_callees_in_text() {
    let (rule, _) = refused("calls", Loader::Libbpf);
    assert_eq!(rule, "prog 'caller': bad call relo against 'helper' in section 'xdp/a'");
    let object = open("calls", Loader::Cilium).expect("cilium/ebpf takes it");
    let linked = relocate(&object, &Target::default()).expect("it links");
    let caller = linked.programs.iter().find(|of| of.def.name == "caller").expect("it is there");
    assert_eq!(caller.functions.len(), 2);
}

#[test]
fn old_map_definitions_are_read_as_far_as_the_loader_does() {
    for name in ["legacy", "legacy36"] {
        let (rule, hint) = refused(name, Loader::Libbpf);
        assert!(rule.contains("in 'maps' section"), "{rule}");
        assert!(hint.contains("--loader cilium"), "{hint}");
    }
    let shared = |loader: Loader| {
        let object = open("legacy36", loader)?;
        Ok::<_, ObjectError>(object.map("shared").expect("it is defined").clone())
    };
    let map = shared(Loader::Cilium).expect("iproute2's are read");
    assert_eq!((map.origin, map.max_entries, map.pinned), (MapOrigin::Legacy, 16, true));
    let error = shared(Loader::Aya).expect_err("aya knows no pinning of 2");
    assert!(error.to_string().contains("pinning is 2, expected 0 or 1"), "{error}");
}

#[test]
fn an_inner_map_can_be_given() {
    let mut object = open("outer", Loader::Libbpf).expect("it is taken");
    assert!(object.map("outer").is_some_and(|map| map.inner.is_none()));
    assert!(object.set_inner("outer", "nobody").is_err_and(|why| why.contains("nobody")));
    assert!(object.set_inner("model", "outer").is_err_and(|why| why.contains("holds no maps")));
    assert!(object.set_inner("outer", "outer").is_err_and(|why| why.contains("holds maps")));
    object.set_inner("outer", "model").expect("model is a plain map");
    let inner = object.map("outer").and_then(|map| map.inner.as_ref()).expect("it is set");
    assert_eq!((inner.key_size, inner.value_size, inner.max_entries), (4, 8, 8));
}

#[test]
fn two_sections_of_one_name_have_their_own_programs() {
    let object = open("twins", Loader::Libbpf).expect("libbpf takes it");
    let result = |name: &str| {
        let program = object.programs.iter().find(|of| of.name == name).expect("it is there");
        object.functions[program.function].insns[0].imm
    };
    assert_eq!((result("first_twin"), result("second_twin")), (1, 2));
}
