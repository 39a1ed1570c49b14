// SPDX-License-Identifier: MIT OR Apache-2.0
/* Hash maps: flags, errors, a full one, keys with every byte used. */
#include "packet.h"

struct flow {
	__be32 from, to;
	__u16 len;
	__u8 protocol;
	__u8 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct flow);
	__type(value, __u64);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} small SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u8[6]);
	__type(value, __u8[3]);
} hosts SEC(".maps");

SEC("xdp")
int count_flows(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	struct flow flow = {};
	__u64 one = 1, *count;

	if (!ip)
		return XDP_PASS;
	flow.from = ip->saddr;
	flow.to = ip->daddr;
	flow.len = bpf_ntohs(ip->tot_len);
	flow.protocol = ip->protocol;
	count = bpf_map_lookup_elem(&flows, &flow);
	if (count)
		*count += 1;
	else
		record(0, bpf_map_update_elem(&flows, &flow, &one, BPF_ANY));
	return XDP_PASS;
}

/* Each kind of answer; the map is soon full. */
SEC("xdp")
int answers(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data, *value;
	__u32 key = len % 16, other = 100;

	record(0, bpf_map_update_elem(&small, &key, &len, BPF_EXIST));
	record(1, bpf_map_update_elem(&small, &key, &len, BPF_NOEXIST));
	record(2, bpf_map_update_elem(&small, &key, &len, BPF_ANY));
	record(3, bpf_map_update_elem(&small, &key, &len, 7));
	record(4, bpf_map_delete_elem(&small, &other));
	if (len % 3 == 0)
		record(5, bpf_map_delete_elem(&small, &key));
	value = bpf_map_lookup_elem(&small, &key);
	record(6, value ? *value : ~0ull);
	return XDP_PASS;
}

/* A value that is held while its element is deleted keeps its bytes. */
SEC("xdp")
int hosts_by_address(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	__u8 zero[3] = {}, *value;

	if (!eth)
		return XDP_PASS;
	/* A packet is a key as good as the stack. */
	value = bpf_map_lookup_elem(&hosts, eth->h_source);
	if (!value) {
		record(0, bpf_map_update_elem(&hosts, eth->h_source, zero, BPF_NOEXIST));
		return XDP_PASS;
	}
	value[0]++;
	value[1] ^= eth->h_dest[5];
	if (value[0] == 200) {
		value[2]++;
		record(1, bpf_map_delete_elem(&hosts, eth->h_source));
		record(2, value[2]);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
