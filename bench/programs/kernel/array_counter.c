/* Counts packets in an array, at a constant index. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct counter);
} counters SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	__u32 key = 2;
	struct counter *counter = bpf_map_lookup_elem(&counters, &key);

	if (!counter)
		return XDP_ABORTED;
	counter->packets++;
	counter->bytes += length(ctx);
	return XDP_PASS;
}
