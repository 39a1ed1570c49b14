/* Counts the packets and bytes of each flow in a hash table. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct flow);
	__type(value, struct counter);
} flows SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct counter first = { 1, length(ctx) }, *counter;
	struct headers *all = headers(ctx);
	struct flow flow;

	if (!all)
		return XDP_PASS;
	flow = flow_of(all);
	counter = bpf_map_lookup_elem(&flows, &flow);
	if (!counter) {
		bpf_map_update_elem(&flows, &flow, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	counter->packets++;
	counter->bytes += length(ctx);
	return XDP_PASS;
}
