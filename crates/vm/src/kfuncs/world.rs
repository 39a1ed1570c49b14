//! What the world has none of: keys, files, what hardware says of packets, other kernels to
//! boot. What is asked is answered as by a machine without any.

use skep_abi::kfunc::id;
use skep_abi::{Errno, MapType};
use skep_isa::Reg;
use skep_maps::Cursor;

use super::{Arg, Entry, status};
use crate::helpers::misc::print;
use crate::memory::value::Value;
use crate::run::dynptrs::{Data, Dynptr};
use crate::run::{Run, Stop};

pub(super) const FUNCTIONS: &[Entry] = &[
    (id::LOOKUP_USER_KEY, null, &[Arg::Number, Arg::Number]),
    (id::LOOKUP_SYSTEM_KEY, null, &[Arg::Number]),
    (id::KEY_PUT, nothing, &[Arg::Number]),
    (id::GET_TASK_EXE_FILE, null, &[Arg::Number]),
    (id::PUT_FILE, nothing, &[Arg::Number]),
    (id::CRASH_KEXEC, nothing, &[Arg::Number]),
    (id::CSS_RSTAT_UPDATED, nothing, &[Arg::Number, Arg::Number]),
    (id::CSS_RSTAT_FLUSH, nothing, &[Arg::Number]),
    (id::SEND_SIGNAL_TASK, send_signal, &[Arg::Number, Arg::Number, Arg::Number, Arg::Number]),
    (id::XDP_METADATA_RX_TIMESTAMP, no_metadata, &[Arg::Context, Arg::Number]),
    (id::XDP_METADATA_RX_HASH, no_metadata, &[Arg::Context, Arg::Number, Arg::Number]),
    (id::XDP_METADATA_RX_VLAN_TAG, no_metadata, &[Arg::Context, Arg::Number, Arg::Number]),
    (id::XDP_PULL_DATA, pull, &[Arg::Context, Arg::Number]),
    (id::DYNPTR_FROM_SKB_META, metadata, &[Arg::Context, Arg::Number, Arg::Dynptr]),
    (id::MAP_SUM_ELEM_COUNT, count, &[Arg::Map]),
    (id::STREAM_VPRINTK, print_to_stream, &[Arg::Number, Arg::Address, Arg::Memory, Arg::Number]),
];

fn null(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

fn nothing(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(Value::scalar(0))
}

/// `bpf_send_signal_task(task, signal, type, value)`: it reaches nobody.
fn send_signal(run: &mut Run<'_>) -> Result<Value, Stop> {
    const LAST: u32 = 64;
    /// To the thread, or to its process.
    const KINDS: u32 = 2;
    let (signal, kind) = (run.read(Reg::R2)?.bits as u32, run.read(Reg::R3)?.bits as u32);
    let known = signal <= LAST && kind < KINDS;
    Ok(status(if known { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_xdp_metadata_rx_hash(xdp, ..)` and its like.
fn no_metadata(_run: &mut Run<'_>) -> Result<Value, Stop> {
    Ok(status(Err(Errno::EOPNOTSUPP)))
}

/// `bpf_xdp_pull_data(xdp, len)`: frames are never in pieces here.
fn pull(run: &mut Run<'_>) -> Result<Value, Stop> {
    let len = run.read(Reg::R2)?.bits as u32;
    let frame = run.context.xdp().map(|xdp| xdp.frame.len());
    let fits = frame.is_some_and(|frame| len as usize <= frame);
    Ok(status(if fits { Ok(()) } else { Err(Errno::EINVAL) }))
}

/// `bpf_dynptr_from_skb_meta(skb, flags, ptr)`: socket buffers here come with none.
fn metadata(run: &mut Run<'_>) -> Result<Value, Stop> {
    let flags = run.read(Reg::R2)?.bits;
    let place = run.dynptr_place("bpf_dynptr_from_skb_meta", Reg::R3)?;
    let made = match flags {
        0 => Dynptr::new(Data::Memory(Value::scalar(0)), 0, true),
        _ => Err(Errno::EINVAL),
    };
    Ok(status(run.make_dynptr(place, made)))
}

/// `bpf_stream_vprintk_impl(stream, format, arguments, bytes of them, aux)`: to where the texts of
/// programs go.
fn print_to_stream(run: &mut Run<'_>) -> Result<Value, Stop> {
    /// A program has two: its output and its errors.
    const STREAMS: [u32; 2] = [1, 2];
    let stream = run.read(Reg::R1)?.bits as u32;
    if !STREAMS.contains(&stream) {
        return Ok(status(Err(Errno::ENOENT)));
    }
    let format = run.text_argument(Reg::R2)?;
    match run.list_argument("bpf_stream_vprintk", Reg::R3, Reg::R4)? {
        Ok(arguments) => {
            let printed = print(run, &format, &arguments);
            let failed = (printed.bits as i64) < 0;
            Ok(if failed { printed } else { Value::scalar(0) })
        }
        Err(errno) => Ok(status(Err(errno))),
    }
}

/// `bpf_map_sum_elem_count(map)`: of hash maps; others do not count.
fn count(run: &mut Run<'_>) -> Result<Value, Stop> {
    use MapType::{Hash, LruHash, LruPercpuHash, PercpuHash};
    let cpu = run.cpu();
    let map = run.map_argument("bpf_map_sum_elem_count", Reg::R1)?;
    let counts = matches!(map.map.map_type(), Hash | PercpuHash | LruHash | LruPercpuHash);
    let mut cursor = Cursor::default();
    let elements = std::iter::from_fn(|| map.map.walk(&mut cursor, cpu));
    Ok(Value::scalar(if counts { elements.count() as u64 } else { 0 }))
}
