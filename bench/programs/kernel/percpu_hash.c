/* Counts the packets of each source, on each CPU apart. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, __be32);
	__type(value, struct counter);
} sources SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct counter first = { 1, length(ctx) }, *counter;
	struct headers *all = headers(ctx);
	__be32 source;

	if (!all)
		return XDP_PASS;
	source = all->ip.saddr;
	counter = bpf_map_lookup_elem(&sources, &source);
	if (!counter) {
		bpf_map_update_elem(&sources, &source, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	counter->packets++;
	counter->bytes += length(ctx);
	return XDP_PASS;
}
