//! The network of a world: devices, routes, neighbours. Helpers that ask where a packet would go
//! ask here; nothing is ever sent. Counterparts: `net/ipv4/fib_trie.c`, `net/ipv6/ip6_fib.c`.

use std::net::{IpAddr, SocketAddr};

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its number (`ifindex`), from 1 on.
    pub index: u32,
    /// Largest payload of a frame.
    pub mtu: u32,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Bytes of its link header.
    pub header: u32,
    /// Whether it is up.
    pub up: bool,
    /// Whether packets that arrive on it may be forwarded.
    pub forwarding: bool,
    /// Its addresses, the preferred ones first.
    pub addresses: Vec<IpAddr>,
}

impl Device {
    /// The loop-back device, as a network without any other has it.
    pub const LOOPBACK: Device = Device {
        index: 1,
        mtu: 65536,
        mac: [0; 6],
        header: 14,
        up: true,
        forwarding: false,
        addresses: Vec::new(),
    };
}

/// What becomes of packets that a route is for (`RTN_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RouteKind {
    /// They go on.
    #[default]
    Unicast,
    /// They are for this host.
    Local,
    /// They are for everybody on a link.
    Broadcast,
    /// They are dropped.
    Blackhole,
    /// They are refused: there is no such host.
    Unreachable,
    /// They are refused: they may not.
    Prohibit,
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The table that it is in: [`Route::MAIN`], [`Route::LOCAL`], or any other.
    pub table: u32,
    /// What becomes of packets.
    pub kind: RouteKind,
    /// Where they go to: the first `prefix` bits of this.
    pub to: IpAddr,
    /// Bits of it that count.
    pub prefix: u8,
    /// Whom they are handed to; their destination itself where there is nobody.
    pub gateway: Option<IpAddr>,
    /// The device that they leave by.
    pub device: u32,
    /// The address that this host takes for them.
    pub source: Option<IpAddr>,
    /// Of two that are for the same, the one with less is taken.
    pub metric: u32,
    /// Largest packet, where it is fixed (a locked metric).
    pub mtu: Option<u32>,
}

impl Route {
    /// Number of the main table.
    pub const MAIN: u32 = 254;
    /// Number of the table of this host's own addresses.
    pub const LOCAL: u32 = 255;
    /// Number of the table that is asked last.
    pub const DEFAULT: u32 = 253;

    fn is_for(&self, to: IpAddr) -> bool {
        let differ = match (self.to, to) {
            (IpAddr::V4(own), IpAddr::V4(to)) => {
                u128::from(own.to_bits() ^ to.to_bits()) << (128 - 32)
            }
            (IpAddr::V6(own), IpAddr::V6(to)) => own.to_bits() ^ to.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= self.prefix.into()
    }
}

/// Who is known to be at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// The device that it is behind.
    pub device: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address.
    pub mac: [u8; 6],
}

/// A socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// The protocol: 6 is TCP, 17 UDP.
    pub protocol: u8,
    /// Its own address and port.
    pub local: SocketAddr,
    /// Whom it is connected with.
    pub remote: Option<SocketAddr>,
    /// Whether it takes connections.
    pub listens: bool,
    /// Its mark.
    pub mark: u32,
    /// Its cookie.
    pub cookie: u64,
}

impl Socket {
    /// Whether packets between these come to it: 2 where it is connected so, 1 where it takes
    /// them from anybody.
    fn takes(&self, from: SocketAddr, to: SocketAddr) -> u8 {
        let own = self.local.port() == to.port()
            && (self.local.ip() == to.ip()
                || self.local.ip().is_unspecified() && (self.local.is_ipv6() || to.is_ipv4()));
        match self.remote {
            _ if !own => 0,
            Some(remote) if remote == from => 2,
            Some(_) => 0,
            None => 1,
        }
    }
}

/// Devices, routes, neighbours and sockets. One without devices has the loop-back device alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The devices.
    pub devices: Vec<Device>,
    /// The routes.
    pub routes: Vec<Route>,
    /// The neighbours.
    pub neighbours: Vec<Neighbour>,
    /// The sockets.
    pub sockets: Vec<Socket>,
}

impl Network {
    /// The device with this number.
    pub fn device(&self, index: u32) -> Option<&Device> {
        const LOOPBACK: &Device = &Device::LOOPBACK;
        match self.devices.is_empty() {
            true => (index == LOOPBACK.index).then_some(LOOPBACK),
            false => self.devices.iter().find(|device| device.index == index),
        }
    }

    /// Who is known to be at an address behind a device.
    pub fn neighbour(&self, device: u32, address: IpAddr) -> Option<&Neighbour> {
        self.neighbours.iter().find(|known| known.device == device && known.address == address)
    }

    /// The socket that packets between these come to.
    pub fn socket(&self, protocol: u8, from: SocketAddr, to: SocketAddr) -> Option<&Socket> {
        let of = self.sockets.iter().filter(|socket| socket.protocol == protocol);
        let (best, socket) =
            of.map(|socket| (socket.takes(from, to), socket)).max_by_key(|of| of.0)?;
        (best > 0).then_some(socket)
    }

    /// Whether there is a table with this number.
    pub fn has_table(&self, table: u32) -> bool {
        matches!(table, Route::MAIN | Route::LOCAL | Route::DEFAULT)
            || self.routes.iter().any(|route| route.table == table)
    }

    /// The route to an address: of a table, or of those that are asked where nobody names one.
    /// `out` is the device that packets are to leave by, if that is known.
    pub fn route(&self, table: Option<u32>, to: IpAddr, out: Option<u32>) -> Option<&Route> {
        // Of version 4 the table of own addresses and the main one are one tree, as long as
        // nobody makes rules: whoever asks one asks both.
        let joined: &[u32] = &[Route::LOCAL, Route::MAIN];
        let asked: [&[u32]; 3] = match (&table, to) {
            (Some(Route::LOCAL | Route::MAIN), IpAddr::V4(_)) => [joined, &[], &[]],
            (Some(table), _) => [std::slice::from_ref(table), &[], &[]],
            (None, IpAddr::V4(_)) => [joined, &[Route::DEFAULT], &[]],
            (None, IpAddr::V6(_)) => [&[Route::LOCAL], &[Route::MAIN], &[Route::DEFAULT]],
        };
        asked.into_iter().find_map(|tables| self.route_of(tables, to, out))
    }

    fn route_of(&self, tables: &[u32], to: IpAddr, out: Option<u32>) -> Option<&Route> {
        let leaves = |route: &&Route| {
            // What is not sent leaves by no device.
            let refused = matches!(
                route.kind,
                RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit
            );
            refused || out.is_none_or(|out| route.device == out)
        };
        let fits = |route: &&Route| tables.contains(&route.table) && route.is_for(to);
        let better = |route: &&Route| (std::cmp::Reverse(route.prefix), route.metric);
        self.routes.iter().filter(fits).filter(leaves).min_by_key(better)
    }
}

/// How a packet leaves that a program redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Way {
    /// It is sent by the device.
    #[default]
    Out,
    /// It arrives on the device (`BPF_F_INGRESS`).
    In,
    /// It arrives on the device's peer in another network.
    Peer,
    /// It is sent by the device, to the neighbour that its destination is.
    Neighbour,
    /// It goes to what is at this place of the map with this id.
    Map(u32),
    /// A copy goes to each device of a map, whose id this is; with `others` to those that it
    /// did not come from.
    Each {
        /// The map.
        map: u32,
        /// Whether the device that it came from gets none.
        others: bool,
    },
}

/// Where a program redirected its packet to, on the world: nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Number of the device, or the place in the map.
    pub to: u32,
    /// How.
    pub way: Way,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, prefix: u8, metric: u32) -> Route {
        Route {
            table: Route::MAIN,
            kind: RouteKind::Unicast,
            to: to.parse().expect("an address"),
            prefix,
            gateway: None,
            device: metric,
            source: None,
            metric,
            mtu: None,
        }
    }

    #[test]
    fn the_longest_prefix_is_taken_and_of_two_the_one_with_less() {
        let routes = vec![
            route("0.0.0.0", 0, 1),
            route("10.0.0.0", 8, 3),
            route("10.0.0.0", 8, 2),
            route("10.1.0.0", 16, 4),
            route("::", 0, 5),
            route("2001:db8::", 32, 6),
        ];
        let network = Network { routes, ..Network::default() };
        let found = |to: &str| {
            let to = to.parse().expect("an address");
            network.route(None, to, None).map(|route| route.metric)
        };
        assert_eq!(found("1.2.3.4"), Some(1));
        assert_eq!(found("10.2.0.1"), Some(2));
        assert_eq!(found("10.1.255.1"), Some(4));
        assert_eq!(found("2001:db9::1"), Some(5));
        assert_eq!(found("2001:db8:1::1"), Some(6));
        let by = |out| network.route(None, "10.1.0.1".parse().expect("one"), Some(out));
        assert_eq!(by(3).map(|route| route.metric), Some(3));
        assert_eq!(by(9), None);
        assert_eq!(network.route(Some(7), "1.2.3.4".parse().expect("one"), None), None);
    }

    #[test]
    fn a_network_that_nobody_described_has_the_loop_back_device() {
        let network = Network::default();
        assert_eq!(network.device(1).map(|device| device.mtu), Some(65536));
        assert_eq!(network.device(2), None);
    }
}
