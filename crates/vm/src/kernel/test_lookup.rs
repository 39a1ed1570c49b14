//! TEST_RUN of programs on fields: flow dissectors, look-ups of sockets, netfilter hooks.

use skep_abi::limits::FLOW_KEYS;
use std::sync::Arc;
use std::time::Instant;

use skep_abi::context::at::sk_lookup as look;
use skep_sys::{Errno, TestRun};

use super::test_run::{PAGE, context_in, finish, finish_context, returned, stopped, word};
use crate::contexts::plain::Filling;
use crate::contexts::skb::ETH_HLEN;
use crate::contexts::xdp::TAIL_RESERVE;
use crate::engine::event::{self, Event, Refused, first_keys};
use crate::engine::runner::Scene;
use crate::engine::workspaces::{Place, Workspace};
use crate::kernel::input;
use crate::kernel::vm::Vm;
use crate::memory::value::Value;
use crate::objects::program::Program;

/// Where a flow's flags are among its keys.
const KEY_FLAGS: u32 = 48;

fn no_flags(attr: &TestRun<'_>) -> Result<(), Errno> {
    match (attr.flags, attr.cpu, attr.batch_size) {
        (0, 0, 0) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

fn ns(started: Instant, times: u32) -> u32 {
    u32::try_from(started.elapsed().as_nanos() / u128::from(times)).unwrap_or(u32::MAX)
}

/// `bpf_prog_test_run_flow_dissector`.
pub(super) fn run_flow_dissector(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    no_flags(attr)?;
    let size = attr.data_size_in as usize;
    if !(ETH_HLEN..=PAGE).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let frame = input(&attr.data_in, size)?.to_vec();
    let context = context_in(attr, FLOW_KEYS)?;
    let mut flags = 0;
    if let Some(keys) = &context {
        let flags_at = KEY_FLAGS as usize..KEY_FLAGS as usize + 4;
        if keys.iter().enumerate().any(|(at, &byte)| byte != 0 && !flags_at.contains(&at)) {
            return Err(Errno::EINVAL);
        }
        flags = word(keys, KEY_FLAGS);
    }
    let place = Place::Plain(program.prog_type, program.expected_attach_type);
    let mut workspace = Workspace::new(&vm.machine, place)?;
    let (times, started) = (attr.repeat.max(1), Instant::now());
    let mut retval = 0;
    for _ in 0..times {
        let plain = workspace.plain()?;
        plain.fill(Filling { data: &frame, ..Filling::default() });
        plain.keys().copy_from_slice(&first_keys(&frame, flags));
        let arguments = [Value::context(plain.size()), Value::UNINIT];
        match workspace.run(vm.machine.how(), program, arguments, Scene::default(), 1) {
            Ok((outcome, _)) => retval = returned(attr, outcome)?,
            Err(why) => return Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
        }
    }
    let duration = ns(started, times);
    let keys = workspace.plain()?.keys();
    let offset = |at: usize| keys[at..].first_chunk().copied().map_or(0, u16::from_ne_bytes);
    let end = size.min(u16::MAX.into()) as u16;
    let network = offset(0).clamp(ETH_HLEN as u16, end);
    let transport = offset(2).clamp(network, end);
    keys[0..2].copy_from_slice(&network.to_ne_bytes());
    keys[2..4].copy_from_slice(&transport.to_ne_bytes());
    let keys = keys.to_vec();
    finish(attr, retval, duration, &keys)?;
    finish_context(attr, context.as_deref())?;
    Ok(0)
}

/// `bpf_prog_test_run_sk_lookup`.
pub(super) fn run_sk_lookup(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    const AF_INET: u16 = 2;
    const AF_INET6: u16 = 10;
    const SK_PASS: u32 = 1;
    no_flags(attr)?;
    let data = attr.data_in.is_some() || !attr.data_out.is_null();
    if data || attr.data_size_in != 0 || attr.data_size_out != 0 {
        return Err(Errno::EINVAL);
    }
    let mut context = context_in(attr, look::SIZE_OF as usize)?.ok_or(Errno::EINVAL)?;
    let behind_port = look::LOCAL_PORT as usize + 4;
    if context[..8].iter().chain(&context[behind_port..]).any(|&byte| byte != 0) {
        return Err(Errno::EINVAL);
    }
    if word(&context, look::LOCAL_PORT) > u16::MAX.into() {
        return Err(Errno::ERANGE);
    }
    let family = word(&context, look::FAMILY) as u16;
    if !matches!(family, AF_INET | AF_INET6) {
        return Err(Errno::EAFNOSUPPORT);
    }
    // What the program sees is what the kernel keeps: 16 bits of family, protocol and ports, and
    // the addresses of the family.
    let mut seen = context.clone();
    for at in [look::FAMILY, look::PROTOCOL] {
        let kept = u32::from(word(&context, at) as u16);
        seen[at as usize..at as usize + 4].copy_from_slice(&kept.to_ne_bytes());
    }
    seen[look::PADDING as usize..look::LOCAL_IP4 as usize].fill(0);
    let other = match family {
        AF_INET => [(look::REMOTE_IP6, 16), (look::LOCAL_IP6, 16)],
        _ => [(look::REMOTE_IP4, 4), (look::LOCAL_IP4, 4)],
    };
    for (at, len) in other {
        seen[at as usize..at as usize + len].fill(0);
    }
    let place = Place::Plain(program.prog_type, program.expected_attach_type);
    let mut workspace = Workspace::new(&vm.machine, place)?;
    let (times, started) = (attr.repeat.max(1), Instant::now());
    workspace.plain()?.fill(Filling { fields: &seen, ..Filling::default() });
    let arguments = [Value::context(look::SIZE_OF), Value::UNINIT];
    let ran = workspace.run(vm.machine.how(), program, arguments, Scene::default(), times);
    let verdict = match ran {
        Ok((outcome, _)) => returned(attr, outcome)?,
        Err(why) => return Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
    };
    let duration = ns(started, times);
    // Anything but a refusal lets it pass.
    let retval = if verdict == 0 { 0 } else { SK_PASS };
    context[..8].fill(0);
    finish(attr, retval, duration, &[])?;
    finish_context(attr, Some(&context))?;
    Ok(0)
}

/// `bpf_prog_test_run_nf`.
pub(super) fn run_netfilter(
    vm: &Vm,
    program: &Arc<Program>,
    attr: &mut TestRun<'_>,
) -> Result<u32, Errno> {
    /// Bytes of `struct nf_hook_state`, of which the caller says the first two.
    const STATE: usize = 48;
    const LOCAL_OUT: u8 = 3;
    const IPV4: u8 = 2;
    const IPV6: u8 = 10;
    const HEADROOM: usize = 64;
    const IP_HEADER: usize = 20;
    const IP6_HEADER: usize = 40;
    no_flags(attr)?;
    let size = attr.data_size_in as usize;
    if !(IP_HEADER..=PAGE - HEADROOM - TAIL_RESERVE).contains(&size) {
        return Err(Errno::EINVAL);
    }
    let packet = input(&attr.data_in, size)?.to_vec();
    let mut state = vec![0; STATE];
    (state[0], state[1]) = (LOCAL_OUT, IPV4);
    if let Some(given) = context_in(attr, STATE)? {
        if given[2..].iter().any(|&byte| byte != 0) || !matches!(given[1], IPV4 | IPV6) {
            return Err(Errno::EINVAL);
        }
        state[..2].copy_from_slice(&given[..2]);
    }
    if state[0] != LOCAL_OUT {
        let short = |len: usize| size < ETH_HLEN + len;
        if short(IP_HEADER) {
            return Err(Errno::EINVAL);
        }
        match u16::from_be_bytes([packet[12], packet[13]]) {
            0x0800 if state[1] == IPV4 => {}
            0x86dd if state[1] == IPV6 && !short(IP6_HEADER) => {}
            0x0800 | 0x86dd => return Err(Errno::EINVAL),
            _ => return Err(Errno::EPROTO),
        }
    }
    let started = Instant::now();
    let times = attr.repeat.max(1);
    let event = Event { context: &state, data: &packet, times, ..Event::default() };
    let after = match event::run(&vm.machine, program, &event) {
        Ok(after) => after,
        Err(Refused::Context(errno)) => return Err(errno),
        Err(Refused::Vcpu(why)) => return Err(stopped(attr, why.to_string(), None, Errno::EBUSY)),
    };
    let retval = returned(attr, after.outcome)?;
    finish(attr, retval, ns(started, times), &[])?;
    Ok(0)
}
