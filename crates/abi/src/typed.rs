//! What the kernel's BTF does not say of the arguments that typed programs get: which
//! of a tracepoint's may be null or an error, what an iterator hands over, and what
//! `struct_ops` programs may do. Counterpart: `raw_tp_null_args` of `kernel/bpf/btf.c`,
//! the `bpf_iter_reg` and `bpf_struct_ops` definitions.

/// What a pointer among the arguments of a tracepoint may be besides a valid pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TracepointArg {
    /// Never null.
    Valid,
    /// Null, at times.
    Nullable,
    /// An error number in a pointer's place, at times.
    Error,
}

impl TracepointArg {
    /// The argument with this index, from 0, of a tracepoint.
    pub fn of(tracepoint: &str, index: usize) -> TracepointArg {
        let names =
            |table: &[&[&str]]| table.get(index).is_some_and(|names| names.contains(&tracepoint));
        if names(ERRORS) {
            TracepointArg::Error
        } else if names(NULLABLE) {
            TracepointArg::Nullable
        } else {
            TracepointArg::Valid
        }
    }
}

/// Tracepoints by the index of an argument that may be null.
const NULLABLE: &[&[&str]] = &[
    &[
        "afs_protocol_error",
        "amdgpu_vm_bo_map",
        "amdgpu_vm_bo_unmap",
        "cachefiles_io_error",
        "cachefiles_lookup",
        "cachefiles_mark_active",
        "cachefiles_mark_failed",
        "cachefiles_mark_inactive",
        "cachefiles_ondemand_close",
        "cachefiles_ondemand_copen",
        "cachefiles_ondemand_cread",
        "cachefiles_ondemand_fd_release",
        "cachefiles_ondemand_fd_write",
        "cachefiles_ondemand_open",
        "cachefiles_ondemand_read",
        "cachefiles_prep_read",
        "cachefiles_rename",
        "cachefiles_unlink",
        "cachefiles_vfs_error",
        "cfg80211_scan_done",
        "mm_collapse_huge_page_isolate",
        "mm_page_alloc",
        "mm_page_alloc_zone_locked",
        "mm_page_pcpu_drain",
        "netfs_folioq",
        "nfs4_setup_sequence",
        "nfsd_dirent",
        "nfsd_file_acquire",
        "nfsd_file_cons_err",
        "nfsd_file_insert_err",
        "rxrpc_client",
        "rxrpc_recvdata",
        "tcp_send_reset",
        "tmigr_update_events",
        "xfs_blockgc_flush_all",
        "xfs_blockgc_start",
        "xfs_blockgc_stop",
        "xfs_blockgc_worker",
        "xfs_defer_add_item",
        "xfs_defer_cancel_item",
        "xfs_defer_cancel_list",
        "xfs_defer_create_intent",
        "xfs_defer_finish_item",
        "xfs_defer_isolate_paused",
        "xfs_defer_item_pause",
        "xfs_defer_item_unpause",
        "xfs_defer_pending_abort",
        "xfs_defer_pending_finish",
        "xfs_defer_relog_intent",
        "xfs_fs_sync_fs",
        "xfs_inodegc_flush",
        "xfs_inodegc_push",
        "xfs_inodegc_queue",
        "xfs_inodegc_start",
        "xfs_inodegc_stop",
        "xfs_inodegc_throttle",
        "xs_stream_read_data",
    ],
    &[
        "afs_flock_ev",
        "afs_make_fs_call",
        "afs_make_fs_call1",
        "afs_make_fs_call2",
        "afs_make_fs_calli",
        "break_lease_block",
        "break_lease_noblock",
        "break_lease_unblock",
        "cfg80211_scan_done",
        "coda_dec_pic_done",
        "coda_dec_pic_run",
        "device_pm_callback_start",
        "ext4_mballoc_discard",
        "ext4_mballoc_free",
        "fcntl_setlk",
        "flock_lock_inode",
        "folio_wait_writeback",
        "generic_delete_lease",
        "hugetlbfs_alloc_inode",
        "locks_remove_posix",
        "mm_khugepaged_collapse_file",
        "mm_khugepaged_scan_file",
        "mm_khugepaged_scan_pmd",
        "neigh_update",
        "netfs_failure",
        "posix_lock_inode",
        "rdev_set_coalesce",
        "rxrpc_resend",
        "rxrpc_tq",
        "sched_pi_setprio",
        "spufs_context",
        "tcp_send_reset",
        "time_out_leases",
        "wiphy_work_cancel",
        "wiphy_work_flush",
        "wiphy_work_queue",
        "wiphy_work_run",
        "writeback_dirty_folio",
        "xchk_nlinks_live_update",
        "xfs_blockgc_free_space",
        "xfs_ioc_free_eofblocks",
        "xprt_get_cong",
        "xprt_put_cong",
        "xprt_release_cong",
        "xprt_reserve_cong",
    ],
    &[
        "amdtp_packet",
        "binder_transaction",
        "btree_path_free",
        "cfg80211_inform_bss_frame",
        "cfg80211_report_wowlan_wakeup",
        "dpu_crtc_setup_mixer",
        "fib_table_lookup",
        "kvm_page_fault_enter",
        "sched_stick_numa",
        "sched_swap_numa",
        "tcp_sendmsg_locked",
        "tegra_dma_tx_status",
        "xchk_metapath_lookup",
        "xfs_btree_overlapped_query_range",
        "xfs_btree_updkeys",
    ],
    &[
        "hfi1_sdma_progress",
        "iptfs_ingress_postq_event",
        "kfree_skb",
        "nfsd_file_acquire",
        "qdisc_dequeue",
        "xfs_iomap_alloc",
        "xfs_iomap_found",
    ],
    &[
        "cfg80211_michael_mic_failure",
        "host1x_cdma_push_gather",
        "pnfs_mds_fallback_pg_get_mirror_count",
        "pnfs_mds_fallback_pg_init_read",
        "pnfs_mds_fallback_pg_init_write",
        "pnfs_mds_fallback_read_done",
        "pnfs_mds_fallback_read_pagelist",
        "pnfs_mds_fallback_write_done",
        "pnfs_mds_fallback_write_pagelist",
        "pnfs_update_layout",
        "xfs_map_blocks_alloc",
        "xfs_map_blocks_found",
    ],
];

/// Tracepoints by the index of an argument that may be an error number.
const ERRORS: &[&[&str]] = &[
    &[],
    &[],
    &["cachefiles_lookup", "nfs4_inode_callback_event", "nfs4_inode_stateid_callback_event"],
    &["mr_integ_alloc"],
];

/// What an iterator's program gets for one element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IterArg {
    /// An object that the kernel vouches for, or null.
    Trusted,
    /// An object, or null.
    Object,
    /// Bytes to be read, or null.
    ReadOnly,
    /// Bytes, or null.
    Bytes,
}

/// What iterators hand over, by their name and the index of the argument; the first
/// argument of each is its `struct bpf_iter_meta`.
const ITERATORS: &[(&str, &[(usize, IterArg)])] = &[
    ("bpf_link", &[(1, IterArg::Object)]),
    ("bpf_map", &[(1, IterArg::Trusted)]),
    ("bpf_map_elem", &[(2, IterArg::ReadOnly), (3, IterArg::Bytes)]),
    ("bpf_prog", &[(1, IterArg::Object)]),
    ("bpf_sk_storage_map", &[(2, IterArg::Object), (3, IterArg::Bytes)]),
    ("cgroup", &[(1, IterArg::Trusted)]),
    ("dmabuf", &[(1, IterArg::Object)]),
    ("ipv6_route", &[(1, IterArg::Object)]),
    ("kmem_cache", &[(1, IterArg::Trusted)]),
    ("ksym", &[(1, IterArg::Object)]),
    ("netlink", &[(1, IterArg::Object)]),
    ("sockmap", &[(2, IterArg::ReadOnly), (3, IterArg::Object)]),
    ("task", &[(1, IterArg::Trusted)]),
    ("task_file", &[(1, IterArg::Object), (3, IterArg::Object)]),
    ("task_vma", &[(1, IterArg::Object), (2, IterArg::Object)]),
    ("tcp", &[(1, IterArg::Trusted)]),
    ("udp", &[(1, IterArg::Trusted)]),
    ("unix", &[(1, IterArg::Object)]),
];

impl IterArg {
    /// The argument with this index, from 0, of an iterator's program; `None` for one
    /// that is what its type says.
    pub fn of(iterator: &str, index: usize) -> Option<IterArg> {
        let (_, args) = ITERATORS.iter().find(|(name, _)| *name == iterator)?;
        args.iter().find(|(at, _)| *at == index).map(|(_, arg)| *arg)
    }
}

/// A structure of functions that programs implement.
#[derive(Debug, PartialEq, Eq)]
pub struct StructOps {
    /// Name of the structure.
    pub name: &'static str,
    /// Members that no program may implement.
    pub unsupported: &'static [&'static str],
    /// The only members whose programs may sleep, where not all may.
    pub sleepable: Option<&'static [&'static str]>,
    /// Programs that get the first structure are given the second.
    pub promotes: Option<(&'static str, &'static str)>,
    /// What they may write.
    pub writes: Writable,
    /// Whether they get the helpers of congestion control.
    pub congestion: bool,
}

/// Parts of the kernel's structures that programs may write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Writable {
    /// None.
    Nothing,
    /// All of this structure.
    Whole(&'static str),
    /// Of the structures named first, these fields: the structure at its start that
    /// has the field, and the field.
    Fields(&'static [&'static str], &'static [(&'static str, &'static str)]),
}

/// The connection that a packet belongs to: its mark.
pub const CONNECTION_WRITES: Writable =
    Writable::Fields(&["nf_conn", "nf_conn___init"], &[("nf_conn", "mark")]);

const STRUCT_OPS: &[StructOps] = &[
    StructOps {
        name: "tcp_congestion_ops",
        unsupported: &["get_info"],
        sleepable: None,
        promotes: Some(("sock", "tcp_sock")),
        writes: Writable::Fields(
            &["tcp_sock"],
            &[
                ("sock", "sk_pacing_rate"),
                ("sock", "sk_pacing_status"),
                ("inet_connection_sock", "icsk_ca_priv"),
                ("inet_connection_sock", "icsk_ack.pending"),
                ("tcp_sock", "snd_cwnd"),
                ("tcp_sock", "snd_cwnd_cnt"),
                ("tcp_sock", "snd_cwnd_stamp"),
                ("tcp_sock", "snd_ssthresh"),
                ("tcp_sock", "ecn_flags"),
                ("tcp_sock", "app_limited"),
            ],
        ),
        congestion: true,
    },
    StructOps {
        name: "bpf_dummy_ops",
        unsupported: &[],
        sleepable: Some(&["test_sleepable"]),
        promotes: None,
        writes: Writable::Whole("bpf_dummy_ops_state"),
        congestion: false,
    },
];

impl StructOps {
    /// The row of a structure, where there is more to say of it than its BTF does.
    pub fn from_name(name: &str) -> Option<&'static StructOps> {
        STRUCT_OPS.iter().find(|row| row.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_of_a_freed_packet_may_be_null() {
        assert_eq!(TracepointArg::of("kfree_skb", 0), TracepointArg::Valid);
        assert_eq!(TracepointArg::of("kfree_skb", 3), TracepointArg::Nullable);
        assert_eq!(TracepointArg::of("cachefiles_lookup", 2), TracepointArg::Error);
    }
}
