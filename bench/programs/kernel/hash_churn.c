/* A connection is made and gone: an insertion into and a deletion from a hash table. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, __u64);
} connections SEC(".maps");

__u32 sequence;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u64 state = length(ctx);
	struct flow flow;

	if (!all)
		return XDP_PASS;
	flow = flow_of(all);
	flow.sport = sequence++ & 1023;
	if (bpf_map_update_elem(&connections, &flow, &state, BPF_NOEXIST))
		return XDP_ABORTED;
	return bpf_map_delete_elem(&connections, &flow) ? XDP_DROP : XDP_PASS;
}
