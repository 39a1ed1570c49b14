/* Counts packets by protocol, on each CPU apart. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct counter);
} protocols SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct counter *counter;
	__u32 key;

	if (!all)
		return XDP_PASS;
	key = all->ip.protocol;
	counter = bpf_map_lookup_elem(&protocols, &key);
	if (!counter)
		return XDP_ABORTED;
	counter->packets++;
	counter->bytes += length(ctx);
	return XDP_PASS;
}
