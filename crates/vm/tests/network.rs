//! Look-ups of routes: in a network of our own the running Linux answers, in a world that is
//! described like it the embedded kernel, on every engine: the same.

use std::net::IpAddr;
use std::process::Command as Process;
use std::sync::Arc;

use skep_isa::Reg;
use skep_isa::build::Builder;
use skep_sys::{Command, Fd, Kernel, Linux, MapCreate, MapElem, ProgLoad, TestRun};
use skep_vm::{Device, Engine, Neighbour, Network, Route, RouteKind, Vm, World};

/// Says that the process is in that network.
const INSIDE: &str = "SKEP_TEST_NETWORK";
/// The network.
const SCRIPT: &str = r#"
set -e
ip link set lo up
ip link add d0 type veth peer name d1
ip link set d0 address 02:00:00:00:00:01 mtu 1400 up
ip link set d1 up
ip address add 10.1.0.1/24 dev d0
echo 1 > /proc/sys/net/ipv4/conf/d0/forwarding
ip route add 10.2.0.0/16 via 10.1.0.2
ip route add 10.2.3.0/24 via 10.1.0.3 metric 7
ip route add 10.7.0.0/16 via 10.1.0.2 mtu lock 600
ip route add blackhole 10.3.0.0/16
ip route add unreachable 10.4.0.0/16
ip route add prohibit 10.5.0.0/16
ip route add 10.9.0.0/16 via 10.1.0.2 table 100
ip neighbour add 10.1.0.2 lladdr 02:00:00:00:00:02 dev d0 nud permanent
exec "$@"
"#;

const PARAMS: usize = 64;

fn v4(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The same network, described.
fn world(index: u32) -> World {
    let mac = [2, 0, 0, 0, 0, 1];
    let d0 = Device {
        index,
        mtu: 1400,
        mac,
        header: 14,
        up: true,
        forwarding: true,
        addresses: vec![v4("10.1.0.1")],
    };
    let route = |to: &str, prefix, kind, gateway: Option<&str>| Route {
        table: Route::MAIN,
        kind,
        to: v4(to),
        prefix,
        gateway: gateway.map(v4),
        device: index,
        source: None,
        metric: 0,
        mtu: None,
    };
    use RouteKind::{Blackhole, Broadcast, Local, Prohibit, Unicast, Unreachable};
    let local = |route: Route| Route { table: Route::LOCAL, ..route };
    let routes = vec![
        Route { source: Some(v4("10.1.0.1")), ..route("10.1.0.0", 24, Unicast, None) },
        route("10.2.0.0", 16, Unicast, Some("10.1.0.2")),
        Route { metric: 7, ..route("10.2.3.0", 24, Unicast, Some("10.1.0.3")) },
        Route { mtu: Some(600), ..route("10.7.0.0", 16, Unicast, Some("10.1.0.2")) },
        route("10.3.0.0", 16, Blackhole, None),
        route("10.4.0.0", 16, Unreachable, None),
        route("10.5.0.0", 16, Prohibit, None),
        Route { table: 100, ..route("10.9.0.0", 16, Unicast, Some("10.1.0.2")) },
        local(route("10.1.0.1", 32, Local, None)),
        local(route("10.1.0.255", 32, Broadcast, None)),
    ];
    let neighbours =
        vec![Neighbour { device: index, address: v4("10.1.0.2"), mac: [2, 0, 0, 0, 0, 2] }];
    let devices = vec![Device::LOOPBACK, d0];
    let network = Network { devices, routes, neighbours, ..Network::default() };
    World { network, ..World::default() }
}

/// A kernel with a program that looks up what stands in a map.
struct Bed {
    kernel: Arc<dyn Kernel>,
    name: String,
    map: Fd,
}

impl Bed {
    fn new(name: &str, kernel: Arc<dyn Kernel>) -> Bed {
        let create = MapCreate {
            map_type: 2,
            key_size: 4,
            value_size: PARAMS as u32,
            max_entries: 1,
            ..MapCreate::default()
        };
        let map = Fd::open(&kernel, &mut Command::MapCreate(create)).expect("an array");
        Bed { kernel, name: name.into(), map }
    }

    fn element<'e>(&self, value: &'e mut [u8]) -> MapElem<'e> {
        MapElem {
            map_fd: self.map.raw() as u32,
            key: Some((&[0; 4][..]).into()),
            value: value.into(),
            ..MapElem::default()
        }
    }

    /// What the look-up answers, and what it leaves of its parameters.
    fn ask(&self, kind: u32, flags: i32, params: &[u8; PARAMS]) -> (u32, [u8; PARAMS]) {
        let mut b = Builder::new();
        b.map_value(Reg::R2, self.map.raw() as u32, 0);
        b.set(Reg::R3, PARAMS as i32);
        b.set(Reg::R4, flags);
        b.helper(skep_abi::helper::id::FIB_LOOKUP);
        b.exit();
        let insns = b.finish().expect("no label is missing");
        let bytes = skep_isa::Slot::join(&skep_isa::encode(&insns));
        let load = ProgLoad {
            prog_type: kind,
            insn_cnt: (bytes.len() / 8) as u32,
            insns: Some(bytes.into()),
            license: Some(b"GPL\0"[..].into()),
            ..ProgLoad::default()
        };
        let program = Fd::open(&self.kernel, &mut Command::ProgLoad(Box::new(load)));
        let program = program.unwrap_or_else(|errno| panic!("{}: {errno}", self.name));
        let mut value = *params;
        self.kernel.bpf(&mut Command::MapUpdate(self.element(&mut value))).expect("an element");
        let packet = [0; 64];
        let run = TestRun {
            prog_fd: program.raw() as u32,
            data_size_in: 64,
            data_in: Some((&packet[..]).into()),
            repeat: 1,
            ..TestRun::default()
        };
        let mut command = Command::TestRun(Box::new(run));
        self.kernel.bpf(&mut command).unwrap_or_else(|errno| panic!("{}: {errno}", self.name));
        let Command::TestRun(run) = command else { panic!("a test run stays one") };
        self.kernel.bpf(&mut Command::MapLookup(self.element(&mut value))).expect("an element");
        (run.retval, value)
    }
}

fn params(index: u32, to: &str, len: u16, table: u32) -> [u8; PARAMS] {
    let mut bytes = [0; PARAMS];
    bytes[0] = 2;
    bytes[6..8].copy_from_slice(&len.to_ne_bytes());
    bytes[8..12].copy_from_slice(&index.to_ne_bytes());
    bytes[16..20].copy_from_slice(&[10, 1, 0, 77]);
    let IpAddr::V4(to) = v4(to) else { panic!("an address of IPv4") };
    bytes[32..36].copy_from_slice(&to.octets());
    bytes[48..52].copy_from_slice(&table.to_ne_bytes());
    bytes
}

fn inside() {
    const TC: u32 = 3;
    const XDP: u32 = 6;
    let shown = Process::new("ip").args(["-o", "link", "show", "d0"]).output().expect("ip");
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let index: u32 = shown.split(':').next().and_then(|text| text.parse().ok()).expect("a number");
    let linux = Bed::new("Linux", Arc::new(Linux::new()));
    let beds: Vec<Bed> = [Engine::Interpreter, Engine::Guarded, Engine::Auto]
        .into_iter()
        .map(|engine| {
            let vm = Vm::new().with_engine(engine);
            vm.environment().set_world(world(index));
            Bed::new(&format!("{engine:?}"), Arc::new(vm))
        })
        .collect();
    let places = [
        "10.1.0.2",
        "10.1.0.9",
        "10.1.0.1",
        "10.1.0.255",
        "10.2.1.1",
        "10.2.3.4",
        "10.3.0.1",
        "10.4.0.1",
        "10.5.0.1",
        "10.7.0.1",
        "10.9.0.1",
        "192.0.2.1",
        "127.0.0.1",
    ];
    let mut asked = 0;
    for to in places {
        for flags in [0, 1, 2, 4, 1 | 4, 1 | 8, 16, 1 | 8 | 16, 32, 64] {
            for (device, len, table) in
                [(index, 0, 100), (index, 500, 254), (index, 1450, 100), (1, 0, 0), (999, 0, 0)]
            {
                for kind in [TC, XDP] {
                    let params = params(device, to, len, table);
                    let expected = linux.ask(kind, flags, &params);
                    for bed in &beds {
                        let found = bed.ask(kind, flags, &params);
                        let about = format!("{} {to} {flags:#x} {device} {len} {table}", bed.name);
                        assert_eq!(found.0 as i32, expected.0 as i32, "{about}");
                        assert_eq!(found.1, expected.1, "{about}");
                    }
                    asked += 1;
                }
            }
        }
    }
    println!("{asked} look-ups");
}

#[test]
fn routes_are_found_as_linux_finds_them() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let name = "routes_are_found_as_linux_finds_them";
    let own = std::env::current_exe().expect("this test");
    let allowed = Process::new("unshare")
        .args(["-n", "ip", "link", "add", "d0", "type", "veth", "peer", "name", "d1"])
        .output()
        .is_ok_and(|ran| ran.status.success());
    if !allowed {
        println!("skipped: no network namespace of one's own");
        return;
    }
    let ran = Process::new("unshare")
        .args(["-n", "sh", "-c", SCRIPT, "sh"])
        .arg(own)
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare");
    let text = [ran.stdout, ran.stderr].concat();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&text));
}
