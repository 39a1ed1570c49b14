//! States as Linux's log shows them. Counterpart: `print_verifier_state` and
//! `verbose_linfo` in `kernel/bpf/log.c`.

use std::fmt::Write;

use crate::checker::Checker;
use crate::log::say;
use crate::reg::{ID_PLUS_OFFSET, IterState, Kind, Reg};
use crate::state::{Byte, Frame, State};
use crate::value::Value;

fn unsigned(value: u64) -> String {
    if value <= 0xffff { value.to_string() } else { format!("{value:#x}") }
}

fn signed(value: i64) -> String {
    if (-0x8000..=0x7fff).contains(&value) {
        value.to_string()
    } else {
        format!("{:#x}", value as u64)
    }
}

/// A 32-bit signed bound; in hex without the sign's extension.
fn signed32(value: i32) -> i64 {
    if (-0x8000..=0x7fff).contains(&value) { value.into() } else { (value as u32).into() }
}

/// The ranges, those with equal numbers together: `smin=umin=1,smax=umax=9`.
fn ranges(value: &Value) -> Vec<String> {
    let all: [(&str, u64, bool); 8] = [
        ("smin", value.smin as u64, value.smin == i64::MIN),
        ("smax", value.smax as u64, value.smax == i64::MAX),
        ("umin", value.umin, value.umin == 0),
        ("umax", value.umax, value.umax == u64::MAX),
        ("smin32", signed32(value.smin32) as u64, value.smin32 == i32::MIN),
        ("smax32", signed32(value.smax32) as u64, value.smax32 == i32::MAX),
        ("umin32", value.umin32.into(), value.umin32 == 0),
        ("umax32", value.umax32.into(), value.umax32 == u32::MAX),
    ];
    let negative =
        |(name, number, _): (&str, u64, bool)| name.starts_with('s') && (number as i64) < 0;
    let mut done = all.map(|(_, _, omitted)| omitted);
    let mut out = Vec::new();
    for first in 0..all.len() {
        if done[first] {
            continue;
        }
        let mut text = format!("{}=", all[first].0);
        for second in (first + 2..all.len()).step_by(2) {
            if !done[second]
                && all[second].1 == all[first].1
                && negative(all[second]) == negative(all[first])
            {
                done[second] = true;
                let _ = write!(text, "{}=", all[second].0);
            }
        }
        text += &if all[first].0.starts_with('s') {
            signed(all[first].1 as i64)
        } else {
            unsigned(all[first].1)
        };
        out.push(text);
    }
    out
}

impl Checker<'_> {
    /// One register as the log shows it.
    pub(crate) fn reg_text(&self, frame: u8, reg: &Reg) -> String {
        let mut text = String::new();
        if reg.is_scalar() && reg.precise {
            text.push('P');
        }
        if let (true, Some(value)) = (reg.is_scalar(), reg.value.as_constant()) {
            return text + &signed(value as i64);
        }
        text += &reg.type_name();
        match reg.kind {
            Kind::Arena => return text,
            Kind::Stack { frame: other } => {
                if other != frame {
                    let _ = write!(text, "[{other}]");
                }
                if let Some(value) = reg.value.as_constant() {
                    return text + &signed((value as i64).wrapping_add(reg.off.into()));
                }
            }
            Kind::Btf { btf, id } => text += &self.type_name(btf, id),
            _ => {}
        }
        let mut parts: Vec<String> = Vec::new();
        if reg.id != 0 {
            let mut id = format!("id={}", reg.id & !ID_PLUS_OFFSET);
            if reg.id & ID_PLUS_OFFSET != 0 {
                let _ = write!(id, "{:+}", reg.off);
            }
            parts.push(id);
        }
        if reg.ref_id != 0 {
            parts.push(format!("ref_obj_id={}", reg.ref_id));
        }
        if reg.is_non_owning() {
            parts.push("non_own_ref".into());
        }
        if let Some(map) = reg.map() {
            let def = &self.maps[usize::from(map)].def;
            if !def.name.is_empty() {
                parts.push(format!("map={}", def.name));
            }
            parts.push(format!("ks={},vs={}", def.key_size, def.value_size));
        }
        if !reg.is_scalar() && reg.off != 0 {
            parts.push(format!("off={}", signed(reg.off.into())));
        }
        match reg.kind {
            _ if reg.is_packet() => {
                parts.push(format!("r={}", unsigned(reg.range() as i64 as u64)))
            }
            Kind::Mem { size, .. } => parts.push(format!("sz={}", unsigned(size.into()))),
            Kind::Dynptr { kind, .. } => parts.push(format!("type={}", kind.name())),
            _ => {}
        }
        match reg.value.as_constant() {
            Some(0) => {}
            Some(value) => parts.push(format!("imm={}", signed(value as i64))),
            None => {
                parts.extend(ranges(&reg.value));
                if reg.value.bits != crate::value::Tnum::UNKNOWN {
                    parts.push(format!("var_off={}", reg.value.bits));
                }
            }
        }
        format!("{text}({})", parts.join(","))
    }

    fn slot_text(&self, frame: &Frame, index: usize) -> Option<(usize, String)> {
        let slot = &frame.stack[index];
        if slot.bytes.iter().all(|&byte| byte == Byte::Invalid) {
            return None;
        }
        let letters: String = slot.bytes.iter().map(|byte| byte.letter()).collect();
        let off = |index: usize| -(index as i32 + 1) * 8;
        let text = match slot.bytes[7] {
            Byte::Spill => {
                let above: String = letters.chars().take_while(|&letter| letter != 'r').collect();
                format!(" fp{}={above}{}", off(index), self.reg_text(frame.number, &slot.reg))
            }
            Byte::Dynptr => {
                let main = &frame.stack.get(index + 1)?.reg;
                let Kind::Dynptr { kind, .. } = main.kind else { return None };
                let mut parts = Vec::new();
                if main.id != 0 {
                    parts.push(format!("id={}", main.id));
                }
                if main.ref_id != 0 {
                    parts.push(format!("ref_id={}", main.ref_id));
                }
                let text =
                    format!(" fp{}=dynptr_{}({})", off(index + 1), kind.name(), parts.join(","));
                return Some((2, text));
            }
            Byte::Iter => {
                let Kind::Iter { btf, id, state, depth } = slot.reg.kind else { return None };
                if slot.reg.ref_id == 0 {
                    return None;
                }
                let name = self.type_name(btf, id);
                let name = name.strip_prefix("bpf_iter_").unwrap_or(&name);
                let state = match state {
                    IterState::Active => "active",
                    IterState::Drained => "drained",
                };
                format!(
                    " fp{}=iter_{name}(ref_id={},state={state},depth={depth})",
                    off(index),
                    slot.reg.ref_id
                )
            }
            _ => format!(" fp{}={letters}", off(index)),
        };
        Some((1, text))
    }

    /// A frame; only what changed, unless `all`.
    pub(crate) fn print_state(&mut self, state: &State, depth: usize, all: bool) {
        if !self.log.is_on() {
            return;
        }
        let frame = state.frame_at(depth);
        let mut text = String::new();
        if frame.number != 0 {
            let _ = write!(text, " frame{}:", frame.number);
        }
        for (number, reg) in frame.regs.iter().enumerate() {
            if reg.kind != Kind::Uninit && (all || self.touched_regs & 1 << number != 0) {
                let _ = write!(text, " R{number}={}", self.reg_text(frame.number, reg));
            }
        }
        let mut index = 0;
        while index < frame.stack.len() {
            let touched = all || self.touched_slots & 1 << index != 0;
            let shown = touched.then(|| self.slot_text(frame, index)).flatten();
            index += shown.as_ref().map_or(1, |(count, _)| *count);
            text += &shown.map_or(String::new(), |(_, text)| text);
        }
        let ids: Vec<String> = state.refs.iter().map(|held| held.id.to_string()).collect();
        if state.refs.first().is_some_and(|held| held.id != 0) {
            let _ = write!(text, " refs={}", ids.join(","));
        }
        if frame.in_callback {
            text += " cb";
        }
        if frame.in_async_callback {
            text += " async_cb";
        }
        say!(self.log, "{text}\n");
        if !all {
            (self.touched_regs, self.touched_slots) = (0, 0);
        }
    }

    /// What the last instruction changed, on its line if nothing came between.
    pub(crate) fn print_insn_state(&mut self) {
        if self.prev_log_pos != 0 && self.prev_log_pos == self.log.position() {
            self.log.rewind(self.prev_log_pos - 1);
            let pos = self.prev_insn_len;
            let width = (pos + 4).max(40).div_ceil(8) * 8 - pos - 1;
            say!(self.log, "{:>width$};", "");
        } else {
            say!(self.log, "{}:", self.pc);
        }
        let state = std::mem::replace(&mut self.cur, State::empty());
        self.print_state(&state, state.depth(), false);
        self.cur = state;
    }

    /// The source line of an instruction, unless it was printed last.
    pub(crate) fn print_line(&mut self, pc: u32, prefix: &str) {
        if !self.log.is_on() || pc >= self.len() {
            return;
        }
        let lines = &self.program.line_info;
        let Some(index) = lines.partition_point(|line| line.pc <= pc).checked_sub(1) else {
            return;
        };
        if self.prev_line == Some(index) {
            return;
        }
        let line = lines[index];
        if let Some(previous) = self.prev_line.map(|index| lines[index])
            && (previous.file_name_off, previous.line) == (line.file_name_off, line.line)
        {
            return;
        }
        let Some(btf) = &self.program.btf else { return };
        let text = btf.string(line.line_off).unwrap_or("").trim_start();
        let file = btf.string(line.file_name_off).unwrap_or("");
        let file = file.rsplit('/').next().unwrap_or(file);
        say!(self.log, "{prefix}{text} @ {file}:{}\n", line.line);
        self.prev_line = Some(index);
    }
}
