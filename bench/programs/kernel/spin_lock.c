/* Counts the packets of a source and their bytes together, under a lock. */
#include "packet.h"

struct locked {
	struct bpf_spin_lock lock;
	__u32 longest;
	struct counter counter;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, struct locked);
} sources SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u64 len = length(ctx);
	struct locked new = {}, *locked;

	if (!all)
		return XDP_PASS;
	locked = bpf_map_lookup_elem(&sources, &all->ip.saddr);
	if (!locked) {
		bpf_map_update_elem(&sources, &all->ip.saddr, &new, BPF_NOEXIST);
		return XDP_PASS;
	}
	bpf_spin_lock(&locked->lock);
	locked->counter.packets++;
	locked->counter.bytes += len;
	if (locked->longest < len)
		locked->longest = len;
	bpf_spin_unlock(&locked->lock);
	return XDP_PASS;
}
