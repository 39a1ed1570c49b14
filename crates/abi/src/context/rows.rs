//! The fields that programs may touch, by context and program type.

use super::at::Place;
use super::{Access, Context, Field, Loads, Sizes, When, Wider};
use crate::AttachType as A;

/// Whole words.
const WORD: Sizes = 4;
/// Words and their parts.
const PART: Sizes = 1 | 2 | 4;
/// 8 bytes.
const DOUBLE: Sizes = 8;
/// Whatever there is.
const ALL: Sizes = 1 | 2 | 4 | 8;

const NEVER: Access = Access { sizes: 0, at_start: false, when: When::Always };

/// A field that is read and gives a number.
const fn field(name: &'static str, (at, size): Place, sizes: Sizes) -> Field {
    let read = Access { sizes, ..NEVER };
    Field { name, at, size, loads: Loads::Number, read, write: NEVER, wider: Wider::No }
}

/// A field that is a pointer, to be read whole.
const fn pointer(name: &'static str, place: Place, loads: Loads) -> Field {
    Field { loads, ..field(name, place, place.1) }
}

impl Field {
    const fn writable(self, sizes: Sizes) -> Field {
        Field { write: Access { sizes, ..NEVER }, ..self }
    }

    /// Loads of parts, and stores, only of its first byte on.
    const fn at_start(self) -> Field {
        let read = Access { at_start: true, ..self.read };
        Field { read, write: Access { at_start: true, ..self.write }, ..self }
    }

    /// Stores of its first word.
    const fn replied(self) -> Field {
        Field { write: Access { sizes: WORD, at_start: true, when: When::Always }, ..self }
    }

    const fn wider(self, wider: Wider) -> Field {
        Field { wider, ..self }
    }

    const fn when(self, when: When) -> Field {
        Field { read: Access { when, ..self.read }, write: Access { when, ..self.write }, ..self }
    }

    const fn written(self, when: When) -> Field {
        Field { write: Access { when, ..self.write }, ..self }
    }
}

pub(super) const SOCKET_FILTER: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            field("len", LEN, PART),
            field("pkt_type", PKT_TYPE, PART),
            field("mark", MARK, PART),
            field("queue_mapping", QUEUE_MAPPING, PART),
            field("protocol", PROTOCOL, PART),
            field("vlan_present", VLAN_PRESENT, PART),
            field("vlan_tci", VLAN_TCI, PART),
            field("vlan_proto", VLAN_PROTO, PART),
            field("priority", PRIORITY, PART),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
            field("ifindex", IFINDEX, PART),
            field("tc_index", TC_INDEX, PART),
            field("cb", CB, ALL).writable(ALL),
            field("hash", HASH, PART),
            field("napi_id", NAPI_ID, PART),
            field("gso_segs", GSO_SEGS, PART),
            pointer("sk", SK, Loads::SockCommonOrNull),
            field("gso_size", GSO_SIZE, PART),
        ],
    }
};

pub(super) const CGROUP_SKB: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            field("len", LEN, PART),
            field("pkt_type", PKT_TYPE, PART),
            field("mark", MARK, PART).writable(WORD),
            field("queue_mapping", QUEUE_MAPPING, PART),
            field("protocol", PROTOCOL, PART),
            field("vlan_present", VLAN_PRESENT, PART),
            field("vlan_tci", VLAN_TCI, PART),
            field("vlan_proto", VLAN_PROTO, PART),
            field("priority", PRIORITY, PART).writable(WORD),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
            field("ifindex", IFINDEX, PART),
            field("tc_index", TC_INDEX, PART),
            field("cb", CB, ALL).writable(ALL),
            field("hash", HASH, PART),
            pointer("data", DATA, Loads::Packet).when(When::Bpf),
            pointer("data_end", DATA_END, Loads::PacketEnd).when(When::Bpf),
            field("napi_id", NAPI_ID, PART),
            field("family", FAMILY, PART),
            field("remote_ip4", REMOTE_IP4, WORD),
            field("local_ip4", LOCAL_IP4, WORD),
            field("remote_ip6", REMOTE_IP6, WORD),
            field("local_ip6", LOCAL_IP6, WORD),
            field("remote_port", REMOTE_PORT, PART),
            field("local_port", LOCAL_PORT, PART),
            field("tstamp", TSTAMP, DOUBLE).writable(DOUBLE).written(When::Bpf),
            field("gso_segs", GSO_SEGS, PART),
            pointer("sk", SK, Loads::SockCommonOrNull),
            field("gso_size", GSO_SIZE, PART),
            field("hwtstamp", HWTSTAMP, DOUBLE),
        ],
    }
};

pub(super) const SK_SKB: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            field("len", LEN, PART),
            field("pkt_type", PKT_TYPE, PART),
            field("queue_mapping", QUEUE_MAPPING, PART),
            field("protocol", PROTOCOL, PART),
            field("vlan_present", VLAN_PRESENT, PART),
            field("vlan_tci", VLAN_TCI, PART),
            field("vlan_proto", VLAN_PROTO, PART),
            field("priority", PRIORITY, PART).writable(WORD),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
            field("ifindex", IFINDEX, PART),
            field("tc_index", TC_INDEX, PART).writable(WORD),
            field("cb", CB, ALL),
            field("hash", HASH, PART),
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            field("napi_id", NAPI_ID, PART),
            field("family", FAMILY, PART),
            field("remote_ip4", REMOTE_IP4, WORD),
            field("local_ip4", LOCAL_IP4, WORD),
            field("remote_ip6", REMOTE_IP6, WORD),
            field("local_ip6", LOCAL_IP6, WORD),
            field("remote_port", REMOTE_PORT, PART),
            field("local_port", LOCAL_PORT, PART),
            field("gso_segs", GSO_SEGS, PART),
            pointer("sk", SK, Loads::SockCommonOrNull),
            field("gso_size", GSO_SIZE, PART),
        ],
    }
};

pub(super) const LWT: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            field("len", LEN, PART),
            field("pkt_type", PKT_TYPE, PART),
            field("mark", MARK, PART).writable(WORD),
            field("queue_mapping", QUEUE_MAPPING, PART),
            field("protocol", PROTOCOL, PART),
            field("vlan_present", VLAN_PRESENT, PART),
            field("vlan_tci", VLAN_TCI, PART),
            field("vlan_proto", VLAN_PROTO, PART),
            field("priority", PRIORITY, PART).writable(WORD),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
            field("ifindex", IFINDEX, PART),
            field("tc_index", TC_INDEX, PART),
            field("cb", CB, ALL).writable(ALL),
            field("hash", HASH, PART),
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            field("napi_id", NAPI_ID, PART),
            field("gso_segs", GSO_SEGS, PART),
            pointer("sk", SK, Loads::SockCommonOrNull),
            field("gso_size", GSO_SIZE, PART),
        ],
    }
};

pub(super) const TC: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            field("len", LEN, PART),
            field("pkt_type", PKT_TYPE, PART),
            field("mark", MARK, PART).writable(WORD),
            field("queue_mapping", QUEUE_MAPPING, PART).writable(WORD),
            field("protocol", PROTOCOL, PART),
            field("vlan_present", VLAN_PRESENT, PART),
            field("vlan_tci", VLAN_TCI, PART),
            field("vlan_proto", VLAN_PROTO, PART),
            field("priority", PRIORITY, PART).writable(WORD),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
            field("ifindex", IFINDEX, PART),
            field("tc_index", TC_INDEX, PART).writable(WORD),
            field("cb", CB, ALL).writable(ALL),
            field("hash", HASH, PART),
            field("tc_classid", TC_CLASSID, PART).writable(WORD),
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            field("napi_id", NAPI_ID, PART),
            pointer("data_meta", DATA_META, Loads::PacketMeta),
            field("tstamp", TSTAMP, DOUBLE).writable(DOUBLE),
            field("wire_len", WIRE_LEN, PART),
            field("gso_segs", GSO_SEGS, PART),
            pointer("sk", SK, Loads::SockCommonOrNull),
            field("gso_size", GSO_SIZE, PART),
            field("tstamp_type", TSTAMP_TYPE, 1),
            field("hwtstamp", HWTSTAMP, DOUBLE),
        ],
    }
};

pub(super) const FLOW_DISSECTOR: Context = {
    use super::at::skb::{SIZE_OF, place::*};
    Context {
        name: "__sk_buff",
        size: SIZE_OF,
        fields: &[
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            pointer("flow_keys", FLOW_KEYS, Loads::FlowKeys),
        ],
    }
};

pub(super) const XDP: Context = {
    use super::at::xdp::{SIZE_OF, place::*};
    Context {
        name: "xdp_md",
        size: SIZE_OF,
        fields: &[
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            pointer("data_meta", DATA_META, Loads::PacketMeta),
            field("ingress_ifindex", INGRESS_IFINDEX, WORD),
            field("rx_queue_index", RX_QUEUE_INDEX, WORD),
            field("egress_ifindex", EGRESS_IFINDEX, WORD).when(When::Attached(&[A::XdpDevmap])),
        ],
    }
};

pub(super) const SOCKET: Context = {
    use super::at::sock::{SIZE_OF, place::*};
    Context {
        name: "bpf_sock",
        size: SIZE_OF,
        fields: &[
            field("bound_dev_if", BOUND_DEV_IF, WORD),
            field("family", FAMILY, PART).at_start(),
            field("type", TYPE, PART).at_start(),
            field("protocol", PROTOCOL, PART).at_start(),
            field("mark", MARK, WORD),
            field("priority", PRIORITY, WORD),
            field("src_ip4", SRC_IP4, PART),
            field("src_ip6", SRC_IP6, PART),
            field("src_port", SRC_PORT, PART).at_start(),
            field("dst_port", DST_PORT, 1 | 2).wider(Wider::Padded),
            field("dst_ip4", DST_IP4, PART),
            field("dst_ip6", DST_IP6, PART),
            field("state", STATE, PART).at_start(),
            field("rx_queue_mapping", RX_QUEUE_MAPPING, PART).at_start(),
        ],
    }
};

pub(super) const SOCK_COMMON: Context = {
    use super::at::sock::{SIZE_OF, place::*};
    Context {
        name: "bpf_sock",
        size: SIZE_OF,
        fields: &[
            field("bound_dev_if", BOUND_DEV_IF, WORD),
            field("family", FAMILY, PART).at_start(),
            field("src_ip4", SRC_IP4, PART),
            field("src_ip6", SRC_IP6, PART),
            field("src_port", SRC_PORT, PART).at_start(),
            field("dst_port", DST_PORT, 1 | 2).wider(Wider::Padded),
            field("dst_ip4", DST_IP4, PART),
            field("dst_ip6", DST_IP6, PART),
            field("state", STATE, PART).at_start(),
            field("rx_queue_mapping", RX_QUEUE_MAPPING, PART).at_start(),
        ],
    }
};

const CREATED: &[A] = &[A::CgroupInetSockCreate, A::CgroupInetSockRelease];
const BOUND: &[A] = &[A::CgroupInet4PostBind, A::CgroupInet6PostBind];
pub(super) const CGROUP_SOCK: Context = {
    use super::at::sock::{SIZE_OF, place::*};
    Context {
        name: "bpf_sock",
        size: SIZE_OF,
        fields: &[
            field("bound_dev_if", BOUND_DEV_IF, WORD).writable(WORD).when(When::Attached(CREATED)),
            field("family", FAMILY, PART).at_start(),
            field("type", TYPE, PART).at_start(),
            field("protocol", PROTOCOL, PART).at_start(),
            field("mark", MARK, WORD).writable(WORD).when(When::Attached(CREATED)),
            field("priority", PRIORITY, WORD).writable(WORD).when(When::Attached(CREATED)),
            field("src_ip4", SRC_IP4, PART).when(When::Attached(&[A::CgroupInet4PostBind])),
            field("src_ip6", SRC_IP6, PART).when(When::Attached(&[A::CgroupInet6PostBind])),
            field("src_port", SRC_PORT, PART).at_start().when(When::Attached(BOUND)),
            field("dst_port", DST_PORT, 1 | 2).wider(Wider::Padded),
            field("dst_ip4", DST_IP4, PART),
            field("dst_ip6", DST_IP6, PART),
            field("state", STATE, PART).at_start(),
            field("rx_queue_mapping", RX_QUEUE_MAPPING, PART).at_start(),
        ],
    }
};

const V4: &[A] = &[
    A::CgroupInet4Bind,
    A::CgroupInet4Connect,
    A::CgroupInet4Getpeername,
    A::CgroupInet4Getsockname,
    A::CgroupUdp4Sendmsg,
    A::CgroupUdp4Recvmsg,
];
const V6: &[A] = &[
    A::CgroupInet6Bind,
    A::CgroupInet6Connect,
    A::CgroupInet6Getpeername,
    A::CgroupInet6Getsockname,
    A::CgroupUdp6Sendmsg,
    A::CgroupUdp6Recvmsg,
];
pub(super) const SOCK_ADDR: Context = {
    use super::at::sock_addr::{SIZE_OF, place::*};
    Context {
        name: "bpf_sock_addr",
        size: SIZE_OF,
        fields: &[
            field("user_family", USER_FAMILY, WORD),
            field("user_ip4", USER_IP4, PART).writable(WORD).when(When::Attached(V4)),
            field("user_ip6", USER_IP6, PART)
                .writable(WORD)
                .wider(Wider::Pairs)
                .when(When::Attached(V6)),
            field("user_port", USER_PORT, PART).writable(WORD),
            field("family", FAMILY, WORD),
            field("type", TYPE, WORD),
            field("protocol", PROTOCOL, WORD),
            field("msg_src_ip4", MSG_SRC_IP4, PART)
                .writable(WORD)
                .when(When::Attached(&[A::CgroupUdp4Sendmsg])),
            field("msg_src_ip6", MSG_SRC_IP6, PART)
                .writable(WORD)
                .wider(Wider::Pairs)
                .when(When::Attached(&[A::CgroupUdp6Sendmsg])),
            pointer("sk", SK, Loads::Socket),
        ],
    }
};

pub(super) const SOCKOPT: Context = {
    use super::at::sockopt::{SIZE_OF, place::*};
    Context {
        name: "bpf_sockopt",
        size: SIZE_OF,
        fields: &[
            pointer("sk", SK, Loads::Socket),
            pointer("optval", OPTVAL, Loads::Packet),
            pointer("optval_end", OPTVAL_END, Loads::PacketEnd),
            field("level", LEVEL, WORD)
                .writable(WORD)
                .written(When::Attached(&[A::CgroupSetsockopt])),
            field("optname", OPTNAME, WORD)
                .writable(WORD)
                .written(When::Attached(&[A::CgroupSetsockopt])),
            field("optlen", OPTLEN, WORD).writable(WORD),
            field("retval", RETVAL, WORD)
                .writable(WORD)
                .when(When::Attached(&[A::CgroupGetsockopt])),
        ],
    }
};

pub(super) const DEVICE: Context = {
    use super::at::device::{SIZE_OF, place::*};
    Context {
        name: "bpf_cgroup_dev_ctx",
        size: SIZE_OF,
        fields: &[
            field("access_type", ACCESS_TYPE, PART),
            field("major", MAJOR, WORD),
            field("minor", MINOR, WORD),
        ],
    }
};

pub(super) const SYSCTL: Context = {
    use super::at::sysctl::{SIZE_OF, place::*};
    Context {
        name: "bpf_sysctl",
        size: SIZE_OF,
        fields: &[field("write", WRITE, PART), field("file_pos", FILE_POS, PART).writable(WORD)],
    }
};

pub(super) const SOCK_OPS: Context = {
    use super::at::sock_ops::{SIZE_OF, place::*};
    Context {
        name: "bpf_sock_ops",
        size: SIZE_OF,
        fields: &[
            field("op", OP, WORD),
            field("reply", REPLY, WORD).replied(),
            field("family", FAMILY, WORD),
            field("remote_ip4", REMOTE_IP4, WORD),
            field("local_ip4", LOCAL_IP4, WORD),
            field("remote_ip6", REMOTE_IP6, WORD),
            field("local_ip6", LOCAL_IP6, WORD),
            field("remote_port", REMOTE_PORT, WORD),
            field("local_port", LOCAL_PORT, WORD),
            field("is_fullsock", IS_FULLSOCK, WORD),
            field("snd_cwnd", SND_CWND, WORD),
            field("srtt_us", SRTT_US, WORD),
            field("bpf_sock_ops_cb_flags", BPF_SOCK_OPS_CB_FLAGS, WORD),
            field("state", STATE, WORD),
            field("rtt_min", RTT_MIN, WORD),
            field("snd_ssthresh", SND_SSTHRESH, WORD),
            field("rcv_nxt", RCV_NXT, WORD),
            field("snd_nxt", SND_NXT, WORD),
            field("snd_una", SND_UNA, WORD),
            field("mss_cache", MSS_CACHE, WORD),
            field("ecn_flags", ECN_FLAGS, WORD),
            field("rate_delivered", RATE_DELIVERED, WORD),
            field("rate_interval_us", RATE_INTERVAL_US, WORD),
            field("packets_out", PACKETS_OUT, WORD),
            field("retrans_out", RETRANS_OUT, WORD),
            field("total_retrans", TOTAL_RETRANS, WORD),
            field("segs_in", SEGS_IN, WORD),
            field("data_segs_in", DATA_SEGS_IN, WORD),
            field("segs_out", SEGS_OUT, WORD),
            field("data_segs_out", DATA_SEGS_OUT, WORD),
            field("lost_out", LOST_OUT, WORD),
            field("sacked_out", SACKED_OUT, WORD),
            field("sk_txhash", SK_TXHASH, WORD).writable(WORD),
            field("bytes_received", BYTES_RECEIVED, DOUBLE),
            field("bytes_acked", BYTES_ACKED, DOUBLE),
            pointer("sk", SK, Loads::SocketOrNull),
            pointer("skb_data", SKB_DATA, Loads::Packet),
            pointer("skb_data_end", SKB_DATA_END, Loads::PacketEnd),
            field("skb_len", SKB_LEN, WORD),
            field("skb_tcp_flags", SKB_TCP_FLAGS, PART).at_start(),
            field("skb_hwtstamp", SKB_HWTSTAMP, DOUBLE),
        ],
    }
};

pub(super) const SK_MSG: Context = {
    use super::at::sk_msg::{SIZE_OF, place::*};
    Context {
        name: "sk_msg_md",
        size: SIZE_OF,
        fields: &[
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            field("family", FAMILY, WORD),
            field("remote_ip4", REMOTE_IP4, WORD),
            field("local_ip4", LOCAL_IP4, WORD),
            field("remote_ip6", REMOTE_IP6, WORD),
            field("local_ip6", LOCAL_IP6, WORD),
            field("remote_port", REMOTE_PORT, WORD),
            field("local_port", LOCAL_PORT, WORD),
            field("size", SIZE, WORD),
            pointer("sk", SK, Loads::Socket),
        ],
    }
};

pub(super) const SK_REUSEPORT: Context = {
    use super::at::sk_reuseport::{SIZE_OF, place::*};
    Context {
        name: "sk_reuseport_md",
        size: SIZE_OF,
        fields: &[
            pointer("data", DATA, Loads::Packet),
            pointer("data_end", DATA_END, Loads::PacketEnd),
            field("len", LEN, PART),
            field("eth_protocol", ETH_PROTOCOL, 2 | 4),
            field("ip_protocol", IP_PROTOCOL, PART),
            field("bind_inany", BIND_INANY, PART),
            field("hash", HASH, WORD),
            pointer("sk", SK, Loads::Socket),
            pointer("migrating_sk", MIGRATING_SK, Loads::SockCommonOrNull),
        ],
    }
};

pub(super) const SK_LOOKUP: Context = {
    use super::at::sk_lookup::{SIZE_OF, place::*};
    Context {
        name: "bpf_sk_lookup",
        size: SIZE_OF,
        fields: &[
            pointer("sk", SK, Loads::SocketOrNull),
            field("family", FAMILY, PART),
            field("protocol", PROTOCOL, PART),
            field("remote_ip4", REMOTE_IP4, PART),
            field("remote_ip6", REMOTE_IP6, PART),
            field("remote_port", REMOTE_PORT, 1 | 2).wider(Wider::Padded),
            field("", PADDING, 1 | 2),
            field("local_ip4", LOCAL_IP4, PART),
            field("local_ip6", LOCAL_IP6, PART),
            field("local_port", LOCAL_PORT, PART),
            field("ingress_ifindex", INGRESS_IFINDEX, PART),
        ],
    }
};

pub(super) const TCP_SOCK: Context = {
    use super::at::tcp_sock::{SIZE_OF, place::*};
    Context {
        name: "bpf_tcp_sock",
        size: SIZE_OF,
        fields: &[
            field("snd_cwnd", SND_CWND, WORD),
            field("srtt_us", SRTT_US, WORD),
            field("rtt_min", RTT_MIN, WORD),
            field("snd_ssthresh", SND_SSTHRESH, WORD),
            field("rcv_nxt", RCV_NXT, WORD),
            field("snd_nxt", SND_NXT, WORD),
            field("snd_una", SND_UNA, WORD),
            field("mss_cache", MSS_CACHE, WORD),
            field("ecn_flags", ECN_FLAGS, WORD),
            field("rate_delivered", RATE_DELIVERED, WORD),
            field("rate_interval_us", RATE_INTERVAL_US, WORD),
            field("packets_out", PACKETS_OUT, WORD),
            field("retrans_out", RETRANS_OUT, WORD),
            field("total_retrans", TOTAL_RETRANS, WORD),
            field("segs_in", SEGS_IN, WORD),
            field("data_segs_in", DATA_SEGS_IN, WORD),
            field("segs_out", SEGS_OUT, WORD),
            field("data_segs_out", DATA_SEGS_OUT, WORD),
            field("lost_out", LOST_OUT, WORD),
            field("sacked_out", SACKED_OUT, WORD),
            field("bytes_received", BYTES_RECEIVED, DOUBLE).wider(Wider::Upper),
            field("bytes_acked", BYTES_ACKED, DOUBLE).wider(Wider::Upper),
            field("dsack_dups", DSACK_DUPS, WORD),
            field("delivered", DELIVERED, WORD),
            field("delivered_ce", DELIVERED_CE, WORD),
            field("icsk_retransmits", ICSK_RETRANSMITS, WORD),
        ],
    }
};

pub(super) const XDP_SOCK: Context = {
    use super::at::xdp_sock::{SIZE_OF, place::*};
    Context { name: "bpf_xdp_sock", size: SIZE_OF, fields: &[field("queue_id", QUEUE_ID, WORD)] }
};

pub(super) const NETFILTER: Context = {
    use super::at::netfilter::{SIZE_OF, place::*};
    Context {
        name: "bpf_nf_ctx",
        size: SIZE_OF,
        fields: &[
            pointer("state", STATE, Loads::Kernel("nf_hook_state")),
            pointer("skb", SKB, Loads::Kernel("sk_buff")),
        ],
    }
};

/// The fields of `struct __sk_buff` that TEST_RUN takes from its caller; every other byte
/// must be 0 (`convert___skb_to_skb`).
pub const SKB_TAKEN: [Place; 10] = {
    use super::at::skb::place::*;
    [MARK, PRIORITY, INGRESS_IFINDEX, IFINDEX, CB, TSTAMP, WIRE_LEN, GSO_SEGS, GSO_SIZE, HWTSTAMP]
};
