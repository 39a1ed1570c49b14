/* Looks up the route of a packet among 1024, by the longest prefix. */
#include "packet.h"

struct prefix {
	__u32 bits;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 2048);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

static long add(__u32 index, void *unused)
{
	struct prefix prefix = { 24, bpf_htonl(198 << 24 | 51 << 16 | index << 8) };

	if (index >= 256)
		prefix = (struct prefix){ 16 + index % 13, bpf_htonl(index * 0x9e3779b1) };
	return bpf_map_update_elem(&routes, &prefix, &index, BPF_ANY) != 0;
}

SEC("xdp")
int prepare(struct xdp_md *ctx)
{
	return bpf_loop(1024, add, NULL, 0);
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct prefix prefix = { 32, 0 };
	__u32 *hop;

	if (!all)
		return XDP_PASS;
	prefix.address = all->ip.daddr;
	hop = bpf_map_lookup_elem(&routes, &prefix);
	return hop ? (int)*hop : XDP_DROP;
}
