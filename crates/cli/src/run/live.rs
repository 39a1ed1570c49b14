//! `skep run --interface` in the embedded kernel. Alone, the program watches: it runs on a copy of
//! each frame, and what it says changes nothing. With `--to` it decides: frames cross between both
//! interfaces only here, and only as it says.
//!
//! ```text
//!   ring of a ── frame ──> program ── XDP_PASS ──> sender of b
//!                             ├────── XDP_TX ────> sender of a
//!                             └── XDP_REDIRECT ──> sender of the device that it names
//! ```

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value as Json, json};
use skep::abi::{AttachType, ProgType};
use skep::load::{Object, Options, relocate};
use skep::sys::host::packet::{
    CaptureOptions, Captured, Interface, Offload, PacketRing, Sender, interfaces,
};
use skep::vm::hooks::{Arrival, Redirected};
use skep::vm::{Device, Network, World};

use super::side::Side;
use super::{Args, Clock, Where, embedded_kernel, fill, json, report, select, verdict};
use crate::embedded;
use crate::failure::{Failure, Outcome, Status};
use crate::files::shown;
use crate::signal::{self, Stop};

/// Between two looks at signals and clocks.
const MOMENT: Duration = Duration::from_millis(50);
/// After how long what came is handed over: to who watches, and to who waits for it to cross.
const DELAY: Duration = Duration::from_millis(50);
const DELAY_TO: Duration = Duration::from_millis(1);
/// Frames of an interface in a row, before others have their turn.
const BATCH: usize = 1024;
/// Kinds of interfaces (`ARPHRD_*`) whose frames begin with an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];

/// What came of an interface, beside the verdicts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Names of the interface, and of the one that frames cross to.
    names: Vec<String>,
    /// Frames that the kernel had for us, and those of them for which the ring had no room.
    received: u64,
    lost: u64,
    /// Frames that were sent on, and those that no device took.
    sent: u64,
    refused: u64,
    /// Redirected to where this run holds nothing.
    nowhere: u64,
}

impl Counts {
    fn enforced(&self) -> bool {
        self.names.len() > 1
    }

    /// Its members of the report.
    pub fn json(&self) -> Json {
        let mut told = json!({
            "interface": self.names.first(),
            "received": self.received,
            "lost": self.lost,
        });
        if let Some(to) = self.names.get(1) {
            told["to"] = json!(to);
            told["sent"] = json!(self.sent);
            told["not_sent"] = json!(self.refused);
            told["redirected_nowhere"] = json!(self.nowhere);
        }
        told
    }

    /// Writes its members of the report.
    pub fn members(&self, out: &mut dyn Write) -> io::Result<()> {
        json::member(out, "  ", "enforced", &json!(self.enforced()))?;
        json::member(out, "  ", "live", &self.json())
    }

    /// The same for people.
    pub fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        let lost = match self.lost {
            0 => "none lost".to_owned(),
            lost => format!("{lost} lost: they came faster than they were read"),
        };
        writeln!(out, "  {} frames received, {lost}", self.received)?;
        if !self.enforced() {
            return writeln!(out, "  watched only: what the program says changes nothing");
        }
        writeln!(out, "  enforced: {} frames sent on", self.sent)?;
        for (count, what) in [
            (self.refused, "that the device did not take"),
            (self.nowhere, "redirected to what this run does not hold"),
        ] {
            if count > 0 {
                writeln!(out, "  {count} frames {what}")?;
            }
        }
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// No program for it, no such interface or no right to its frames, what does not load, a program
/// that trapped, an interface that went away.
pub fn run(args: &Args, mut object: Object, out: &mut dyn Write) -> Outcome {
    refuse(args)?;
    let names: Vec<&String> = args.live.interface.iter().chain(&args.live.to).collect();
    let ports = names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?;
    if let [one, other] = &ports[..]
        && one.index == other.index
    {
        return Err(Failure::unusable("--to names the interface that frames come from"));
    }
    let fills = fill::read(&args.map, args.maps.as_deref())?;
    let program = select::choose(&object, args.program.as_deref())?;
    select::load_only(&mut object, program, &fills);
    let fills = fill::data_sections(&mut object, fills)?;
    let way = Way::of(&object, program);
    if ports.len() > 1 && way == Way::Both {
        let failure = Failure::unusable("a socket filter decides on no frame that crosses");
        return Err(failure.hint("--to takes xdp and tc programs; without it any may watch"));
    }
    let (side, mut notes) = load(args, &object, program, &ports)?;
    fill::maps(side.skep(), &fills)?;
    // Before frames come: a signal must find somebody who reports.
    let stop = Stop::on_signals();
    let mut live = Live::open(args, side, way, ports)?;
    announce(&live);
    let ended = live.run(args, &stop);
    live.finish();
    let Live { side, counts, down, .. } = live;
    if down > 0 {
        notes.push(format!("an interface went down {down} times; frames came again after that"));
    }
    let stopped = stop.signal();
    notes.extend(side.not_compiled());
    let source = format!("interface {}", counts.names.join(" and "));
    let sides = [side];
    let report = report::Run {
        stopped: stopped.map(signal::Signal::name),
        capture: Path::new(&source),
        object: Path::new(&object.file),
        sides: &sides,
        differences: None,
        notes: &notes,
        live: Some(&counts),
        show: args.show,
    };
    match args.json {
        true => json::write(&report, out)?,
        false => report::write(&report, out)?,
    }
    ended?;
    Ok(stopped.map_or(Status::Done, Status::Stopped))
}

/// What is Linux's alone, or needs a capture.
fn refuse(args: &Args) -> Result<(), Failure> {
    if args.kernel == Where::Both {
        let failure = Failure::unusable("one frame cannot be decided on by two kernels");
        return Err(failure.hint("--kernel both compares on captures: --pcap"));
    }
    for (given, what) in [
        (args.live.persistent, "--persistent"),
        (args.live.xdp_mode.is_some(), "--xdp-mode"),
        (args.out.is_some(), "--out"),
        (args.repeat > 1, "--repeat"),
    ] {
        if given {
            let failure = format!("{what} means nothing for frames that the embedded kernel sees");
            return Err(Failure::unusable(failure));
        }
    }
    Ok(())
}

fn find(name: &str) -> Result<Interface, Failure> {
    let all = interfaces().map_err(Failure::unusable)?;
    let Some(found) = all.iter().find(|interface| interface.name == name) else {
        let names: Vec<&str> = all.iter().map(|interface| interface.name.as_str()).collect();
        let names = names.join(", ");
        return Err(Failure::unusable(format!("there is no interface {name:?}, but {names}")));
    };
    match ETHERNET.contains(&found.hardware) {
        true => Ok(found.clone()),
        false => Err(Failure::unusable(format!("{name}: its frames have no Ethernet header"))),
    }
}

fn load(
    args: &Args,
    object: &Object,
    program: usize,
    ports: &[Interface],
) -> Result<(Side, Vec<String>), Failure> {
    let (vm, target) = embedded_kernel(args)?;
    let device = |port: &Interface| Device {
        index: port.index,
        mtu: port.mtu,
        mac: port.address,
        ..Device::LOOPBACK
    };
    let devices = ports.iter().map(device).collect();
    let network = Network { devices, ..Network::default() };
    vm.environment().set_world(World { network, ..World::default() });
    let linked = relocate(object, &target)?;
    let mut notes = embedded::notes(&linked);
    let options = Options { pin_dir: args.pin.clone(), ..Options::default() };
    let name = &object.programs[program].name;
    let side = Side::embedded(vm, &linked, &target, &options, name)?;
    notes.extend(side.skep().notes().iter().chain(&side.notes).cloned());
    Ok((side, notes))
}

/// Which frames a program is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Those that come in.
    In,
    /// Those that go out.
    Out,
    /// All: it is at a socket.
    Both,
}

impl Way {
    fn of(object: &Object, program: usize) -> Way {
        let program = &object.programs[program];
        match (program.prog_type, program.attach_type) {
            (Some(ProgType::SocketFilter), _) => Way::Both,
            (_, Some(AttachType::TcxEgress)) => Way::Out,
            _ => Way::In,
        }
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Crosses,
    Returns,
    Redirected,
    Dropped,
}

impl Fate {
    fn of(kind: ProgType, retval: u32) -> Fate {
        const TX: u32 = 3;
        match (kind, verdict::name(kind, retval)) {
            (ProgType::Xdp, Some("XDP_PASS")) => Fate::Crosses,
            (ProgType::Xdp, _) if retval == TX => Fate::Returns,
            (_, Some("XDP_REDIRECT" | "TC_ACT_REDIRECT")) => Fate::Redirected,
            (_, Some("TC_ACT_OK" | "TC_ACT_UNSPEC" | "TC_ACT_RECLASSIFY" | "TC_ACT_PIPE")) => {
                Fate::Crosses
            }
            _ => Fate::Dropped,
        }
    }
}

/// A run while frames come.
struct Live {
    side: Side,
    kind: ProgType,
    way: Way,
    ports: Vec<Interface>,
    rings: Vec<PacketRing>,
    /// One for each ring where frames cross.
    senders: Vec<Sender>,
    counts: Counts,
    /// Frames and bytes by verdict, of those that are small numbers.
    verdicts: [(u64, u64); 16],
    /// Frames that the program ran on.
    ran: u64,
    /// Whether the program's clock is that of the frames; the nanoseconds that their clock is
    /// ahead of the program's.
    ahead: Option<u64>,
    /// How often an interface went down; whether one is.
    down: u32,
    is_down: bool,
    frame: Vec<u8>,
}

impl Live {
    fn open(args: &Args, side: Side, way: Way, ports: Vec<Interface>) -> Result<Live, Failure> {
        let enforces = ports.len() > 1;
        let options = CaptureOptions {
            promiscuous: enforces,
            outgoing: !enforces && way != Way::In,
            offloads: enforces,
            delay: if enforces { DELAY_TO } else { DELAY },
            ..CaptureOptions::default()
        };
        let mut rings = Vec::new();
        let mut senders = Vec::new();
        for port in &ports {
            let refused = |error: io::Error| refused(&port.name, &error);
            if enforces {
                senders.push(Sender::open(port.index).map_err(refused)?);
            }
            rings.push(PacketRing::open(port.index, &[], options).map_err(refused)?);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let own = side.now().unwrap_or_default();
        let names = ports.iter().map(|port| port.name.clone()).collect();
        Ok(Live {
            kind: side.prog_type(),
            side,
            way,
            ports,
            rings,
            senders,
            counts: Counts { names, ..Counts::default() },
            verdicts: [(0, 0); 16],
            ran: 0,
            ahead: (args.clock == Clock::Packet)
                .then(|| (now.as_nanos() as u64).saturating_sub(own)),
            down: 0,
            is_down: false,
            frame: Vec::new(),
        })
    }

    /// Takes frames until a signal comes, the time is over or there were enough; then those that
    /// came until then.
    fn run(&mut self, args: &Args, stop: &Stop) -> Result<(), Failure> {
        let deadline = args.live.duration.map(|duration| Instant::now() + duration);
        let limit = args.limit.unwrap_or(u64::MAX);
        while stop.signal().is_none() && self.ran < limit {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                break;
            }
            if !self.all(limit, u64::MAX)? {
                self.wait(left.unwrap_or(MOMENT).min(MOMENT))?;
            }
            self.settle()?;
        }
        // What came before the end is handed over a moment later.
        let end = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let until = Instant::now() + 2 * DELAY;
        while self.ran < limit && Instant::now() < until {
            if !self.all(limit, end.as_nanos() as u64)? {
                self.wait(DELAY / 4)?;
            }
        }
        self.settle()
    }

    /// What each ring holds, up to a number; none that came later than `end`.
    fn all(&mut self, limit: u64, end: u64) -> Result<bool, Failure> {
        let mut rings = std::mem::take(&mut self.rings);
        let mut any = false;
        let mut result = Ok(());
        for (from, ring) in rings.iter_mut().enumerate() {
            match self.some(from, ring, limit, end) {
                Ok(taken) => any |= taken > 0,
                Err(failure) => result = Err(failure),
            }
            self.flush();
        }
        self.rings = rings;
        self.is_down &= !any;
        result.map(|()| any)
    }

    /// A batch of one ring's; gives how many.
    fn some(
        &mut self,
        from: usize,
        ring: &mut PacketRing,
        limit: u64,
        end: u64,
    ) -> Result<usize, Failure> {
        for taken in 0..BATCH {
            if self.ran >= limit {
                return Ok(taken);
            }
            match ring.next(Duration::ZERO) {
                Ok(Some(packet)) if packet.time > end => return Ok(taken),
                Ok(Some(packet)) => self.packet(from, &packet)?,
                Ok(None) => return Ok(taken),
                Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(taken),
                Err(error) if error.kind() == ErrorKind::NetworkDown => {
                    (self.down, self.is_down) = (self.down + 1, true);
                    return Ok(taken);
                }
                Err(error) => return Err(refused(&self.ports[from].name, &error)),
            }
        }
        Ok(BATCH)
    }

    fn wait(&self, wait: Duration) -> Result<(), Failure> {
        let rings: Vec<&PacketRing> = self.rings.iter().collect();
        match PacketRing::wait(&rings, wait) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(Failure::unusable(error)),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) {
        for sender in &mut self.senders {
            let sent = sender.flush();
            self.counts.sent += sent.frames;
            self.counts.refused += sent.refused;
        }
    }

    /// Takes what the program wrote and what the kernel counted, and looks whether the
    /// interfaces are there.
    fn settle(&mut self) -> Result<(), Failure> {
        self.side.drain(false);
        for ring in &self.rings {
            let counts = ring.counts().unwrap_or_default();
            self.counts.received += u64::from(counts.received);
            self.counts.lost += u64::from(counts.dropped);
        }
        if self.is_down {
            let all = interfaces().unwrap_or_default();
            let gone = |port: &&Interface| !all.iter().any(|of| of.index == port.index);
            if let Some(port) = self.ports.iter().find(gone) {
                return Err(Failure::refused(format!("interface {} went away", port.name)));
            }
        }
        Ok(())
    }

    #[inline]
    fn packet(&mut self, from: usize, packet: &Captured<'_>) -> Result<(), Failure> {
        const OUTGOING: u8 = skep::sys::host::packet::OUTGOING;
        let outgoing = packet.packet_type == OUTGOING;
        let enforces = !self.senders.is_empty();
        if !enforces && outgoing == (self.way == Way::In) && self.way != Way::Both {
            return Ok(());
        }
        let other = self.ports.len() - 1 - from;
        let incoming = match enforces {
            true => self.way != Way::Out,
            false => !outgoing,
        };
        let at = if incoming || !enforces { from } else { other };
        let is_xdp = self.kind == ProgType::Xdp;
        let arrival = Arrival {
            interface: self.ports[at].index,
            incoming,
            packet_type: Some(packet.packet_type),
            tag: packet.tag.filter(|_| !is_xdp),
        };
        let mut offload = packet.offload;
        let mut frame = std::mem::take(&mut self.frame);
        let bytes = match (enforces, packet.tag) {
            (false, None) => packet.data,
            (_, tag) => {
                put(packet.data, tag.filter(|_| is_xdp), &mut offload, &mut frame);
                &frame[..]
            }
        };
        if packet.len as usize > packet.data.len() {
            self.side.tally.cut += 1;
        }
        let time = self.ahead.map(|ahead| packet.time.saturating_sub(ahead));
        let ran = self.side.run_live(bytes, &arrival, time);
        self.frame = frame;
        let Some(retval) = ran? else { return Ok(()) };
        self.ran += 1;
        let class = verdict::class(self.kind, retval);
        let sum = match self.verdicts.get_mut(class as usize) {
            Some(sum) => sum,
            None => self.side.tally.verdicts.entry(class).or_default(),
        };
        *sum = (sum.0 + 1, sum.1 + u64::from(packet.len));
        self.side.tally.bytes += u64::from(packet.len);
        match enforces {
            true => self.send(Fate::of(self.kind, retval), from, packet.data.len(), offload),
            false => Ok(()),
        }
    }

    /// Has a frame go where the program said.
    fn send(
        &mut self,
        fate: Fate,
        from: usize,
        came: usize,
        mut offload: Offload,
    ) -> Result<(), Failure> {
        if self.kind == ProgType::Xdp {
            offload.moved(self.side.moved());
        }
        let to = match fate {
            Fate::Dropped => return Ok(()),
            Fate::Crosses => self.ports.len() - 1 - from,
            Fate::Returns => from,
            Fate::Redirected => {
                let Redirected { devices, nowhere } = self.side.redirect()?;
                self.counts.nowhere += u64::from(nowhere);
                for (device, packet) in devices {
                    let Some(to) = self.ports.iter().position(|port| port.index == device) else {
                        self.counts.nowhere += 1;
                        continue;
                    };
                    self.push(to, packet.as_deref(), came, offload);
                }
                return Ok(());
            }
        };
        self.push(to, None, came, offload);
        Ok(())
    }

    /// Adds the last frame, or what a device's program made of it.
    fn push(&mut self, to: usize, packet: Option<&[u8]>, came: usize, offload: Offload) {
        let tag = self.side.tag();
        let left = packet.unwrap_or_else(|| self.side.packet());
        let as_told = match packet {
            Some(packet) => packet.len() == self.side.packet().len(),
            None => self.kind == ProgType::Xdp || left.len() == came,
        };
        if offload.is_segmented() && !as_told {
            // Where it would have to be cut is not known any more.
            self.counts.refused += 1;
            return;
        }
        match tag {
            // It stood beside the packet, and goes out in it.
            Some(_) => {
                let mut offload = offload;
                put(left, tag, &mut offload, &mut self.frame);
                self.senders[to].push(&self.frame, offload);
            }
            None => self.senders[to].push(left, offload),
        }
        if self.senders[to].is_full() {
            let sent = self.senders[to].flush();
            self.counts.sent += sent.frames;
            self.counts.refused += sent.refused;
        }
    }

    /// Adds up.
    fn finish(&mut self) {
        self.flush();
        self.side.drain(false);
        let tally = &mut self.side.tally;
        for (retval, &(frames, bytes)) in (0..).zip(&self.verdicts) {
            if frames > 0 {
                tally.verdicts.insert(retval, (frames, bytes));
            }
        }
        tally.packets = self.ran;
    }
}

/// A frame as it was on the wire: with its VLAN tag, and its checksum.
fn put(data: &[u8], tag: Option<(u16, u16)>, offload: &mut Offload, frame: &mut Vec<u8>) {
    const TYPE_AT: usize = 12;
    const TAG: isize = 4;
    frame.clear();
    frame.extend_from_slice(data);
    offload.complete(frame);
    if let Some((tag, kind)) = tag
        && data.len() >= TYPE_AT
    {
        let bytes = [kind.to_be_bytes(), tag.to_be_bytes()].concat();
        frame.splice(TYPE_AT..TYPE_AT, bytes);
        offload.moved(-TAG);
    }
}

/// Tells what happens, on the standard error.
fn announce(live: &Live) {
    let name = crate::terminal::clean(live.side.program().name());
    let names: Vec<String> = live.ports.iter().map(|port| shown(Path::new(&port.name))).collect();
    match &names[..] {
        [one, other] => eprintln!("{name} decides what crosses between {one} and {other}"),
        _ => eprintln!("{name} watches {}", names.join(", ")),
    }
}

fn refused(name: &str, error: &io::Error) -> Failure {
    let failure = Failure::unusable(format!("{name}: its frames cannot be had: {error}"));
    match error.kind() {
        ErrorKind::PermissionDenied => failure.hint(
            "that needs root, or CAP_NET_RAW; `unshare -Urn` gives a network of one's own to anybody",
        ),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_says_where_a_frame_goes() {
        use Fate::{Crosses, Dropped, Redirected, Returns};
        let fate = |retval| Fate::of(ProgType::Xdp, retval);
        let all = [0, 1, 2, 3, 4, 5].map(fate);
        assert_eq!(all, [Dropped, Dropped, Crosses, Returns, Redirected, Dropped]);
        let tc = |retval| Fate::of(ProgType::SchedCls, retval);
        assert_eq!(
            [0, 1, 2, 3, 4, 7].map(tc),
            [Crosses, Crosses, Dropped, Crosses, Dropped, Redirected]
        );
        assert_eq!(tc(u32::MAX), Crosses);
    }

    #[test]
    fn a_tag_goes_back_to_where_it_was() {
        let mut frame = Vec::new();
        let data: Vec<u8> = (0..20).collect();
        put(&data, Some((5, 0x8100)), &mut Offload::default(), &mut frame);
        assert_eq!(frame[10..18], [10, 11, 0x81, 0, 0, 5, 12, 13]);
        assert_eq!(frame.len(), 24);
    }
}
