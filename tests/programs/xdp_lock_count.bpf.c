// SPDX-License-Identifier: MIT OR Apache-2.0
/* Counts packets and their bytes under a lock: what several CPUs do must add up. */
#include "packet.h"

struct counter {
	__u32 longest;
	struct bpf_spin_lock lock;
	__u64 packets, bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counter);
} total SEC(".maps");

SEC("xdp")
int lock_count(struct xdp_md *ctx)
{
	__u32 zero = 0, len = ctx->data_end - ctx->data;
	struct counter *counter = bpf_map_lookup_elem(&total, &zero);

	if (!counter)
		return XDP_ABORTED;
	bpf_spin_lock(&counter->lock);
	counter->packets++;
	counter->bytes += len;
	if (counter->longest < len)
		counter->longest = len;
	bpf_spin_unlock(&counter->lock);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
