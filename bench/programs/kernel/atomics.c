/* Counters that all CPUs share: additions, a maximum by comparison, and an exchange. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64[4]);
} totals SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	__u64 len = length(ctx), longest, number;
	__u32 key = 0;
	__u64 *total = bpf_map_lookup_elem(&totals, &key);

	if (!total)
		return XDP_ABORTED;
	number = __sync_fetch_and_add(&total[0], 1);
	__sync_fetch_and_add(&total[1], len);
	longest = total[2];
	if (longest < len + (number & 15))
		__sync_val_compare_and_swap(&total[2], longest, len + (number & 15));
	__sync_lock_test_and_set(&total[3], number);
	return XDP_PASS;
}
