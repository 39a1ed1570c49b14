/* Asks each of 16 rules of an array whether it means a packet. */
#include "packet.h"

struct rule {
	__be32 address, mask;
	__u64 hits;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct rule);
} rules SEC(".maps");

struct search {
	__be32 address;
	__u32 found;
};

SEC("xdp")
int prepare(struct xdp_md *ctx)
{
	for (__u32 i = 0; i < 16; i++) {
		__u32 key = i;
		struct rule rule = { bpf_htonl(0xc6336400 | i << 2), bpf_htonl(0xfffffffc), 0 };

		bpf_map_update_elem(&rules, &key, &rule, BPF_ANY);
	}
	return XDP_PASS;
}

static long ask(void *map, const __u32 *key, struct rule *rule, struct search *search)
{
	if ((search->address & rule->mask) == rule->address) {
		rule->hits++;
		search->found += 1 + *key;
	}
	return 0;
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct search search = {};

	if (!all)
		return XDP_PASS;
	search.address = all->ip.daddr;
	bpf_for_each_map_elem(&rules, ask, &search, 0);
	return search.found;
}
