//! Values are read from the bytes that clang laid out, and written to the same.

mod common;

use common::{compile, section};
use skep_btf::value::{Value, decode, encode, split_entry};
use skep_btf::{Btf, Builder, Int, Kind};

/// A variable for each case, its bytes by clang; in both byte orders.
const SOURCE: &str = r#"
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u32 __be32;
struct in_addr { __be32 s_addr; };
struct in6_addr { union { __u8 u6_addr8[16]; __u32 u6_addr32[4]; } in6_u; };
enum verdict { DROP = 1, PASS = 2, LEAST = -5 };
enum wide { HUGE = 0x123456789aULL };
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NET16(x) ((__u16)((x) << 8 | (x) >> 8))
#define NET32(x) __builtin_bswap32(x)
#else
#define NET16(x) (x)
#define NET32(x) (x)
#endif

struct flow { __be32 saddr; __be32 daddr; __be16 port; __u8 proto; };
struct flow flow = { NET32(0x0a000007), NET32(0xc0a80101), NET16(443), 6 };

struct stats { __u64 packets; struct { __u32 bytes; union { int error; }; }; enum verdict last; };
struct stats stats = { 1201, { 65000, { -3 } }, PASS };

struct mixed {
	char name[16]; char binary[4]; __u8 raw[3]; __u8 src_mac[6]; signed char small; char letter;
	_Bool yes; double fraction; float half; short list[3]; int matrix[2][2]; void *pointer;
	enum wide wide; enum verdict least; enum verdict nameless; struct in_addr host;
	struct in6_addr host6; __int128 big; long negative;
};
struct mixed mixed = {
	"eth0", { 1, 2, 3, 4 }, { 0xde, 0xad, 0x00 }, { 2, 0, 0, 0, 0, 1 }, -7, 'x',
	1, 0.25, -0.5f, { 1, -2, 3 }, { { 1, 2 }, { 3, 4 } }, (void *)0x1234,
	HUGE, LEAST, (enum verdict)77, { NET32(0x7f000001) },
	{ { { 0x20, 1, 0xd, 0xb8, [15] = 1 } } }, -((__int128)1 << 100), -9,
};

struct bits { unsigned a : 3; int b : 5; __u64 c : 40; unsigned d : 1; enum verdict e : 4; };
struct bits bits = { 5, -11, 0xabcdef0123, 1, PASS };
"#;

const CASES: [(&str, &str); 4] = [
    ("flow", "{ saddr: 10.0.0.7, daddr: 192.168.1.1, port: 443, proto: 6 }"),
    ("stats", "{ packets: 1201, bytes: 65000, error: -3, last: PASS }"),
    (
        "mixed",
        "{ name: \"eth0\", binary: hex:01020304, raw: hex:dead00, src_mac: 02:00:00:00:00:01, \
         small: -7, letter: 120, yes: true, fraction: 0.25, half: -0.5, list: [1, -2, 3], \
         matrix: [[1, 2], [3, 4]], pointer: 0x1234, wide: HUGE, least: LEAST, nameless: 77, \
         host: 127.0.0.1, host6: 2001:db8::1, big: -1267650600228229401496703205376, negative: -9 }",
    ),
    ("bits", "{ a: 5, b: -11, c: 737894400291, d: 1, e: PASS }"),
];

/// A type's id and the bytes of a variable of it.
type Variable = (u32, Vec<u8>);

/// The variable of each case.
fn variables(arguments: &[&str]) -> Option<(Btf, Vec<Variable>)> {
    let source = SOURCE.to_string() + &format!("// {arguments:?}\n");
    let object = match arguments {
        [] => compile("values", &source)?,
        _ => {
            let path = common::scratch("values_big").join("values.c");
            std::fs::write(&path, source).expect("write");
            common::compile_file(&path, arguments)?
        }
    };
    let btf = Btf::parse(section(&object, ".BTF").expect("a .BTF section")).expect("parses");
    let data = section(&object, ".data").expect("a .data section");
    let offsets = common::symbols(&object);
    let found = CASES
        .iter()
        .map(|(name, _)| {
            let id = btf.find(name, Kind::Struct).expect("the struct of the same name");
            let start = offsets[*name] as usize;
            let size = btf.size_of(id).expect("a size") as usize;
            (id, data[start..start + size].to_vec())
        })
        .collect();
    Some((btf, found))
}

#[test]
fn what_clang_laid_out_is_read_and_written_again_in_both_byte_orders() {
    for arguments in [&[][..], &["--target=bpfeb"][..]] {
        let Some((btf, found)) = variables(arguments) else {
            return;
        };
        for ((name, text), (id, bytes)) in CASES.iter().zip(&found) {
            let value = decode(&btf, *id, bytes).expect("as many bytes as it needs");
            assert_eq!(value.to_string(), *text, "{name} {arguments:?}");
            let written = encode(&btf, *id, text).expect("what we print can be read");
            assert_eq!(&written, bytes, "{name} {arguments:?}");
        }
    }
}

#[test]
fn json_and_shorthand_say_the_same() {
    let Some((btf, found)) = variables(&[]) else {
        return;
    };
    let (id, bytes) = &found[0];
    for text in [
        r#"{"saddr": "10.0.0.7", "daddr": "192.168.1.1", "port": 443, "proto": 6}"#,
        "{saddr=10.0.0.7,daddr=192.168.1.1,port=0x1bb,proto=0b110}",
        "{ 10.0.0.7, 192.168.1.1, 443, 6 }",
        "  { port: 443, proto: 6, saddr: 10.0.0.7, daddr: 192.168.1.1, } ",
    ] {
        assert_eq!(encode(&btf, *id, text).as_ref(), Ok(bytes), "{text}");
    }
    let whole: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(encode(&btf, *id, &format!("hex:{whole}")).as_ref(), Ok(bytes));
}

#[test]
fn text_that_does_not_fit_says_where_and_why() {
    let Some((btf, found)) = variables(&[]) else {
        return;
    };
    for (index, text, message) in [
        (0, "{ port: 65536 }", "flow.port: 65536 does not fit in 16 bits"),
        (0, "{ prot: 6 }", "flow: no member \"prot\"; it has saddr, daddr, port, proto"),
        (0, "{ saddr: here }", "flow.saddr: \"here\" is no number"),
        (0, "7", "flow: \"7\" is no value for a struct"),
        (0, "{ proto: 6", "text at offset 10: expected ',' or '}'"),
        (0, "hex:00", "flow: 2 hexadecimal digits for 12 bytes"),
        (1, "{ last: MAYBE }", "stats.last: \"MAYBE\" is none of DROP, PASS, LEAST"),
        (2, "{ list: [1, 2, 3, 4] }", "mixed.list: 4 elements for an array of 3"),
        (2, "{ list: [1, 40000] }", "mixed.list[1]: 40000 does not fit in 16 signed bits"),
        (2, "{ raw: \"four\" }", "mixed.raw: 4 bytes of text for an array of 3"),
        (2, "{ raw: 123 }", "mixed.raw: \"123\" is no value for an array: [1, 2] or hex:0102 is"),
        (3, "{ b: 16 }", "bits.b: 16 does not fit in 5 signed bits"),
        (3, "{ a: [1] }", "bits.a: a list is no value for a bitfield"),
    ] {
        let error = encode(&btf, found[index].0, text).expect_err(text);
        assert_eq!(error.to_string(), message);
    }
    let error = decode(&btf, found[0].0, &[0; 11]).expect_err("too few bytes");
    assert_eq!(error.to_string(), "the value: needs 12 bytes, there are 11");
}

#[test]
fn scalars_need_no_braces() {
    let mut builder = Builder::new();
    let int = builder.int("int", 4, Int::SIGNED);
    let unsigned = builder.int("unsigned int", 4, 0);
    let network = builder.typedef("__be32", unsigned);
    let btf = builder.build().expect("whole");
    assert_eq!(encode(&btf, int, "-2"), Ok(vec![0xfe, 0xff, 0xff, 0xff]));
    assert_eq!(encode(&btf, unsigned, "10.0.0.7"), Ok(vec![10, 0, 0, 7]));
    assert_eq!(encode(&btf, network, "1"), Ok(vec![0, 0, 0, 1]));
    assert_eq!(decode(&btf, network, &[0, 0, 0, 1]), Ok(Value::Unsigned(1)));
    assert_eq!(decode(&btf, unsigned, &[10, 0, 0, 7]), Ok(Value::Unsigned(0x0700_000a)));
}

#[test]
fn a_map_entry_splits_at_the_colon_between_key_and_value() {
    for (text, entry) in [
        ("1:2", Some(("1", "2"))),
        ("{ a: 1 }: { b: 2 }", Some(("{ a: 1 }", "{ b: 2 }"))),
        ("\"2001:db8::1\":[1, 2]", Some(("\"2001:db8::1\"", "[1, 2]"))),
        ("hex:0a00:5", Some(("hex:0a00", "5"))),
        ("\"a\\\":b\":1", Some(("\"a\\\":b\"", "1"))),
        ("10.0.0.7", None),
        ("{ a: 1 }", None),
    ] {
        assert_eq!(split_entry(text), entry, "{text}");
    }
}

#[test]
fn nothing_in_a_value_reaches_a_terminal_unescaped() {
    let value = Value::Struct(vec![
        ("a\u{1b}[2J".into(), Value::Text("\u{7}\"x\"".into())),
        ("e".into(), Value::Enum { name: Some("\u{1b}".into()), value: 1 }),
    ]);
    let shown = value.to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert_eq!(shown, r#"{ a\u{1b}[2J: "\u{7}\"x\"", e: \u{1b} }"#);
}
