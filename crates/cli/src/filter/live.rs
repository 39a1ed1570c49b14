//! Packets of an interface: the kernel runs the filter and puts what it takes into a ring
//! that is read here; or, with `--user`, gives everything, and the filter runs here.

use std::io::{self, Write};
use std::time::Duration;

use skep::isa::classic::Packet;
use skep::sys::host::become_user as become_user_of;
use skep::sys::host::packet::{self, CaptureOptions, Captured, FilterInsn, PacketRing, interfaces};
use skep_lang::pcap::{Filter, Kind, Link, Options};

use super::print::Printer;
use super::rotate::Files;
use super::{Args, Direction, capture, expression};
use crate::failure::{Failure, Outcome, Status};
use crate::signal::Stop;
use crate::terminal::clean;

/// Between two looks at the signals.
const WAIT: Duration = Duration::from_millis(100);

/// Kinds of interfaces (`ARPHRD_*`) that begin packets with an Ethernet header.
const ETHERNET: [u16; 2] = [1, 772];

/// Kinds without a header.
const BARE: [u16; 5] = [512, 768, 769, 776, 65534];

/// All interfaces.
const ANY: &str = "any";

/// An interface.
struct Interface {
    name: String,
    index: u32,
    link: Option<Link>,
}

impl Interface {
    /// All of them, by their index.
    fn all() -> Result<Vec<Interface>, Failure> {
        let all = interfaces().map_err(|error| {
            Failure::unusable(format!("the machine's interfaces cannot be listed: {error}"))
        })?;
        let of = |it: packet::Interface| Interface {
            link: match it.hardware {
                kind if ETHERNET.contains(&kind) => Some(Link::ETHERNET),
                kind if BARE.contains(&kind) => Link::of_name("RAW"),
                _ => None,
            },
            name: it.name,
            index: it.index,
        };
        Ok(all.into_iter().map(of).collect())
    }

    /// One by its name or its number; `any` is all of them.
    fn find(wanted: &str) -> Result<Interface, Failure> {
        if wanted == ANY {
            let link = Link::of_name("LINUX_SLL2");
            return Ok(Interface { name: ANY.into(), index: 0, link });
        }
        let all = Interface::all()?;
        let names: Vec<String> = all.iter().map(|interface| interface.name.clone()).collect();
        let number = wanted.parse().ok();
        let is = |it: &Interface| it.name == wanted || Some(it.index) == number;
        all.into_iter().find(is).ok_or_else(|| {
            Failure::unusable(format!("no interface {wanted:?}"))
                .hint(format!("there are {}", names.join(", ")))
        })
    }
}

/// `-D`: the interfaces, with their numbers.
pub fn list(out: &mut dyn Write) -> Outcome {
    for interface in Interface::all()? {
        let link = interface.link.map_or("not known", |link| link.description);
        writeln!(out, "{}.{} [{link}]", interface.index, clean(&interface.name))?;
    }
    writeln!(out, "{ANY} [all of them, with Linux cooked v2 headers]")?;
    Ok(Status::Done)
}

/// `-L`: what an interface's packets start with.
pub fn link_types(wanted: &str, out: &mut dyn Write) -> Outcome {
    let interface = Interface::find(wanted)?;
    let name = clean(&interface.name);
    writeln!(out, "Data link types for {name} (use option -y to set):")?;
    if let Some(link) = interface.link {
        writeln!(out, "  {} ({})", link.name, link.description)?;
    }
    Ok(Status::Done)
}

/// Captures until a signal comes or there are enough.
pub fn run(args: &Args, text: &str, wanted: &str, out: &mut dyn Write) -> Outcome {
    let interface = Interface::find(wanted)?;
    let link = interface.link.ok_or_else(|| {
        let message =
            format!("{}: packets of this kind of interface are not known", interface.name);
        Failure::unusable(message).hint("Ethernet, loopback, tun and tunnels are")
    })?;
    // Of a cooked packet the kernel's filter does not see the header that is put before it.
    let cooked = interface.index == 0;
    let user = args.live.user || cooked;
    let options = Options { live: !user, ..args.settings(link) };
    let filter = expression::compile(text, &options)?;
    if args.shows() {
        return args.show_as(text, &options, out);
    }
    let program: Vec<FilterInsn> = match user {
        true => Vec::new(),
        false => filter.filters().iter().map(|insn| insn.to_bytes()).collect(),
    };
    let mut settings = CaptureOptions {
        promiscuous: !args.live.no_promiscuous,
        cooked,
        ..CaptureOptions::default()
    };
    if let Some(kibibytes) = args.live.buffer {
        settings.buffer = kibibytes as usize * 1024;
    }
    let stop = Stop::on_signals();
    let mut ring = PacketRing::open(interface.index, &program, settings)
        .map_err(|error| refused(&interface.name, &error))?;
    if let Some(user) = &args.live.relinquish_privileges {
        become_user(user)?;
    }
    let snaplen = options.snaplen;
    eprintln!(
        "listening on {}, link-type {} ({}), snapshot length {snaplen} bytes",
        clean(&interface.name),
        link.name,
        link.description
    );
    let mut session = Session {
        filter: user.then_some(&filter),
        direction: args.live.direction,
        link,
        snaplen,
        files: match &args.write {
            Some(path) => Some(Files::new(path, &args.live, link.number, snaplen)?),
            None => None,
        },
        printer: (args.write.is_none() && !args.count || args.lines.print)
            .then(|| Printer::new(args.lines.style())),
        at_once: args.lines.by_line,
        packet: Vec::new(),
        out,
    };
    let captured = session.capture(&mut ring, args.limit, &stop, &interface.name)?;
    let counts = ring.counts().unwrap_or_default();
    if let Some(files) = session.files {
        files.finish()?;
    }
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    if args.count {
        writeln!(session.out, "{captured} packet{}", plural(captured))?;
    }
    session.out.flush()?;
    let told = [
        (captured, "captured"),
        (counts.received.into(), "received by filter"),
        (counts.dropped.into(), "dropped by kernel"),
    ];
    for (count, what) in told {
        eprintln!("{count} packet{} {what}", plural(count));
    }
    match stop.signal() {
        Some(signal) => Ok(Status::Stopped(signal)),
        None => Ok(Status::Done),
    }
}

/// Goes on as another user, for whom the socket stays open.
fn become_user(name: &str) -> Result<(), Failure> {
    let unusable = |why: String| Failure::unusable(format!("-Z {name}: {why}"));
    let text = std::fs::read_to_string("/etc/passwd");
    let text = text.map_err(|error| unusable(format!("/etc/passwd cannot be read: {error}")))?;
    // Name, password, user, group.
    let found = text.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| {
        let [found, _, user, group, ..] = fields[..] else { return None };
        Some((user.parse().ok()?, group.parse().ok()?)).filter(|_| found == name)
    });
    let (user, group) = found.ok_or_else(|| {
        unusable("no such user".into()).hint("users of this machine are those of /etc/passwd")
    })?;
    become_user_of(user, group).map_err(|error| unusable(error.to_string()))
}

fn refused(name: &str, error: &io::Error) -> Failure {
    let failure = Failure::unusable(format!("{name}: packets cannot be captured: {error}"));
    match error.raw_os_error() {
        Some(1 | 13) => failure.hint("that needs root, or CAP_NET_RAW"),
        Some(22) => failure.hint("--user runs the filter here instead of in the kernel"),
        _ => failure,
    }
}

/// What happens to packets.
struct Session<'a> {
    /// The filter, where it is not the kernel that runs it.
    filter: Option<&'a Filter>,
    direction: Direction,
    link: Link,
    snaplen: u32,
    files: Option<Files>,
    printer: Option<Printer>,
    at_once: bool,
    packet: Vec<u8>,
    out: &'a mut dyn Write,
}

impl Session<'_> {
    /// Takes packets until a signal comes or there are enough; gives how many.
    fn capture(
        &mut self,
        ring: &mut PacketRing,
        limit: Option<u64>,
        stop: &Stop,
        name: &str,
    ) -> Result<u64, Failure> {
        let mut captured = 0;
        while limit.is_none_or(|limit| captured < limit) && stop.signal().is_none() {
            match ring.next(WAIT) {
                Ok(Some(packet)) => {
                    let Some(goes_on) = self.take(&packet)? else { continue };
                    captured += 1;
                    if !goes_on {
                        break;
                    }
                }
                Ok(None) => self.out.flush()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(refused(name, &error)),
            }
        }
        Ok(captured)
    }

    /// A packet of the ring; `None` where it does not match, false where it is the last one
    /// that there is a file for.
    fn take(&mut self, captured: &Captured<'_>) -> Result<Option<bool>, Failure> {
        const TYPE_AT: usize = 12;
        let is_outgoing = captured.packet_type == packet::OUTGOING;
        match self.direction {
            Direction::In if is_outgoing => return Ok(None),
            Direction::Out if !is_outgoing => return Ok(None),
            _ => {}
        }
        self.packet.clear();
        let mut len = captured.len;
        if self.link.kind == Kind::Cooked2 {
            let header = cooked_header(captured);
            self.packet.extend(header);
            len += header.len() as u32;
        }
        match captured.tag.filter(|_| self.link == Link::ETHERNET) {
            // The tag goes back to where it was on the wire.
            Some((tag, kind)) if captured.data.len() >= TYPE_AT => {
                let (addresses, rest) = captured.data.split_at(TYPE_AT);
                self.packet.extend(addresses);
                self.packet.extend(kind.to_be_bytes());
                self.packet.extend(tag.to_be_bytes());
                self.packet.extend(rest);
                len += 4;
            }
            _ => self.packet.extend(captured.data),
        }
        if let Some(filter) = self.filter {
            let packet = Packet { data: &self.packet, len, metadata: None };
            if filter.program().run(&packet) == 0 {
                return Ok(None);
            }
        }
        self.packet.truncate(self.snaplen as usize);
        let (data, link) = (&self.packet[..], self.link.number);
        let packet = capture::Packet { data, len, link, time: captured.time };
        if let Some(files) = &mut self.files
            && !files.write(&packet)?
        {
            return Ok(Some(false));
        }
        if let Some(printer) = &mut self.printer {
            self.out.write_all(printer.packet(&packet).as_bytes())?;
            if self.at_once {
                self.out.flush()?;
            }
        }
        Ok(Some(true))
    }
}

/// What stands before a packet of all interfaces (LINKTYPE_LINUX_SLL2).
fn cooked_header(captured: &Captured<'_>) -> [u8; 20] {
    let mut header = [0; 20];
    header[..2].copy_from_slice(&captured.protocol.to_be_bytes());
    header[4..8].copy_from_slice(&captured.interface.to_be_bytes());
    header[8..10].copy_from_slice(&captured.hardware.to_be_bytes());
    header[10] = captured.packet_type;
    let (address, len) = captured.sender;
    header[11] = len;
    header[12..].copy_from_slice(&address);
    header
}
