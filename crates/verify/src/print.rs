//! States as Linux's log shows them. Counterpart: `print_verifier_state` and
//! `verbose_linfo` in `kernel/bpf/log.c`.

use std::fmt::Write;

use crate::checker::Checker;
use crate::domain::{LogSigned, LogUnsigned, Scalar64};
use crate::log::say;
use crate::reg::{ID_PLUS_OFFSET, IterState, Kind, Reg};
use crate::state::{Byte, Frame, State};

impl Checker<'_> {
    /// One register as the log shows it.
    pub(crate) fn reg_text(&self, frame: u8, reg: &Reg) -> String {
        let mut text = String::new();
        if reg.is_scalar() && reg.precise {
            text.push('P');
        }
        if let (true, Some(value)) = (reg.is_scalar(), reg.value.as_constant()) {
            return text + &LogSigned(value as i64).to_string();
        }
        text += &reg.type_name();
        match reg.kind {
            Kind::Arena => return text,
            Kind::Stack { frame: other } => {
                if other != frame {
                    let _ = write!(text, "[{other}]");
                }
                if let Some(value) = reg.value.as_constant() {
                    let off = (value as i64).wrapping_add(reg.off.into());
                    return text + &LogSigned(off).to_string();
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
            let def = &self.code.maps[usize::from(map)].def;
            if !def.name.is_empty() {
                parts.push(format!("map={}", def.name));
            }
            parts.push(format!("ks={},vs={}", def.key_size, def.value_size));
        }
        if !reg.is_scalar() && reg.off != 0 {
            parts.push(format!("off={}", LogSigned(reg.off.into())));
        }
        match reg.kind {
            _ if reg.is_packet() => {
                parts.push(format!("r={}", LogUnsigned(reg.range() as i64 as u64)))
            }
            Kind::Mem { size, .. } => parts.push(format!("sz={}", LogUnsigned(size.into()))),
            Kind::Dynptr { kind, .. } => parts.push(format!("type={}", kind.name())),
            _ => {}
        }
        match reg.value.as_constant() {
            Some(0) => {}
            Some(value) => parts.push(format!("imm={}", LogSigned(value as i64))),
            None if reg.value == Scalar64::UNKNOWN => {}
            None => parts.push(reg.value.to_string()),
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

    /// A frame, with the line's end; only what changed, unless `all`. Nothing where
    /// nothing is logged.
    pub(crate) fn state_text(&self, state: &State, depth: usize, all: bool) -> String {
        if !self.log.is_on() {
            return String::new();
        }
        let frame = state.frame_at(depth);
        let mut text = String::new();
        if frame.number != 0 {
            let _ = write!(text, " frame{}:", frame.number);
        }
        for (number, reg) in frame.regs.iter().enumerate() {
            if reg.kind != Kind::Uninit && (all || self.shown.touched_regs & 1 << number != 0) {
                let _ = write!(text, " R{number}={}", self.reg_text(frame.number, reg));
            }
        }
        let mut index = 0;
        while index < frame.stack.len() {
            let touched = all || self.shown.touched_slots & 1 << index != 0;
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
        text.push('\n');
        text
    }

    /// A frame of the state that the path is in.
    pub(crate) fn print_current(&mut self, depth: usize, all: bool) {
        let text = self.state_text(&self.cur, depth, all);
        say!(self.log, "{text}");
        if self.log.is_on() && !all {
            (self.shown.touched_regs, self.shown.touched_slots) = (0, 0);
        }
    }

    /// What the last instruction changed, on its line if nothing came between.
    pub(crate) fn print_insn_state(&mut self) {
        if self.shown.prev_log_pos != 0 && self.shown.prev_log_pos == self.log.position() {
            self.log.rewind(self.shown.prev_log_pos - 1);
            let pos = self.shown.prev_insn_len;
            let width = (pos + 4).max(40).div_ceil(8) * 8 - pos - 1;
            say!(self.log, "{:>width$};", "");
        } else {
            say!(self.log, "{}:", self.pc);
        }
        self.print_current(self.cur.depth(), false);
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
        if self.shown.prev_line == Some(index) {
            return;
        }
        let line = lines[index];
        if let Some(previous) = self.shown.prev_line.map(|index| lines[index])
            && (previous.file_name_off, previous.line) == (line.file_name_off, line.line)
        {
            return;
        }
        let Some(btf) = &self.program.btf else { return };
        let text = btf.string(line.line_off).unwrap_or("").trim_start();
        let file = btf.string(line.file_name_off).unwrap_or("");
        let file = file.rsplit('/').next().unwrap_or(file);
        say!(self.log, "{prefix}{text} @ {file}:{}\n", line.line);
        self.shown.prev_line = Some(index);
    }
}
