// SPDX-License-Identifier: MIT OR Apache-2.0
/* Values of each CPU: in an array, in a hash, seen from another CPU. */
#include "packet.h"

struct sizes {
	__u32 packets;
	__u16 shortest;
	__u16 longest;
	__u8 last[5]; /* with what follows: 13 bytes, rounded up to 16 for each CPU */
} __attribute__((packed));

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct sizes);
} sizes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __be16);
	__type(value, __u64);
} protocols SEC(".maps");

SEC("xdp")
int percpu(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	__u64 len = ctx->data_end - ctx->data, *bytes;
	struct sizes *size;
	__u32 key = len / 512;

	if (!eth)
		return XDP_PASS;
	size = bpf_map_lookup_elem(&sizes, &key);
	if (size) {
		if (size->packets++ == 0 || len < size->shortest)
			size->shortest = len;
		if (len > size->longest)
			size->longest = len;
		__builtin_memcpy(size->last, eth->h_source, sizeof(size->last));
	}

	bytes = bpf_map_lookup_elem(&protocols, &eth->h_proto);
	if (bytes)
		*bytes += len;
	else
		record(0, bpf_map_update_elem(&protocols, &eth->h_proto, &len, BPF_ANY));

	bytes = bpf_map_lookup_percpu_elem(&protocols, &eth->h_proto, 0);
	record(1, bytes ? *bytes : 0);
	bytes = bpf_map_lookup_percpu_elem(&protocols, &eth->h_proto, 1000000);
	record(2, bytes ? *bytes : 0);
	key = 1;
	size = bpf_map_lookup_percpu_elem(&sizes, &key, 0);
	record(3, size ? size->packets : 0);
	record(4, bpf_get_smp_processor_id());
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
