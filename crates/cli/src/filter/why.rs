//! What decided each packet: a line with the condition of the expression, the bytes that it
//! read, and how they compare.

use std::io::Write;

use serde_json::json;
use skep::isa::classic::{Cond, Packet};
use skep_lang::pcap::{Asked, Explainer, Reason};

use crate::failure::Failure;
use crate::hex::spaced;
use crate::terminal::clean;

/// Tells of packets, one after the other.
pub struct Why<'a> {
    json: bool,
    text: &'a str,
    out: &'a mut dyn Write,
    number: u64,
}

impl<'a> Why<'a> {
    /// Writes lines there, or JSON.
    pub fn new(json: bool, text: &'a str, out: &'a mut dyn Write) -> Why<'a> {
        Why { json, text, out, number: 0 }
    }

    /// Tells of the next packet, of which the filter says whether it is wanted.
    ///
    /// # Errors
    /// Writing fails; or the explanation is not the filter's, which is a mistake in skep.
    pub fn tell(
        &mut self,
        explainer: &Explainer,
        packet: &Packet<'_>,
        wanted: bool,
    ) -> Result<(), Failure> {
        self.number += 1;
        let reason = explainer.explain(packet);
        if reason.taken != wanted {
            let message = "the explanation differs from what the filter decides";
            let failure = Failure::refused(message).context(&format!("packet {}", self.number));
            return Err(failure.hint("this is a mistake in skep: please report the expression"));
        }
        match self.json {
            true => self.object(&reason, packet)?,
            false => self.line(&reason, packet)?,
        }
        Ok(())
    }

    fn condition(&self, reason: &Reason) -> &'a str {
        reason.decisive().and_then(|span| self.text.get(span)).unwrap_or_default()
    }

    fn line(&mut self, reason: &Reason, packet: &Packet<'_>) -> std::io::Result<()> {
        let verdict = if reason.taken { "taken" } else { "refused" };
        let condition = self.condition(reason);
        let because = match (&reason.missing, reason.asked.last()) {
            (Some((_, Some((offset, bytes)))), _) => {
                let have = packet.data.len();
                format!("{} not in the packet's {have} bytes", place(*offset, *bytes))
            }
            (Some((_, None)), _) => "what it asks for is not there, or it divides by zero".into(),
            (None, Some(asked)) => compared(asked, packet),
            (None, None) => "every packet matches".into(),
        };
        let number = self.number;
        writeln!(self.out, "{number}\t{verdict}\t{}\t{because}", clean(condition))
    }

    fn object(&mut self, reason: &Reason, packet: &Packet<'_>) -> Result<(), Failure> {
        let bytes = |(offset, count): (i64, u32)| {
            let field = field(packet, offset, count).map(crate::hex::plain);
            json!({ "offset": offset, "size": count, "bytes": field })
        };
        let tests: Vec<_> = reason
            .asked
            .iter()
            .map(|asked| {
                let (left, cond, right) = asked.compared;
                let condition = self.text.get(asked.span.clone());
                json!({
                    "condition": condition,
                    "read": asked.read.iter().copied().map(bytes).collect::<Vec<_>>(),
                    "metadata": asked.metadata.map(skep::isa::classic::Ancillary::name),
                    "left": left, "relation": sign(cond, true), "right": right,
                    "holds": asked.holds,
                })
            })
            .collect();
        let missing = reason.missing.as_ref().map(|(_, read)| read.map(bytes));
        let object = json!({
            "packet": self.number,
            "taken": reason.taken,
            "condition": self.condition(reason),
            "tests": tests,
            "missing": missing,
        });
        serde_json::to_writer(&mut *self.out, &object).map_err(std::io::Error::from)?;
        Ok(writeln!(self.out)?)
    }
}

/// `byte 23`, `bytes 12-13`.
fn place(offset: i64, bytes: u32) -> String {
    match bytes {
        1 => format!("byte {offset}"),
        _ => format!("bytes {offset}-{}", offset + i64::from(bytes) - 1),
    }
}

fn field<'a>(packet: &Packet<'a>, offset: i64, bytes: u32) -> Option<&'a [u8]> {
    packet.data.get(usize::try_from(offset).ok()?..)?.get(..bytes as usize)
}

/// The sign of a relation, or of its opposite.
fn sign(cond: Cond, holds: bool) -> &'static str {
    match (cond, holds) {
        (Cond::Eq, true) => "=",
        (Cond::Eq, false) => "!=",
        (Cond::Gt, true) => ">",
        (Cond::Gt, false) => "<=",
        (Cond::Ge, true) => ">=",
        (Cond::Ge, false) => "<",
        (Cond::Set, true) => "has bits of",
        (Cond::Set, false) => "has no bit of",
    }
}

/// `bytes 12-13 = 08 00: 0x800 = 0x800`.
fn compared(asked: &Asked, packet: &Packet<'_>) -> String {
    let mut read: Vec<String> = asked
        .read
        .iter()
        .map(|&(offset, bytes)| {
            let found = field(packet, offset, bytes).unwrap_or_default();
            format!("{} = {}", place(offset, bytes), spaced(found))
        })
        .collect();
    read.extend(asked.metadata.map(|what| format!("[{}]", what.name())));
    let (left, cond, right) = asked.compared;
    let relation = format!("{left:#x} {} {right:#x}", sign(cond, asked.holds));
    match read.is_empty() {
        true => relation,
        false => format!("{}: {relation}", read.join(", ")),
    }
}
