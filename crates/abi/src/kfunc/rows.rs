//! Every kernel function of Linux 6.18 that programs may call, one row each: name, the
//! kernel version that it came with, who may call it, and its flags.

use super::KfuncHook::*;
use super::{Kfunc, KfuncFilter, KfuncFlags, KfuncHook};
use crate::helper::Given::{Element, Key, Map, Value};
use crate::{Callback, Called, Version};

const COMMON: &[KfuncHook] = &[Common];
const GENERIC: &[KfuncHook] = &[Tracing, Tc, Xdp, StructOps, Syscall, Cgroup];
const CPUMASK: &[KfuncHook] = &[Tracing, StructOps, Syscall];
const CRYPTO: &[KfuncHook] = &[Tc, SchedAct, Xdp];
const SKB: &[KfuncHook] = &[Tc, SchedAct, SkSkb, SocketFilter, Cgroup, Lwt, Netfilter, Tracing];
const TC: &[KfuncHook] = &[Tc, SchedAct];
const CLS: &[KfuncHook] = &[Tc];
const XDP: &[KfuncHook] = &[Xdp];
const XDP_CLS: &[KfuncHook] = &[Xdp, Tc];
const CGROUP: &[KfuncHook] = &[Cgroup];
const TRACING: &[KfuncHook] = &[Tracing];
const SYSCALL: &[KfuncHook] = &[Syscall];
const STRUCT_OPS: &[KfuncHook] = &[StructOps];
const KPROBE: &[KfuncHook] = &[Kprobe];
const TEST: &[KfuncHook] = &[Tc, Tracing, Syscall];

const ACQUIRE: KfuncFlags = KfuncFlags::ACQUIRE;
const RELEASE: KfuncFlags = KfuncFlags::RELEASE;
const RET_NULL: KfuncFlags = KfuncFlags::RET_NULL;
const TRUSTED_ARGS: KfuncFlags = KfuncFlags::TRUSTED_ARGS;
const SLEEPABLE: KfuncFlags = KfuncFlags::SLEEPABLE;
const DESTRUCTIVE: KfuncFlags = KfuncFlags::DESTRUCTIVE;
const RCU: KfuncFlags = KfuncFlags::RCU;
const RCU_PROTECTED: KfuncFlags = KfuncFlags::RCU_PROTECTED;
const FASTCALL: KfuncFlags = KfuncFlags::FASTCALL;
const ITER_NEW: KfuncFlags = KfuncFlags::ITER_NEW;
const ITER_NEXT: KfuncFlags = KfuncFlags::ITER_NEXT;
const ITER_DESTROY: KfuncFlags = KfuncFlags::ITER_DESTROY;

const fn row(
    name: &'static str,
    (major, minor): (u8, u8),
    hooks: &'static [KfuncHook],
    flags: &[KfuncFlags],
) -> Kfunc {
    let (mut all, mut index) = (KfuncFlags::empty(), 0);
    while index < flags.len() {
        all = all.union(flags[index]);
        index += 1;
    }
    Kfunc {
        name,
        flags: all,
        hooks,
        filter: KfuncFilter::None,
        since: Version { major, minor },
        callback: None,
        linux_only: None,
    }
}

/// What compares two elements of a tree: whether the first comes before the second.
const LESS: Callback =
    Callback { given: &[Element(1), Element(1)], called: Called::Now, returns: (0, 1) };
/// What a workqueue calls.
const WORK: Callback =
    Callback { given: &[Map(1), Key(1), Value(1)], called: Called::Asleep, returns: (0, 0) };
/// What a task calls.
const TASK_WORK: Callback = Callback {
    given: &[Map(3), Key(3), Value(3)],
    called: Called::Asleep,
    returns: (i32::MIN, i32::MAX),
};

const fn calls(callback: Callback, row: Kfunc) -> Kfunc {
    Kfunc { callback: Some(callback), ..row }
}

const fn only(filter: KfuncFilter, row: Kfunc) -> Kfunc {
    Kfunc { filter, ..row }
}

const fn linux_only(why: &'static str, row: Kfunc) -> Kfunc {
    Kfunc { linux_only: Some(why), ..row }
}

/// Why a function is Linux's alone.
mod why {
    pub const TCP: &str = "it steers a connection of Linux's TCP, of which there are none here";
    pub const CONNTRACK: &str = "it works on the connections that Linux's netfilter tracks";
    pub const CRYPTO_API: &str = "it works with the ciphers of Linux's crypto API";
    pub const XATTR: &str = "it works on extended attributes of files that Linux has open";
    pub const SLAB: &str = "it tells which of Linux's slabs an object is in";
    pub const TESTS: &str = "it is a function of Linux's own tests";
    pub const SESSION: &str = "only Linux attaches one program to both ends of a call";
    pub const LIVE_SOCKET: &str = "it changes a socket that Linux has open";
    pub const KEYRING: &str = "it asks the key rings of Linux";
    pub const XFRM: &str = "it asks for a state of Linux's IPsec";
    pub const MARK: &str = "it marks code that nobody reaches; no verifier accepts a call of it";
}

#[rustfmt::skip]
pub(super) const KFUNCS: &[Kfunc] = &[
    // Objects, lists, trees, tasks, cgroups: kernel/bpf/helpers.c.
    row("bpf_obj_new_impl", (6, 2), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_percpu_obj_new_impl", (6, 6), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_obj_drop_impl", (6, 2), GENERIC, &[RELEASE]),
    row("bpf_percpu_obj_drop_impl", (6, 6), GENERIC, &[RELEASE]),
    row("bpf_refcount_acquire_impl", (6, 4), GENERIC, &[ACQUIRE, RET_NULL, RCU]),
    row("bpf_list_push_front_impl", (6, 4), GENERIC, &[]),
    row("bpf_list_push_back_impl", (6, 4), GENERIC, &[]),
    row("bpf_list_pop_front", (6, 2), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_list_pop_back", (6, 2), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_list_front", (6, 16), GENERIC, &[RET_NULL]),
    row("bpf_list_back", (6, 16), GENERIC, &[RET_NULL]),
    row("bpf_task_acquire", (6, 2), GENERIC, &[ACQUIRE, RCU, RET_NULL]),
    row("bpf_task_release", (6, 2), GENERIC, &[RELEASE]),
    row("bpf_rbtree_remove", (6, 3), GENERIC, &[ACQUIRE, RET_NULL]),
    calls(LESS, row("bpf_rbtree_add_impl", (6, 4), GENERIC, &[])),
    row("bpf_rbtree_first", (6, 3), GENERIC, &[RET_NULL]),
    row("bpf_rbtree_root", (6, 16), GENERIC, &[RET_NULL]),
    row("bpf_rbtree_left", (6, 16), GENERIC, &[RET_NULL]),
    row("bpf_rbtree_right", (6, 16), GENERIC, &[RET_NULL]),
    row("bpf_cgroup_acquire", (6, 2), GENERIC, &[ACQUIRE, RCU, RET_NULL]),
    row("bpf_cgroup_release", (6, 2), GENERIC, &[RELEASE]),
    row("bpf_cgroup_ancestor", (6, 2), GENERIC, &[ACQUIRE, RCU, RET_NULL]),
    row("bpf_cgroup_from_id", (6, 4), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_task_under_cgroup", (6, 5), GENERIC, &[RCU]),
    row("bpf_task_get_cgroup1", (6, 8), GENERIC, &[ACQUIRE, RCU, RET_NULL]),
    row("bpf_task_from_pid", (6, 2), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_task_from_vpid", (6, 14), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_throw", (6, 7), GENERIC, &[]),
    row("crash_kexec", (6, 0), GENERIC, &[DESTRUCTIVE]),
    row("bpf_lookup_user_key", (6, 1), GENERIC, &[ACQUIRE, RET_NULL, SLEEPABLE]),
    row("bpf_lookup_system_key", (6, 1), GENERIC, &[ACQUIRE, RET_NULL]),
    row("bpf_key_put", (6, 1), GENERIC, &[RELEASE]),
    linux_only(why::KEYRING, row("bpf_verify_pkcs7_signature", (6, 1), GENERIC, &[SLEEPABLE])),
    // For every program: kernel/bpf/helpers.c and others.
    row("bpf_cast_to_kern_ctx", (6, 2), COMMON, &[FASTCALL]),
    row("bpf_rdonly_cast", (6, 2), COMMON, &[FASTCALL]),
    row("bpf_rcu_read_lock", (6, 2), COMMON, &[]),
    row("bpf_rcu_read_unlock", (6, 2), COMMON, &[]),
    row("bpf_dynptr_slice", (6, 4), COMMON, &[RET_NULL]),
    row("bpf_dynptr_slice_rdwr", (6, 4), COMMON, &[RET_NULL]),
    row("bpf_iter_num_new", (6, 4), COMMON, &[ITER_NEW]),
    row("bpf_iter_num_next", (6, 4), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_num_destroy", (6, 4), COMMON, &[ITER_DESTROY]),
    row("bpf_iter_task_vma_new", (6, 7), COMMON, &[ITER_NEW, RCU]),
    row("bpf_iter_task_vma_next", (6, 7), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_task_vma_destroy", (6, 7), COMMON, &[ITER_DESTROY]),
    row("bpf_iter_css_task_new", (6, 7), COMMON, &[ITER_NEW, TRUSTED_ARGS]),
    row("bpf_iter_css_task_next", (6, 7), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_css_task_destroy", (6, 7), COMMON, &[ITER_DESTROY]),
    row("bpf_iter_css_new", (6, 7), COMMON, &[ITER_NEW, TRUSTED_ARGS, RCU_PROTECTED]),
    row("bpf_iter_css_next", (6, 7), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_css_destroy", (6, 7), COMMON, &[ITER_DESTROY]),
    row("bpf_iter_task_new", (6, 7), COMMON, &[ITER_NEW, TRUSTED_ARGS, RCU_PROTECTED]),
    row("bpf_iter_task_next", (6, 7), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_task_destroy", (6, 7), COMMON, &[ITER_DESTROY]),
    row("bpf_dynptr_adjust", (6, 5), COMMON, &[]),
    row("bpf_dynptr_is_null", (6, 5), COMMON, &[]),
    row("bpf_dynptr_is_rdonly", (6, 5), COMMON, &[]),
    row("bpf_dynptr_size", (6, 5), COMMON, &[]),
    row("bpf_dynptr_clone", (6, 5), COMMON, &[]),
    row("bpf_dynptr_copy", (6, 16), COMMON, &[]),
    row("bpf_dynptr_memset", (6, 17), COMMON, &[]),
    linux_only(why::TESTS, row("bpf_modify_return_test_tp", (6, 11), COMMON, &[])),
    row("bpf_wq_init", (6, 10), COMMON, &[]),
    calls(WORK, row("bpf_wq_set_callback_impl", (6, 10), COMMON, &[])),
    row("bpf_wq_start", (6, 10), COMMON, &[]),
    row("bpf_preempt_disable", (6, 10), COMMON, &[]),
    row("bpf_preempt_enable", (6, 10), COMMON, &[]),
    row("bpf_iter_bits_new", (6, 11), COMMON, &[ITER_NEW]),
    row("bpf_iter_bits_next", (6, 11), COMMON, &[ITER_NEXT, RET_NULL]),
    row("bpf_iter_bits_destroy", (6, 11), COMMON, &[ITER_DESTROY]),
    row("bpf_copy_from_user_str", (6, 12), COMMON, &[SLEEPABLE]),
    row("bpf_copy_from_user_task_str", (6, 15), COMMON, &[SLEEPABLE]),
    linux_only(why::SLAB, row("bpf_get_kmem_cache", (6, 13), COMMON, &[])),
    row("bpf_iter_kmem_cache_new", (6, 13), COMMON, &[ITER_NEW, SLEEPABLE]),
    row("bpf_iter_kmem_cache_next", (6, 13), COMMON, &[ITER_NEXT, RET_NULL, SLEEPABLE]),
    row("bpf_iter_kmem_cache_destroy", (6, 13), COMMON, &[ITER_DESTROY, SLEEPABLE]),
    row("bpf_local_irq_save", (6, 14), COMMON, &[]),
    row("bpf_local_irq_restore", (6, 14), COMMON, &[]),
    row("bpf_probe_read_user_dynptr", (6, 16), COMMON, &[]),
    row("bpf_probe_read_kernel_dynptr", (6, 16), COMMON, &[]),
    row("bpf_probe_read_user_str_dynptr", (6, 16), COMMON, &[]),
    row("bpf_probe_read_kernel_str_dynptr", (6, 16), COMMON, &[]),
    row("bpf_copy_from_user_dynptr", (6, 16), COMMON, &[SLEEPABLE]),
    row("bpf_copy_from_user_str_dynptr", (6, 16), COMMON, &[SLEEPABLE]),
    row("bpf_copy_from_user_task_dynptr", (6, 16), COMMON, &[SLEEPABLE, TRUSTED_ARGS]),
    row("bpf_copy_from_user_task_str_dynptr", (6, 16), COMMON, &[SLEEPABLE, TRUSTED_ARGS]),
    row("bpf_iter_dmabuf_new", (6, 16), COMMON, &[ITER_NEW, SLEEPABLE]),
    row("bpf_iter_dmabuf_next", (6, 16), COMMON, &[ITER_NEXT, RET_NULL, SLEEPABLE]),
    row("bpf_iter_dmabuf_destroy", (6, 16), COMMON, &[ITER_DESTROY, SLEEPABLE]),
    linux_only(why::MARK, row("__bpf_trap", (6, 16), COMMON, &[])),
    row("bpf_strcmp", (6, 17), COMMON, &[]),
    row("bpf_strcasecmp", (6, 18), COMMON, &[]),
    row("bpf_strchr", (6, 17), COMMON, &[]),
    row("bpf_strchrnul", (6, 17), COMMON, &[]),
    row("bpf_strnchr", (6, 17), COMMON, &[]),
    row("bpf_strrchr", (6, 17), COMMON, &[]),
    row("bpf_strlen", (6, 17), COMMON, &[]),
    row("bpf_strnlen", (6, 17), COMMON, &[]),
    row("bpf_strspn", (6, 17), COMMON, &[]),
    row("bpf_strcspn", (6, 17), COMMON, &[]),
    row("bpf_strstr", (6, 17), COMMON, &[]),
    row("bpf_strnstr", (6, 17), COMMON, &[]),
    linux_only(why::XATTR, row("bpf_cgroup_read_xattr", (6, 17), COMMON, &[RCU])),
    row("bpf_stream_vprintk_impl", (6, 18), COMMON, &[TRUSTED_ARGS]),
    calls(TASK_WORK, row("bpf_task_work_schedule_signal_impl", (6, 18), COMMON, &[TRUSTED_ARGS])),
    calls(TASK_WORK, row("bpf_task_work_schedule_resume_impl", (6, 18), COMMON, &[TRUSTED_ARGS])),
    row("bpf_map_sum_elem_count", (6, 6), COMMON, &[TRUSTED_ARGS]),
    row("bpf_arena_alloc_pages", (6, 9), COMMON, &[TRUSTED_ARGS, SLEEPABLE]),
    row("bpf_arena_free_pages", (6, 9), COMMON, &[TRUSTED_ARGS, SLEEPABLE]),
    row("bpf_arena_reserve_pages", (6, 17), COMMON, &[TRUSTED_ARGS, SLEEPABLE]),
    row("bpf_res_spin_lock", (6, 15), COMMON, &[RET_NULL]),
    row("bpf_res_spin_unlock", (6, 15), COMMON, &[]),
    row("bpf_res_spin_lock_irqsave", (6, 15), COMMON, &[RET_NULL]),
    row("bpf_res_spin_unlock_irqrestore", (6, 15), COMMON, &[]),
    row("bpf_send_signal_task", (6, 13), COMMON, &[TRUSTED_ARGS]),
    // CPU masks: kernel/bpf/cpumask.c.
    row("bpf_cpumask_create", (6, 3), CPUMASK, &[ACQUIRE, RET_NULL]),
    row("bpf_cpumask_release", (6, 3), CPUMASK, &[RELEASE]),
    row("bpf_cpumask_acquire", (6, 3), CPUMASK, &[ACQUIRE, TRUSTED_ARGS]),
    row("bpf_cpumask_first", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_first_zero", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_set_cpu", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_clear_cpu", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_test_cpu", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_test_and_set_cpu", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_test_and_clear_cpu", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_setall", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_clear", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_and", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_or", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_xor", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_equal", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_intersects", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_subset", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_empty", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_full", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_copy", (6, 3), CPUMASK, &[RCU]),
    row("bpf_cpumask_first_and", (6, 5), CPUMASK, &[RCU]),
    row("bpf_cpumask_any_distribute", (6, 5), CPUMASK, &[RCU]),
    row("bpf_cpumask_any_and_distribute", (6, 5), CPUMASK, &[RCU]),
    row("bpf_cpumask_weight", (6, 8), CPUMASK, &[RCU]),
    row("bpf_cpumask_populate", (6, 15), CPUMASK, &[RCU]),
    // Cryptography: kernel/bpf/crypto.c.
    linux_only(why::CRYPTO_API, row("bpf_crypto_ctx_create", (6, 10), SYSCALL, &[ACQUIRE, RET_NULL, SLEEPABLE])),
    linux_only(why::CRYPTO_API, row("bpf_crypto_ctx_release", (6, 10), SYSCALL, &[RELEASE])),
    linux_only(why::CRYPTO_API, row("bpf_crypto_ctx_acquire", (6, 10), SYSCALL, &[ACQUIRE, RCU, RET_NULL])),
    linux_only(why::CRYPTO_API, row("bpf_crypto_decrypt", (6, 10), CRYPTO, &[RCU])),
    linux_only(why::CRYPTO_API, row("bpf_crypto_encrypt", (6, 10), CRYPTO, &[RCU])),
    // Packets and sockets: net/core/filter.c.
    row("bpf_dynptr_from_skb", (6, 4), SKB, &[TRUSTED_ARGS]),
    row("bpf_dynptr_from_skb_meta", (6, 18), TC, &[TRUSTED_ARGS]),
    row("bpf_dynptr_from_xdp", (6, 4), XDP, &[]),
    row("bpf_xdp_pull_data", (6, 18), XDP, &[]),
    row("bpf_xdp_metadata_rx_timestamp", (6, 3), XDP, &[TRUSTED_ARGS]),
    row("bpf_xdp_metadata_rx_hash", (6, 3), XDP, &[TRUSTED_ARGS]),
    row("bpf_xdp_metadata_rx_vlan_tag", (6, 8), XDP, &[TRUSTED_ARGS]),
    linux_only(why::XFRM, row("bpf_xdp_get_xfrm_state", (6, 9), XDP, &[ACQUIRE, RET_NULL])),
    linux_only(why::XFRM, row("bpf_xdp_xfrm_state_release", (6, 9), XDP, &[RELEASE])),
    linux_only(why::LIVE_SOCKET, row("bpf_sock_addr_set_sun_path", (6, 7), CGROUP, &[])),
    linux_only(why::LIVE_SOCKET, row("bpf_sock_ops_enable_tx_tstamp", (6, 15), CGROUP, &[TRUSTED_ARGS])),
    linux_only(why::LIVE_SOCKET, row("bpf_sk_assign_tcp_reqsk", (6, 9), CLS, &[TRUSTED_ARGS])),
    linux_only(why::LIVE_SOCKET, only(KfuncFilter::Iterators, row("bpf_sock_destroy", (6, 5), TRACING, &[TRUSTED_ARGS]))),
    // Connection tracking: net/netfilter/nf_conntrack_bpf.c, nf_nat_bpf.c.
    linux_only(why::CONNTRACK, row("bpf_xdp_ct_alloc", (6, 0), XDP_CLS, &[ACQUIRE, RET_NULL])),
    linux_only(why::CONNTRACK, row("bpf_xdp_ct_lookup", (5, 18), XDP_CLS, &[ACQUIRE, RET_NULL])),
    linux_only(why::CONNTRACK, row("bpf_skb_ct_alloc", (6, 0), XDP_CLS, &[ACQUIRE, RET_NULL])),
    linux_only(why::CONNTRACK, row("bpf_skb_ct_lookup", (5, 18), XDP_CLS, &[ACQUIRE, RET_NULL])),
    linux_only(why::CONNTRACK, row("bpf_ct_insert_entry", (6, 0), XDP_CLS, &[ACQUIRE, RET_NULL, RELEASE])),
    linux_only(why::CONNTRACK, row("bpf_ct_release", (5, 18), XDP_CLS, &[RELEASE])),
    linux_only(why::CONNTRACK, row("bpf_ct_set_timeout", (6, 0), XDP_CLS, &[TRUSTED_ARGS])),
    linux_only(why::CONNTRACK, row("bpf_ct_change_timeout", (6, 0), XDP_CLS, &[TRUSTED_ARGS])),
    linux_only(why::CONNTRACK, row("bpf_ct_set_status", (6, 0), XDP_CLS, &[TRUSTED_ARGS])),
    linux_only(why::CONNTRACK, row("bpf_ct_change_status", (6, 0), XDP_CLS, &[TRUSTED_ARGS])),
    linux_only(why::CONNTRACK, row("bpf_ct_set_nat_info", (6, 1), XDP_CLS, &[TRUSTED_ARGS])),
    // Congestion control: net/ipv4/bpf_tcp_ca.c and the algorithms.
    linux_only(why::TCP, row("tcp_reno_ssthresh", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("tcp_reno_cong_avoid", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("tcp_reno_undo_cwnd", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("tcp_slow_start", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("tcp_cong_avoid_ai", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_init", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_recalc_ssthresh", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_cong_avoid", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_state", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_cwnd_event", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("cubictcp_acked", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_init", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_update_alpha", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_cwnd_event", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_ssthresh", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_cwnd_undo", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("dctcp_state", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_init", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_main", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_sndbuf_expand", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_undo_cwnd", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_cwnd_event", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_ssthresh", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_min_tso_segs", (5, 13), STRUCT_OPS, &[])),
    linux_only(why::TCP, row("bbr_set_state", (5, 13), STRUCT_OPS, &[])),
    // Statistics of cgroups: kernel/cgroup/rstat.c.
    row("css_rstat_updated", (6, 16), TRACING, &[]),
    row("css_rstat_flush", (6, 16), TRACING, &[SLEEPABLE]),
    // Sessions of kernel probes: kernel/trace/bpf_trace.c.
    linux_only(why::SESSION, only(KfuncFilter::Sessions, row("bpf_session_is_return", (6, 10), KPROBE, &[]))),
    linux_only(why::SESSION, only(KfuncFilter::Sessions, row("bpf_session_cookie", (6, 10), KPROBE, &[]))),
    // Files: fs/bpf_fs_kfuncs.c.
    only(KfuncFilter::Lsm, row("bpf_get_task_exe_file", (6, 12), TRACING, &[ACQUIRE, TRUSTED_ARGS, RET_NULL])),
    only(KfuncFilter::Lsm, row("bpf_put_file", (6, 12), TRACING, &[RELEASE])),
    only(KfuncFilter::Lsm, row("bpf_path_d_path", (6, 12), TRACING, &[TRUSTED_ARGS])),
    linux_only(why::XATTR, only(KfuncFilter::Lsm, row("bpf_get_dentry_xattr", (6, 12), TRACING, &[SLEEPABLE, TRUSTED_ARGS]))),
    linux_only(why::XATTR, only(KfuncFilter::Lsm, row("bpf_get_file_xattr", (6, 8), TRACING, &[SLEEPABLE, TRUSTED_ARGS]))),
    linux_only(why::XATTR, only(KfuncFilter::Lsm, row("bpf_set_dentry_xattr", (6, 15), TRACING, &[SLEEPABLE, TRUSTED_ARGS]))),
    linux_only(why::XATTR, only(KfuncFilter::Lsm, row("bpf_remove_dentry_xattr", (6, 15), TRACING, &[SLEEPABLE, TRUSTED_ARGS]))),
    // For tests: net/bpf/test_run.c.
    linux_only(why::TESTS, row("bpf_kfunc_call_test_release", (5, 18), TEST, &[RELEASE])),
    linux_only(why::TESTS, row("bpf_kfunc_call_memb_release", (5, 19), TEST, &[RELEASE])),
];
