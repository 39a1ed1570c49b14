//! The kinds of things that `bpf()` knows: commands, map types, program types,
//! attach types. One row each: the variant, its number, the name that bpftool
//! and libbpf print (`libbpf_bpf_map_type_str` and its siblings).

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u32)]
        pub enum $name { $(#[doc = concat!("`", $text, "`")] $variant = $number,)* }

        impl $name {
            /// Every row, in the order of their numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];

            /// The row with this number.
            pub fn from_number(number: u32) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }

            /// The name in bpftool's and libbpf's words.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The row with this name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

kinds! {
    /// Commands of `bpf(2)`.
    Cmd {
        MapCreate = 0, "BPF_MAP_CREATE";
        MapLookupElem = 1, "BPF_MAP_LOOKUP_ELEM";
        MapUpdateElem = 2, "BPF_MAP_UPDATE_ELEM";
        MapDeleteElem = 3, "BPF_MAP_DELETE_ELEM";
        MapGetNextKey = 4, "BPF_MAP_GET_NEXT_KEY";
        ProgLoad = 5, "BPF_PROG_LOAD";
        ObjPin = 6, "BPF_OBJ_PIN";
        ObjGet = 7, "BPF_OBJ_GET";
        ProgAttach = 8, "BPF_PROG_ATTACH";
        ProgDetach = 9, "BPF_PROG_DETACH";
        ProgTestRun = 10, "BPF_PROG_TEST_RUN";
        ProgGetNextId = 11, "BPF_PROG_GET_NEXT_ID";
        MapGetNextId = 12, "BPF_MAP_GET_NEXT_ID";
        ProgGetFdById = 13, "BPF_PROG_GET_FD_BY_ID";
        MapGetFdById = 14, "BPF_MAP_GET_FD_BY_ID";
        ObjGetInfoByFd = 15, "BPF_OBJ_GET_INFO_BY_FD";
        ProgQuery = 16, "BPF_PROG_QUERY";
        RawTracepointOpen = 17, "BPF_RAW_TRACEPOINT_OPEN";
        BtfLoad = 18, "BPF_BTF_LOAD";
        BtfGetFdById = 19, "BPF_BTF_GET_FD_BY_ID";
        TaskFdQuery = 20, "BPF_TASK_FD_QUERY";
        MapLookupAndDeleteElem = 21, "BPF_MAP_LOOKUP_AND_DELETE_ELEM";
        MapFreeze = 22, "BPF_MAP_FREEZE";
        BtfGetNextId = 23, "BPF_BTF_GET_NEXT_ID";
        MapLookupBatch = 24, "BPF_MAP_LOOKUP_BATCH";
        MapLookupAndDeleteBatch = 25, "BPF_MAP_LOOKUP_AND_DELETE_BATCH";
        MapUpdateBatch = 26, "BPF_MAP_UPDATE_BATCH";
        MapDeleteBatch = 27, "BPF_MAP_DELETE_BATCH";
        LinkCreate = 28, "BPF_LINK_CREATE";
        LinkUpdate = 29, "BPF_LINK_UPDATE";
        LinkGetFdById = 30, "BPF_LINK_GET_FD_BY_ID";
        LinkGetNextId = 31, "BPF_LINK_GET_NEXT_ID";
        EnableStats = 32, "BPF_ENABLE_STATS";
        IterCreate = 33, "BPF_ITER_CREATE";
        LinkDetach = 34, "BPF_LINK_DETACH";
        ProgBindMap = 35, "BPF_PROG_BIND_MAP";
        TokenCreate = 36, "BPF_TOKEN_CREATE";
        ProgStreamReadByFd = 37, "BPF_PROG_STREAM_READ_BY_FD";
    }
}

kinds! {
    /// Map types.
    MapType {
        Unspec = 0, "unspec";
        Hash = 1, "hash";
        Array = 2, "array";
        ProgArray = 3, "prog_array";
        PerfEventArray = 4, "perf_event_array";
        PercpuHash = 5, "percpu_hash";
        PercpuArray = 6, "percpu_array";
        StackTrace = 7, "stack_trace";
        CgroupArray = 8, "cgroup_array";
        LruHash = 9, "lru_hash";
        LruPercpuHash = 10, "lru_percpu_hash";
        LpmTrie = 11, "lpm_trie";
        ArrayOfMaps = 12, "array_of_maps";
        HashOfMaps = 13, "hash_of_maps";
        Devmap = 14, "devmap";
        Sockmap = 15, "sockmap";
        Cpumap = 16, "cpumap";
        Xskmap = 17, "xskmap";
        Sockhash = 18, "sockhash";
        CgroupStorage = 19, "cgroup_storage";
        ReuseportSockarray = 20, "reuseport_sockarray";
        PercpuCgroupStorage = 21, "percpu_cgroup_storage";
        Queue = 22, "queue";
        Stack = 23, "stack";
        SkStorage = 24, "sk_storage";
        DevmapHash = 25, "devmap_hash";
        StructOps = 26, "struct_ops";
        Ringbuf = 27, "ringbuf";
        InodeStorage = 28, "inode_storage";
        TaskStorage = 29, "task_storage";
        BloomFilter = 30, "bloom_filter";
        UserRingbuf = 31, "user_ringbuf";
        CgrpStorage = 32, "cgrp_storage";
        Arena = 33, "arena";
    }
}

kinds! {
    /// Program types.
    ProgType {
        Unspec = 0, "unspec";
        SocketFilter = 1, "socket_filter";
        Kprobe = 2, "kprobe";
        SchedCls = 3, "sched_cls";
        SchedAct = 4, "sched_act";
        Tracepoint = 5, "tracepoint";
        Xdp = 6, "xdp";
        PerfEvent = 7, "perf_event";
        CgroupSkb = 8, "cgroup_skb";
        CgroupSock = 9, "cgroup_sock";
        LwtIn = 10, "lwt_in";
        LwtOut = 11, "lwt_out";
        LwtXmit = 12, "lwt_xmit";
        SockOps = 13, "sock_ops";
        SkSkb = 14, "sk_skb";
        CgroupDevice = 15, "cgroup_device";
        SkMsg = 16, "sk_msg";
        RawTracepoint = 17, "raw_tracepoint";
        CgroupSockAddr = 18, "cgroup_sock_addr";
        LwtSeg6local = 19, "lwt_seg6local";
        LircMode2 = 20, "lirc_mode2";
        SkReuseport = 21, "sk_reuseport";
        FlowDissector = 22, "flow_dissector";
        CgroupSysctl = 23, "cgroup_sysctl";
        RawTracepointWritable = 24, "raw_tracepoint_writable";
        CgroupSockopt = 25, "cgroup_sockopt";
        Tracing = 26, "tracing";
        StructOps = 27, "struct_ops";
        Ext = 28, "ext";
        Lsm = 29, "lsm";
        SkLookup = 30, "sk_lookup";
        Syscall = 31, "syscall";
        Netfilter = 32, "netfilter";
    }
}

kinds! {
    /// Attach types (`expected_attach_type`).
    AttachType {
        CgroupInetIngress = 0, "cgroup_inet_ingress";
        CgroupInetEgress = 1, "cgroup_inet_egress";
        CgroupInetSockCreate = 2, "cgroup_inet_sock_create";
        CgroupSockOps = 3, "cgroup_sock_ops";
        SkSkbStreamParser = 4, "sk_skb_stream_parser";
        SkSkbStreamVerdict = 5, "sk_skb_stream_verdict";
        CgroupDevice = 6, "cgroup_device";
        SkMsgVerdict = 7, "sk_msg_verdict";
        CgroupInet4Bind = 8, "cgroup_inet4_bind";
        CgroupInet6Bind = 9, "cgroup_inet6_bind";
        CgroupInet4Connect = 10, "cgroup_inet4_connect";
        CgroupInet6Connect = 11, "cgroup_inet6_connect";
        CgroupInet4PostBind = 12, "cgroup_inet4_post_bind";
        CgroupInet6PostBind = 13, "cgroup_inet6_post_bind";
        CgroupUdp4Sendmsg = 14, "cgroup_udp4_sendmsg";
        CgroupUdp6Sendmsg = 15, "cgroup_udp6_sendmsg";
        LircMode2 = 16, "lirc_mode2";
        FlowDissector = 17, "flow_dissector";
        CgroupSysctl = 18, "cgroup_sysctl";
        CgroupUdp4Recvmsg = 19, "cgroup_udp4_recvmsg";
        CgroupUdp6Recvmsg = 20, "cgroup_udp6_recvmsg";
        CgroupGetsockopt = 21, "cgroup_getsockopt";
        CgroupSetsockopt = 22, "cgroup_setsockopt";
        TraceRawTp = 23, "trace_raw_tp";
        TraceFentry = 24, "trace_fentry";
        TraceFexit = 25, "trace_fexit";
        ModifyReturn = 26, "modify_return";
        LsmMac = 27, "lsm_mac";
        TraceIter = 28, "trace_iter";
        CgroupInet4Getpeername = 29, "cgroup_inet4_getpeername";
        CgroupInet6Getpeername = 30, "cgroup_inet6_getpeername";
        CgroupInet4Getsockname = 31, "cgroup_inet4_getsockname";
        CgroupInet6Getsockname = 32, "cgroup_inet6_getsockname";
        XdpDevmap = 33, "xdp_devmap";
        CgroupInetSockRelease = 34, "cgroup_inet_sock_release";
        XdpCpumap = 35, "xdp_cpumap";
        SkLookup = 36, "sk_lookup";
        Xdp = 37, "xdp";
        SkSkbVerdict = 38, "sk_skb_verdict";
        SkReuseportSelect = 39, "sk_reuseport_select";
        SkReuseportSelectOrMigrate = 40, "sk_reuseport_select_or_migrate";
        PerfEvent = 41, "perf_event";
        TraceKprobeMulti = 42, "trace_kprobe_multi";
        LsmCgroup = 43, "lsm_cgroup";
        StructOps = 44, "struct_ops";
        Netfilter = 45, "netfilter";
        TcxIngress = 46, "tcx_ingress";
        TcxEgress = 47, "tcx_egress";
        TraceUprobeMulti = 48, "trace_uprobe_multi";
        CgroupUnixConnect = 49, "cgroup_unix_connect";
        CgroupUnixSendmsg = 50, "cgroup_unix_sendmsg";
        CgroupUnixRecvmsg = 51, "cgroup_unix_recvmsg";
        CgroupUnixGetpeername = 52, "cgroup_unix_getpeername";
        CgroupUnixGetsockname = 53, "cgroup_unix_getsockname";
        NetkitPrimary = 54, "netkit_primary";
        NetkitPeer = 55, "netkit_peer";
        TraceKprobeSession = 56, "trace_kprobe_session";
        TraceUprobeSession = 57, "trace_uprobe_session";
        TraceFsession = 58, "trace_fsession";
    }
}

kinds! {
    /// Types of links.
    LinkType {
        Unspec = 0, "unspec";
        RawTracepoint = 1, "raw_tracepoint";
        Tracing = 2, "tracing";
        Cgroup = 3, "cgroup";
        Iter = 4, "iter";
        Netns = 5, "netns";
        Xdp = 6, "xdp";
        PerfEvent = 7, "perf_event";
        KprobeMulti = 8, "kprobe_multi";
        StructOps = 9, "struct_ops";
        Netfilter = 10, "netfilter";
        Tcx = 11, "tcx";
        UprobeMulti = 12, "uprobe_multi";
        Netkit = 13, "netkit";
        Sockmap = 14, "sockmap";
    }
}
