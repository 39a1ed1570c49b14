// SPDX-License-Identifier: MIT OR Apache-2.0
/* Maps in maps: an array of arrays and a hash of hashes, filled in the source. */
#include "packet.h"

struct counters {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} even SEC(".maps"), odd SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 3);
	__type(key, __u32);
	__array(values, struct counters);
} by_parity SEC(".maps") = {
	.values = { [0] = &even, [2] = &odd },
};

struct addresses {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __be32);
	__type(value, __u64);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct addresses);
} by_protocol SEC(".maps") = {
	.values = { [IPPROTO_UDP] = &addresses },
};

SEC("xdp")
int map_in_map(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	__u32 len = ctx->data_end - ctx->data;
	__u32 key = len % 4; /* 1 is empty, 3 beyond the end */
	__u64 one = 1, *count;
	void *inner;

	inner = bpf_map_lookup_elem(&by_parity, &key);
	record(0, inner != NULL);
	if (inner) {
		key = len / 4 % 5;
		count = bpf_map_lookup_elem(inner, &key);
		if (count)
			*count += len;
	}
	if (!ip)
		return XDP_PASS;

	key = ip->protocol;
	inner = bpf_map_lookup_elem(&by_protocol, &key);
	if (!inner)
		return XDP_DROP;
	count = bpf_map_lookup_elem(inner, &ip->saddr);
	if (count)
		*count += 1;
	else
		record(1, bpf_map_update_elem(inner, &ip->saddr, &one, BPF_NOEXIST));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
