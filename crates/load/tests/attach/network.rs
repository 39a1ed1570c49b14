//! Hooks of the network, each in a network namespace of the test's own thread: packets are
//! sent over `lo`, and each is counted.

use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::thread::{UnshareFlags, unshare_unsafe};
use skep_abi::Errno;
use skep_load::attach::{
    ClassicTc, Family, NetNamespace, Netfilter, Order, Socket, Sockmap, Stage, Tcx, Xdp, interface,
};
use skep_sys::Linked;
use skep_sys::host::netlink::{Direction, Route};

use crate::bed::{Bed, alone, link_exists, linux};

/// A network namespace of the thread's own, with `lo` up and nothing else; `None` where that
/// is not permitted.
fn namespace() -> Option<u32> {
    alone();
    // SAFETY: the thread's network namespace is nothing that memory depends on.
    if let Err(errno) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
        println!("skipped: no network namespace: {errno}");
        return None;
    }
    let up = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status();
    if !up.is_ok_and(|status| status.success()) {
        println!("skipped: ip(8) cannot set lo up");
        return None;
    }
    Some(interface("lo").expect("each namespace has one"))
}

/// Sends so many packets from one socket to another, and gives how many came.
fn send(times: u64) -> u64 {
    let to = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    to.set_read_timeout(Some(Duration::from_millis(200))).expect("a time");
    let address = to.local_addr().expect("it is bound");
    let mut came = 0;
    for number in 0..times {
        let _ = from.send_to(&number.to_ne_bytes(), address);
        came += u64::from(to.recv(&mut [0; 8]).is_ok());
    }
    came
}

#[test]
fn xdp_counts_what_lo_receives_and_is_replaced_in_place() {
    let Some(lo) = namespace() else { return };
    let Some(pass) = Bed::new("xdp_pass") else { return };
    let Some(link) = pass.try_attach(Xdp::new(lo).generic()) else { return };
    assert_eq!(send(10), 10);
    pass.counted("xdp (generic)", 10);
    let info = link.info().unwrap();
    assert_eq!((&info.at, link.place()), (&Linked::Xdp { ifindex: lo }, "generic xdp of lo"));

    let another = pass.attach(Xdp::new(lo)).unwrap_err();
    assert_eq!(another.errno(), Some(Errno::EBUSY), "{another}");
    let other_kernel = Bed::new("xdp_drop").expect("it loaded before");
    let error = link.update(other_kernel.skep.program("xdp_drop").unwrap()).unwrap_err();
    assert!(error.to_string().contains("another kernel's"), "{error}");

    let kernel = pass.skep.program("xdp_pass").unwrap().fd().kernel().clone();
    let drops = Bed::with(&kernel, "xdp_drop", |_| {}).expect("it loaded before");
    let (old, new) =
        (pass.skep.program("xdp_pass").unwrap(), drops.skep.program("xdp_drop").unwrap());
    assert_eq!(link.update_from(new, new).unwrap_err().errno(), Some(Errno::EPERM));
    link.update_from(old, new).unwrap();
    assert_eq!((send(3), drops.hits(), pass.hits()), (0, 3, 10));

    link.detach().unwrap();
    assert_eq!(send(3), 3);
    assert!(link_exists(info.id), "the link stays while somebody holds it");
    drop(link);
    assert!(!link_exists(info.id));
    let no = pass.attach(Xdp::new(lo).offloaded()).unwrap_err();
    assert!(no.errno().is_some(), "{no}");
    assert_eq!(pass.attach(Xdp::new(4711)).unwrap_err().errno(), Some(Errno::EINVAL));
}

#[test]
fn xdp_in_the_driver_counts_what_comes_over_a_cable() {
    let Some(_) = namespace() else { return };
    let ip = |args: &str| {
        let status = std::process::Command::new("ip").args(args.split(' ')).status();
        status.is_ok_and(|status| status.success())
    };
    if !ip("link add skepa type veth peer name skepb") {
        println!("skipped: no veth");
        return;
    }
    assert!(ip("link set skepa up") && ip("link set skepb up"));
    assert!(ip("addr add 10.77.0.1/24 dev skepa"));
    assert!(ip("neigh add 10.77.0.2 lladdr 02:00:00:00:00:02 dev skepa"));
    let Some(bed) = Bed::new("xdp_pass") else { return };
    let Some(_link) = bed.try_attach(Xdp::new(interface("skepb").unwrap()).native()) else {
        return;
    };
    // The stack sends of its own, too (IPv6's neighbours).
    let before = bed.hits();
    let from = UdpSocket::bind("10.77.0.1:0").unwrap();
    for _ in 0..10 {
        from.send_to(b"over the cable", "10.77.0.2:9").unwrap();
    }
    let hits = bed.hits() - before;
    assert!(hits >= 10, "{hits}");
    bed.counted_since("xdp (native)", before, hits);
    let error = interface("skepc").unwrap_err().to_string();
    assert!(error.contains("skepa, skepb") || error.contains("skepb, skepa"), "{error}");
}

#[test]
fn programs_in_the_stack_stand_in_an_order() {
    let Some(lo) = namespace() else { return };
    let Some(egress) = Bed::new("tcx_egress") else { return };
    let Some(out) = egress.try_attach(Tcx::egress(lo)) else { return };
    let kernel = egress.skep.program("tcx_egress").unwrap().fd().kernel().clone();
    let ingress = Bed::with(&kernel, "tcx_ingress", |_| {}).expect("as the other one");
    let first = ingress.try_attach(Tcx::ingress(lo)).expect("as the other one");
    assert_eq!(send(10), 10);
    egress.counted("tcx egress", 10);
    ingress.counted("tcx ingress", 10);
    assert!(matches!(out.info().unwrap().at, Linked::Tcx { ifindex, .. } if ifindex == lo));

    // What stands in front and lets all through ends the walk.
    let stops = Bed::with(&kernel, "tc_pass", |_| {}).expect("as the others");
    let program = stops.skep.program("tc_pass").unwrap();
    for order in [Order::First, Order::BeforeLink(&first)] {
        let (hits, before) = (ingress.hits(), stops.hits());
        let link = program.attach(Tcx::ingress(lo).order(order)).unwrap();
        assert_eq!((send(5), ingress.hits(), stops.hits()), (5, hits, before + 5), "{order:?}");
        drop(link);
    }
    let (hits, before) = (ingress.hits(), stops.hits());
    let _link = program.attach(Tcx::ingress(lo).order(Order::AfterLink(&first))).unwrap();
    assert_eq!((send(5), ingress.hits(), stops.hits()), (5, hits + 5, before + 5));
}

#[test]
fn filters_of_packets_count_at_their_stage() {
    let Some(_) = namespace() else { return };
    let Some(bed) = Bed::new("nf_accept") else { return };
    let hook = Netfilter::new(Family::Ipv4, Stage::LocalIn).priority(-5);
    let Some(link) = bed.try_attach(hook) else { return };
    assert_eq!(send(10), 10);
    bed.counted("netfilter", 10);
    let expected = Linked::Netfilter { pf: 2, hook: 1, priority: -5, flags: 0 };
    assert_eq!(link.info().unwrap().at, expected);
    drop(link);
    assert_eq!((send(10), bed.hits()), (10, 10));
}

#[test]
fn a_namespace_is_asked_who_gets_a_connection() {
    let Some(_) = namespace() else { return };
    let Some(bed) = Bed::new("lookup") else { return };
    let Some(link) = bed.try_attach(NetNamespace::current().unwrap()) else { return };
    // Each packet is for a socket that is not connected.
    assert_eq!(send(10), 10);
    bed.counted("sk_lookup", 10);
    assert!(matches!(link.info().unwrap().at, Linked::Netns { .. }));
    drop(link);
    assert_eq!((send(10), bed.hits()), (10, 10));
    if let Some(dissector) = Bed::new("dissect") {
        let link = dissector.try_attach(NetNamespace::current().unwrap());
        assert!(link.is_none_or(|link| link.info().is_ok()));
    }
}

#[test]
fn a_socket_has_its_filter_until_the_link_is_dropped() {
    let Some(_) = namespace() else { return };
    let Some(bed) = Bed::new("socket_filter") else { return };
    let to = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let from = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let Some(link) = bed.try_attach(Socket::filter(to.as_fd())) else { return };
    for _ in 0..10 {
        from.send_to(b"x", to.local_addr().unwrap()).unwrap();
    }
    bed.counted("socket filter", 10);
    assert_eq!(link.info().unwrap_err().errno(), Some(Errno::EOPNOTSUPP));
    drop(link);
    from.send_to(b"x", to.local_addr().unwrap()).unwrap();
    assert_eq!(bed.hits(), 10);
}

/// A connection over `lo`.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}

#[test]
fn sockets_of_a_map_have_its_programs() {
    use std::io::{Read, Write};
    let Some(_) = namespace() else { return };
    for name in ["msg", "sk_skb_verdict"] {
        let Some(bed) = Bed::with(&linux(), name, |_| {}) else { continue };
        let map = bed.skep.map("sockets").unwrap();
        let (one, mut other) = connection();
        let link = bed.try_attach(Sockmap::new(map));
        let Some(link) = link else { continue };
        let socket = if name == "msg" { &one } else { &other };
        let value = (std::os::fd::AsRawFd::as_raw_fd(socket) as u64).to_ne_bytes();
        map.update(&0u32.to_ne_bytes(), &value, 0).unwrap();
        other.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        for _ in 0..10 {
            (&one).write_all(b"x").unwrap();
            other.read_exact(&mut [0]).unwrap();
        }
        bed.counted(name, 10);
        drop(link);
        // A socket that is in the map keeps the programs that it came in with.
        map.delete(&0u32.to_ne_bytes()).unwrap();
        (&one).write_all(b"x").unwrap();
        assert_eq!(bed.hits(), 10, "{name}");
    }
}

#[test]
fn a_classic_filter_goes_with_its_link_and_stays_where_it_is_kept() {
    let Some(lo) = namespace() else { return };
    let filters = || {
        let mut route = Route::open().unwrap();
        [Direction::Ingress, Direction::Egress].map(|way| route.filters(lo, way).unwrap().len())
    };
    let Some(bed) = Bed::new("tc_pass") else { return };
    let Some(link) = bed.try_attach(ClassicTc::ingress(lo)) else { return };
    assert_eq!(link.place(), "clsact/ingress of lo");
    assert_eq!(send(10), 10);
    bed.counted("classic tc", 10);
    assert_eq!(filters(), [1, 0]);
    let again = bed.attach(ClassicTc::ingress(lo)).unwrap_err();
    assert_eq!(again.errno(), Some(Errno::EEXIST), "{again}");
    drop(link);
    assert_eq!((send(10), bed.hits(), filters()), (10, 10, [0, 0]));

    bed.attach(ClassicTc::egress(lo).priority(7).handle(3)).unwrap().keep();
    assert_eq!((send(5), filters()), (5, [0, 1]));
    bed.counted("classic tc", 15);
    let found = Route::open().unwrap().filters(lo, Direction::Egress).unwrap();
    assert_eq!((found[0].priority, found[0].handle, found[0].name.as_str()), (7, 3, "tc_pass"));
    Route::open().unwrap().remove_clsact(lo).unwrap();
    assert_eq!(filters(), [0, 0]);
    assert!(bed.attach(ClassicTc::ingress(4711)).is_err());
}
