//! Where the fields of contexts are: name, first byte, bytes.

/// Place and length of a field.
pub type Place = (u32, u32);

macro_rules! places {
    ($(#[$doc:meta])* $name:ident[$size:literal] { $($field:ident = $at:literal, $bytes:literal;)* }) => {
        $(#[$doc])*
        pub mod $name {
            /// Bytes.
            pub const SIZE_OF: u32 = $size;
            $(
                #[doc = concat!("First byte of `", stringify!($field), "`.")]
                pub const $field: u32 = $at;
            )*
            #[allow(missing_docs, reason = "the same names")]
            pub(in crate::context) mod place {
                use crate::context::at::Place;
                $(pub(in crate::context) const $field: Place = ($at, $bytes);)*
            }
        }
    };
}

places! {
    /// `struct __sk_buff`
    skb[192] {
        LEN = 0, 4;
        PKT_TYPE = 4, 4;
        MARK = 8, 4;
        QUEUE_MAPPING = 12, 4;
        PROTOCOL = 16, 4;
        VLAN_PRESENT = 20, 4;
        VLAN_TCI = 24, 4;
        VLAN_PROTO = 28, 4;
        PRIORITY = 32, 4;
        INGRESS_IFINDEX = 36, 4;
        IFINDEX = 40, 4;
        TC_INDEX = 44, 4;
        CB = 48, 20;
        HASH = 68, 4;
        TC_CLASSID = 72, 4;
        DATA = 76, 4;
        DATA_END = 80, 4;
        NAPI_ID = 84, 4;
        FAMILY = 88, 4;
        REMOTE_IP4 = 92, 4;
        LOCAL_IP4 = 96, 4;
        REMOTE_IP6 = 100, 16;
        LOCAL_IP6 = 116, 16;
        REMOTE_PORT = 132, 4;
        LOCAL_PORT = 136, 4;
        DATA_META = 140, 4;
        FLOW_KEYS = 144, 8;
        TSTAMP = 152, 8;
        WIRE_LEN = 160, 4;
        GSO_SEGS = 164, 4;
        SK = 168, 8;
        GSO_SIZE = 176, 4;
        TSTAMP_TYPE = 180, 1;
        HWTSTAMP = 184, 8;
    }
}

places! {
    /// `struct xdp_md`
    xdp[24] {
        DATA = 0, 4;
        DATA_END = 4, 4;
        DATA_META = 8, 4;
        INGRESS_IFINDEX = 12, 4;
        RX_QUEUE_INDEX = 16, 4;
        EGRESS_IFINDEX = 20, 4;
    }
}

places! {
    /// `struct bpf_sock`
    sock[80] {
        BOUND_DEV_IF = 0, 4;
        FAMILY = 4, 4;
        TYPE = 8, 4;
        PROTOCOL = 12, 4;
        MARK = 16, 4;
        PRIORITY = 20, 4;
        SRC_IP4 = 24, 4;
        SRC_IP6 = 28, 16;
        SRC_PORT = 44, 4;
        DST_PORT = 48, 2;
        DST_IP4 = 52, 4;
        DST_IP6 = 56, 16;
        STATE = 72, 4;
        RX_QUEUE_MAPPING = 76, 4;
    }
}

places! {
    /// `struct bpf_sock_addr`
    sock_addr[72] {
        USER_FAMILY = 0, 4;
        USER_IP4 = 4, 4;
        USER_IP6 = 8, 16;
        USER_PORT = 24, 4;
        FAMILY = 28, 4;
        TYPE = 32, 4;
        PROTOCOL = 36, 4;
        MSG_SRC_IP4 = 40, 4;
        MSG_SRC_IP6 = 44, 16;
        SK = 64, 8;
    }
}

places! {
    /// `struct bpf_sockopt`
    sockopt[40] {
        SK = 0, 8;
        OPTVAL = 8, 8;
        OPTVAL_END = 16, 8;
        LEVEL = 24, 4;
        OPTNAME = 28, 4;
        OPTLEN = 32, 4;
        RETVAL = 36, 4;
    }
}

places! {
    /// `struct bpf_cgroup_dev_ctx`
    device[12] {
        ACCESS_TYPE = 0, 4;
        MAJOR = 4, 4;
        MINOR = 8, 4;
    }
}

places! {
    /// `struct bpf_sysctl`
    sysctl[8] {
        WRITE = 0, 4;
        FILE_POS = 4, 4;
    }
}

places! {
    /// `struct bpf_sock_ops`
    sock_ops[224] {
        OP = 0, 4;
        REPLY = 4, 16;
        FAMILY = 20, 4;
        REMOTE_IP4 = 24, 4;
        LOCAL_IP4 = 28, 4;
        REMOTE_IP6 = 32, 16;
        LOCAL_IP6 = 48, 16;
        REMOTE_PORT = 64, 4;
        LOCAL_PORT = 68, 4;
        IS_FULLSOCK = 72, 4;
        SND_CWND = 76, 4;
        SRTT_US = 80, 4;
        BPF_SOCK_OPS_CB_FLAGS = 84, 4;
        STATE = 88, 4;
        RTT_MIN = 92, 4;
        SND_SSTHRESH = 96, 4;
        RCV_NXT = 100, 4;
        SND_NXT = 104, 4;
        SND_UNA = 108, 4;
        MSS_CACHE = 112, 4;
        ECN_FLAGS = 116, 4;
        RATE_DELIVERED = 120, 4;
        RATE_INTERVAL_US = 124, 4;
        PACKETS_OUT = 128, 4;
        RETRANS_OUT = 132, 4;
        TOTAL_RETRANS = 136, 4;
        SEGS_IN = 140, 4;
        DATA_SEGS_IN = 144, 4;
        SEGS_OUT = 148, 4;
        DATA_SEGS_OUT = 152, 4;
        LOST_OUT = 156, 4;
        SACKED_OUT = 160, 4;
        SK_TXHASH = 164, 4;
        BYTES_RECEIVED = 168, 8;
        BYTES_ACKED = 176, 8;
        SK = 184, 8;
        SKB_DATA = 192, 8;
        SKB_DATA_END = 200, 8;
        SKB_LEN = 208, 4;
        SKB_TCP_FLAGS = 212, 4;
        SKB_HWTSTAMP = 216, 8;
    }
}

places! {
    /// `struct sk_msg_md`
    sk_msg[80] {
        DATA = 0, 8;
        DATA_END = 8, 8;
        FAMILY = 16, 4;
        REMOTE_IP4 = 20, 4;
        LOCAL_IP4 = 24, 4;
        REMOTE_IP6 = 28, 16;
        LOCAL_IP6 = 44, 16;
        REMOTE_PORT = 60, 4;
        LOCAL_PORT = 64, 4;
        SIZE = 68, 4;
        SK = 72, 8;
    }
}

places! {
    /// `struct sk_reuseport_md`
    sk_reuseport[56] {
        DATA = 0, 8;
        DATA_END = 8, 8;
        LEN = 16, 4;
        ETH_PROTOCOL = 20, 4;
        IP_PROTOCOL = 24, 4;
        BIND_INANY = 28, 4;
        HASH = 32, 4;
        SK = 40, 8;
        MIGRATING_SK = 48, 8;
    }
}

places! {
    /// `struct bpf_sk_lookup`
    sk_lookup[72] {
        SK = 0, 8;
        FAMILY = 8, 4;
        PROTOCOL = 12, 4;
        REMOTE_IP4 = 16, 4;
        REMOTE_IP6 = 20, 16;
        REMOTE_PORT = 36, 2;
        PADDING = 38, 2;
        LOCAL_IP4 = 40, 4;
        LOCAL_IP6 = 44, 16;
        LOCAL_PORT = 60, 4;
        INGRESS_IFINDEX = 64, 4;
    }
}

places! {
    /// `struct bpf_tcp_sock`
    tcp_sock[112] {
        SND_CWND = 0, 4;
        SRTT_US = 4, 4;
        RTT_MIN = 8, 4;
        SND_SSTHRESH = 12, 4;
        RCV_NXT = 16, 4;
        SND_NXT = 20, 4;
        SND_UNA = 24, 4;
        MSS_CACHE = 28, 4;
        ECN_FLAGS = 32, 4;
        RATE_DELIVERED = 36, 4;
        RATE_INTERVAL_US = 40, 4;
        PACKETS_OUT = 44, 4;
        RETRANS_OUT = 48, 4;
        TOTAL_RETRANS = 52, 4;
        SEGS_IN = 56, 4;
        DATA_SEGS_IN = 60, 4;
        SEGS_OUT = 64, 4;
        DATA_SEGS_OUT = 68, 4;
        LOST_OUT = 72, 4;
        SACKED_OUT = 76, 4;
        BYTES_RECEIVED = 80, 8;
        BYTES_ACKED = 88, 8;
        DSACK_DUPS = 96, 4;
        DELIVERED = 100, 4;
        DELIVERED_CE = 104, 4;
        ICSK_RETRANSMITS = 108, 4;
    }
}

places! {
    /// `struct bpf_xdp_sock`
    xdp_sock[4] {
        QUEUE_ID = 0, 4;
    }
}

places! {
    /// `struct bpf_nf_ctx`
    netfilter[16] {
        STATE = 0, 8;
        SKB = 8, 8;
    }
}
