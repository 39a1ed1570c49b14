//! Random expressions: conditions of all kinds, joined and negated, in parentheses.

use crate::inputs::Random;

/// Conditions; `#` is a small number, `@` an address, `P` a port, `%` a number of 32 bits.
const CONDITIONS: [&str; 64] = [
    "ip",
    "ip6",
    "arp",
    "rarp",
    "tcp",
    "udp",
    "icmp",
    "icmp6",
    "igmp",
    "sctp",
    "ah",
    "esp",
    "pim",
    "atalk",
    "aarp",
    "ipx",
    "stp",
    "iso",
    "netbeui",
    "llc",
    "llc i",
    "llc ui",
    "decnet src 1.#",
    "host @",
    "src host @",
    "dst @",
    "src and dst host @",
    "arp host @",
    "net 10",
    "net 10.0.0.0/8",
    "src net 192.168",
    "ip6 host ::1",
    "src net 2001:db8::/32",
    "dst host fe80::1",
    "port P",
    "tcp port P",
    "udp src port P",
    "src or dst port P",
    "portrange 20-P",
    "tcp dst portrange P-90",
    "ether host 0:1:2:3:4:5",
    "ether src ff:ff:ff:ff:ff:ff",
    "ether broadcast",
    "ether multicast",
    "ip multicast",
    "ip6 multicast",
    "ip proto #",
    "ip6 proto #",
    "ether proto 0x8#",
    "ether proto #",
    "vlan",
    "vlan #",
    "mpls",
    "mpls #",
    "pppoes",
    "pppoed",
    "less #",
    "greater #",
    "byte # > #",
    "len = #",
    "ip[#] = #",
    "ether[#:2] > #",
    "tcp[#] & # != 0",
    "ip6[#] < #",
];

/// Numbers in computations.
const NUMBERS: [&str; 14] = [
    "#",
    "%",
    "len",
    "ip[#]",
    "ip[#:2]",
    "ip[#:4]",
    "ether[#]",
    "ether[#:4]",
    "tcp[#]",
    "udp[#:2]",
    "icmp[#]",
    "icmp6[#]",
    "ip6[#:4]",
    "arp[#:2]",
];

const OPERATORS: [&str; 10] = ["+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>"];
const RELATIONS: [&str; 6] = ["=", "!=", ">", "<", ">=", "<="];

/// One expression.
pub fn expression(random: &mut Random) -> String {
    condition(random, 4)
}

fn condition(random: &mut Random, depth: usize) -> String {
    match random.index(8) {
        0..=2 if depth > 0 => {
            let joined = if random.chance(2) { "and" } else { "or" };
            format!("{} {joined} {}", condition(random, depth - 1), condition(random, depth - 1))
        }
        3 if depth > 0 => format!("not {}", condition(random, depth - 1)),
        4 if depth > 0 => format!("({})", condition(random, depth - 1)),
        5 => {
            let (left, right) = (number(random, 2), number(random, 1));
            format!("{left} {} {right}", random.pick(&RELATIONS))
        }
        _ => {
            let template: &&str = random.pick(&CONDITIONS);
            fill(template, random)
        }
    }
}

fn number(random: &mut Random, depth: usize) -> String {
    if depth == 0 || random.chance(2) {
        let template: &&str = random.pick(&NUMBERS);
        return fill(template, random);
    }
    let op = random.pick(&OPERATORS);
    // A constant on the right is seldom one that is refused.
    let right = match *op {
        "<<" | ">>" => (1 + random.index(8)).to_string(),
        _ => number(random, depth - 1),
    };
    format!("({} {op} {right})", number(random, depth - 1))
}

fn fill(template: &str, random: &mut Random) -> String {
    let mut out = String::new();
    for letter in template.chars() {
        match letter {
            '#' => {
                out += &[0, 1, 2, 6, 12, 14, 17, 20, 40, 60, 64, 100][random.index(12)].to_string()
            }
            '@' => out += *random.pick::<&str>(&["10.0.0.1", "10.0.0.2", "192.168.0.1"]),
            'P' => out += *random.pick::<&str>(&["80", "443", "53", "22"]),
            '%' if template == "%" => out += &(random.next() as u32).to_string(),
            other => out.push(other),
        }
    }
    out
}
