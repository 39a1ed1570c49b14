// SPDX-License-Identifier: MIT OR Apache-2.0
/* Longest prefix: a routing table that the first packet fills and others change. */
#include "packet.h"

struct prefix {
	__u32 len;
	__be32 address;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix);
	__type(value, __u32);
} routes SEC(".maps");

struct prefix6 {
	__u32 len;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct prefix6);
	__type(value, __u32);
} routes6 SEC(".maps");

const struct {
	__u32 len;
	__u32 address;
} table[] = {
	{ 0, 0 },                 /* everything */
	{ 8, 0xc6000000 },        /* 198.0.0.0/8 */
	{ 24, 0xc6336400 },       /* 198.51.100.0/24 */
	{ 28, 0xc6336450 },       /* 198.51.100.80/28 */
	{ 32, 0xc6336450 },       /* 198.51.100.80 */
	{ 24, 0xcb007100 },       /* 203.0.113.0/24 */
	{ 25, 0xcb007180 },       /* 203.0.113.128/25 */
	{ 31, 0xc0000214 },       /* 192.0.2.20/31 */
};

bool filled;

SEC("xdp")
int route(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	struct prefix key;
	__u32 hop, *found;

	if (!filled) {
		filled = true;
		for (__u32 i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
			key.len = table[i].len;
			key.address = bpf_htonl(table[i].address);
			hop = i;
			record(i, bpf_map_update_elem(&routes, &key, &hop, BPF_ANY));
		}
	}
	if (!ip)
		return XDP_PASS;

	key.len = 32;
	key.address = ip->daddr;
	found = bpf_map_lookup_elem(&routes, &key);
	tally(8 + (found ? *found % 8 : 8), 1);

	/* A look-up may ask with a shorter prefix. */
	key.len = 20;
	found = bpf_map_lookup_elem(&routes, &key);
	record(17, found ? *found : ~0u);

	/* Routes come and go. */
	key.len = ip->ttl % 33;
	key.address = ip->saddr;
	if (ip->protocol == IPPROTO_ICMP)
		record(18, bpf_map_update_elem(&routes, &key, &key.len, BPF_NOEXIST));
	else if (ip->protocol == IPPROTO_UDP)
		record(19, bpf_map_delete_elem(&routes, &key));
	key.len = 33;
	record(20, bpf_map_update_elem(&routes, &key, &key.len, BPF_ANY));
	return XDP_PASS;
}

SEC("xdp")
int route6(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	struct ipv6hdr *ip = take(&packet, sizeof(*ip));
	struct prefix6 key;
	__u32 len, *found;

	if (!eth || !ip || eth->h_proto != bpf_htons(ETH_P_IPV6))
		return XDP_PASS;
	len = (__u32)ip->nexthdr * 2 + 7;
	if (len > 128)
		len = 128;
	key.len = len;
	__builtin_memcpy(key.address, &ip->daddr, sizeof(key.address));
	record(0, bpf_map_update_elem(&routes6, &key, &len, BPF_ANY));
	key.len = 128;
	__builtin_memcpy(key.address, &ip->saddr, sizeof(key.address));
	found = bpf_map_lookup_elem(&routes6, &key);
	record(1, found ? *found : 0);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
