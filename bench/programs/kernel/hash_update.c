/* Writes down the last packet of each of 1024 flows: one update of a hash table a packet. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, struct counter);
} last SEC(".maps");

__u32 sequence;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct counter now;
	struct flow flow;

	if (!all)
		return XDP_PASS;
	flow = flow_of(all);
	flow.sport = sequence++ & 1023;
	now = (struct counter){ sequence, length(ctx) };
	return bpf_map_update_elem(&last, &flow, &now, BPF_ANY) ? XDP_ABORTED : XDP_PASS;
}
