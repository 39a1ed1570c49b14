//! Whether two expressions take the same packets.

use std::io::Write;

use serde_json::json;
use skep_lang::pcap::{self, Equality, Link};

use super::{Args, expression};
use crate::failure::{Failure, Outcome, Status};
use crate::hex::{plain, spaced};

/// Bytes of a packet in a line.
const LINE: usize = 16;

/// Compares them: done where they are equal, refused where a packet tells them apart.
pub fn run(args: &Args, pair: &[String], out: &mut dyn Write) -> Outcome {
    let [one, other] = pair else { return Err(Failure::unusable("two expressions are needed")) };
    let options = args.settings(args.link()?.unwrap_or(Link::ETHERNET));
    // Mistakes are shown in the expression that has them.
    for text in [one, other] {
        expression::explainer(text, &options)?;
    }
    let found = pcap::equal((one, &options), (other, &options));
    let found = found.map_err(|error| Failure::unusable(&error.text))?;
    if args.json {
        let object = match &found {
            Equality::Equal => json!({ "equal": true }),
            Equality::Differ(witness) => json!({
                "equal": false,
                "taken_by": if witness.first { 1 } else { 2 },
                "packet": plain(&witness.data),
                "length": witness.len,
            }),
            Equality::Unknown(why) => json!({ "equal": null, "reason": why }),
        };
        writeln!(out, "{object}")?;
    }
    match found {
        Equality::Equal => {
            if !args.json {
                writeln!(out, "equal: they take the same packets")?;
            }
            Ok(Status::Done)
        }
        Equality::Differ(witness) => {
            if !args.json {
                let (takes, refuses) = if witness.first { (1, 2) } else { (2, 1) };
                writeln!(
                    out,
                    "different: this packet of {} bytes, {} on the wire, is taken by expression \
                     {takes} and refused by {refuses}:",
                    witness.data.len(),
                    witness.len
                )?;
                for (index, line) in witness.data.chunks(LINE).enumerate() {
                    writeln!(out, "  {:04x}  {}", index * LINE, spaced(line))?;
                }
            }
            Ok(Status::Refused)
        }
        Equality::Unknown(why) => Err(Failure::unusable(format!("not found out: {why}"))
            .hint("compare parts of the expressions by themselves")),
    }
}
