/* A small firewall: block lists by prefix and by address, allowed ports as bits, and a
 * counter of each verdict on each CPU. */
#include "packet.h"

struct prefix {
	__u32 bits;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, struct counter);
} verdicts SEC(".maps");

SEC("xdp")
int prepare(struct xdp_md *ctx)
{
	__u32 key = 443 / 64;
	__u64 bits = 1ull << 443 % 64;

	for (__u32 i = 0; i < 64; i++) {
		struct prefix prefix = { 16, bpf_htonl(10u << 24 | i << 16) };
		__be32 address = bpf_htonl(0xcb007100 | i);
		__u32 number = i;
		__u64 none = 0;

		bpf_map_update_elem(&networks, &prefix, &number, BPF_ANY);
		bpf_map_update_elem(&addresses, &address, &none, BPF_ANY);
	}
	return bpf_map_update_elem(&ports, &key, &bits, BPF_ANY);
}

static __always_inline int judge(const struct headers *all)
{
	struct prefix prefix = { 32, all->ip.saddr };
	__u32 port = bpf_ntohs(all->tcp.dest), key = port / 64;
	__u64 *hits = bpf_map_lookup_elem(&addresses, &all->ip.saddr), *bits;

	if (hits) {
		*hits += 1;
		return XDP_DROP;
	}
	if (bpf_map_lookup_elem(&networks, &prefix))
		return XDP_DROP;
	bits = bpf_map_lookup_elem(&ports, &key);
	return bits && *bits >> port % 64 & 1 ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u32 verdict = all ? judge(all) : XDP_PASS;
	struct counter *counter = bpf_map_lookup_elem(&verdicts, &verdict);

	if (counter) {
		counter->packets++;
		counter->bytes += length(ctx);
	}
	return verdict;
}
