//! Why a packet is taken or refused: the program of the expression as it was written is run
//! condition by condition, and the last one that it asked is the one that decided.

use std::ops::Range;

use skep_isa::classic::{Ancillary, Cond, Insn, Machine, Packet};

use super::graph::{End, Plain};
use super::{Error, Options};

/// A comparison that the program made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The condition of the expression that it belongs to, in bytes of the text.
    pub span: Range<usize>,
    /// The bytes that were read for it: offset and number.
    pub read: Vec<(i64, u32)>,
    /// What of the packet's metadata was read for it.
    pub metadata: Option<Ancillary>,
    /// Left side, condition, right side.
    pub compared: (u32, Cond, u32),
    /// Whether it holds.
    pub holds: bool,
}

/// Why a packet was taken or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reason {
    /// Whether it is taken.
    pub taken: bool,
    /// All that was asked, in order; the last one decided, unless something could not be
    /// read.
    pub asked: Vec<Asked>,
    /// The condition that could not be asked, with the bytes that the packet does not have;
    /// none where metadata or a division ended the run.
    pub missing: Option<Missing>,
}

/// A condition that could not be asked: its place, and the bytes (offset and number) that the
/// packet does not have.
pub type Missing = (Range<usize>, Option<(i64, u32)>);

impl Reason {
    /// The condition of the expression that decided; `None` for the empty one.
    pub fn decisive(&self) -> Option<Range<usize>> {
        let last = self.asked.last().map(|asked| asked.span.clone());
        self.missing.as_ref().map(|missing| missing.0.clone()).or(last)
    }
}

/// An expression that can say why.
///
/// ```
/// use skep_lang::pcap::{Explainer, Options};
/// use skep_isa::classic::Packet;
///
/// let text = "ip and udp";
/// let explainer = Explainer::new(text, &Options::default())?;
/// let reason = explainer.explain(&Packet::of(&[0; 60]));
/// assert!(!reason.taken);
/// assert_eq!(&text[reason.decisive().unwrap()], "ip");
/// assert_eq!(reason.asked[0].read, [(12, 2)]);
/// # Ok::<(), skep_lang::pcap::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Explainer {
    plain: Plain,
}

impl Explainer {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn new(text: &str, options: &Options<'_>) -> Result<Explainer, Error> {
        Ok(Explainer { plain: super::plain(text, options)? })
    }

    /// Why the packet is taken or refused.
    pub fn explain(&self, packet: &Packet<'_>) -> Reason {
        let mut machine = Machine::default();
        let mut reason = Reason { taken: false, asked: Vec::new(), missing: None };
        let (mut read, mut metadata) = (Vec::new(), None);
        let mut id = self.plain.graph.root;
        loop {
            let node = &self.plain.graph.nodes[id as usize];
            let span = &self.plain.spans[id as usize];
            for insn in &node.code {
                let bytes = machine.reads(*insn, packet);
                read.extend(bytes.filter(|bytes| !read.contains(bytes)));
                if let Insn::LoadAncillary { what, .. } = *insn {
                    metadata = Some(what);
                }
                if machine.step(*insn, packet).is_none() {
                    reason.missing = Some((span.clone(), bytes));
                    return reason;
                }
            }
            id = match node.end {
                End::Return(bytes) => {
                    reason.taken = bytes != 0;
                    return reason;
                }
                End::Goto(to) => to,
                End::Branch { cond, src, yes, no } => {
                    let holds = machine.holds(cond, src);
                    let compared = (machine.a, cond, machine.operand(src));
                    let read = std::mem::take(&mut read);
                    let metadata = metadata.take();
                    let span = span.clone();
                    reason.asked.push(Asked { span, read, metadata, compared, holds });
                    if holds { yes } else { no }
                }
            };
        }
    }
}
