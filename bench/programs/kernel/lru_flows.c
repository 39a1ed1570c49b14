/* A flow table that forgets what was not used for long, with 256 flows in it. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct counter);
} flows SEC(".maps");

__u32 sequence;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct counter first = { 1, length(ctx) }, *counter;
	struct headers *all = headers(ctx);
	struct flow flow;

	if (!all)
		return XDP_PASS;
	flow = flow_of(all);
	flow.sport = sequence++ & 255;
	counter = bpf_map_lookup_elem(&flows, &flow);
	if (counter) {
		counter->packets++;
		counter->bytes += length(ctx);
	} else {
		bpf_map_update_elem(&flows, &flow, &first, BPF_ANY);
	}
	return XDP_PASS;
}
