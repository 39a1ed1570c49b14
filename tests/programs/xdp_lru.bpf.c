// SPDX-License-Identifier: MIT OR Apache-2.0
/* LRU maps, common and per CPU, less than half full. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, __u64);
} recent SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u16);
	__type(value, __u32);
} lengths SEC(".maps");

SEC("xdp")
int lru(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	__u64 first = 1, *packets;
	__u16 len = ctx->data_end - ctx->data;
	__u32 one = 1, *count;

	len &= 0x1ff;
	count = bpf_map_lookup_elem(&lengths, &len);
	if (count)
		*count += one;
	else
		record(0, bpf_map_update_elem(&lengths, &len, &one, BPF_NOEXIST));
	if (!ip)
		return XDP_PASS;

	packets = bpf_map_lookup_elem(&recent, &ip->saddr);
	if (!packets)
		record(1, bpf_map_update_elem(&recent, &ip->saddr, &first, BPF_ANY));
	else if (++*packets == 5)
		record(2, bpf_map_delete_elem(&recent, &ip->saddr));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
