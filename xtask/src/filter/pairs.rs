//! Pairs of random expressions: what `equal` says beside packets that are tried by hand.
//! Half of the pairs are two forms of one expression.

use anyhow::Result;
use skep_isa::classic::Packet;
use skep_lang::pcap::{Equality, Options as Compile, compile, equal};

use super::packets::{start, steer};
use super::{Offline, Options, expressions};
use crate::inputs::Random;

/// Another form of an expression, or another expression.
fn partner(one: &str, random: &mut Random) -> String {
    match random.index(8) {
        0 => format!("not (not ({one}))"),
        1 => format!("({one}) and ({one})"),
        2 => format!("({one}) or ({one})"),
        3 => format!("len >= 0 and ({one})"),
        4 => format!("({one}) and {}", expressions::expression(random)),
        5 => format!("({one}) or {}", expressions::expression(random)),
        _ => expressions::expression(random),
    }
}

pub(super) fn execute(options: &Options) -> Result<bool> {
    let mut random = Random::new(options.seed);
    let settings = Compile { names: &Offline, ..Compile::default() };
    let plain = Compile { optimize: false, ..settings };
    let (mut same, mut differ, mut unknown, mut wrong) = (0, 0, 0, 0);
    while same + differ + unknown < options.pairs {
        let one = expressions::expression(&mut random);
        let other = partner(&one, &mut random);
        let (Ok(first), Ok(second)) = (compile(&one, &plain), compile(&other, &plain)) else {
            continue;
        };
        let runs = |data: &[u8], len: u32| {
            let packet = Packet { data, len, metadata: None };
            [&first, &second].map(|filter| filter.program().run(&packet) != 0)
        };
        let verdict = equal((&one, &settings), (&other, &settings))?;
        let good = match &verdict {
            Equality::Equal => {
                same += 1;
                true
            }
            Equality::Differ(witness) => {
                differ += 1;
                runs(&witness.data, witness.len) == [witness.first, !witness.first]
            }
            Equality::Unknown(_) => {
                unknown += 1;
                true
            }
        };
        let mut told = None;
        for _ in 0..options.inputs {
            let mut data = start(&[], &mut random);
            steer(first.program(), &mut data, &mut random);
            steer(second.program(), &mut data, &mut random);
            let [takes, other] = runs(&data, data.len() as u32);
            if takes != other {
                told = Some(data);
                break;
            }
        }
        let contradicted = verdict == Equality::Equal && told.is_some();
        if !good || contradicted {
            wrong += 1;
            println!("{one:?} and {other:?}: {verdict:?}, {told:02x?}");
        } else if let (Equality::Unknown(why), true) = (&verdict, options.verbose) {
            println!("{one:?} and {other:?}: {why}; by packets {}", told.is_some());
        }
    }
    println!("{same} pairs proved equal, {differ} told apart by a packet, {unknown} not decided");
    let all = options.pairs;
    println!("parity filter-equal: agree {} of {all}", all - wrong);
    Ok(wrong == 0)
}
