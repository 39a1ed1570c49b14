// SPDX-License-Identifier: MIT OR Apache-2.0
/* Memory: unaligned words in packets and maps, moves within the packet, big values. */
#include "packet.h"

struct block {
	__u8 bytes[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct block);
} blocks SEC(".maps");

SEC("xdp")
int unaligned(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__u32 key = 0, at;
	__u8 *bytes = take(&packet, 40);
	struct block *block = bpf_map_lookup_elem(&blocks, &key);

	if (!bytes || !block)
		return XDP_PASS;
	at = bytes[39];
	if (at > sizeof(*block) - 8)
		at = 0;
	*(__u64 *)(block->bytes + at) += *(__u64 *)(bytes + 13);
	*(__u32 *)(block->bytes + 33) ^= *(__u32 *)(bytes + 27);
	*(__u16 *)(block->bytes + 77) = *(__u16 *)(bytes + 1);
	record(0, *(__u64 *)(block->bytes + 31));
	return XDP_PASS;
}

/* A whole block from one element to the other, with the packet's start in it. */
SEC("xdp")
int copy(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	void *bytes = take(&packet, 60);
	__u32 from = 0, to = 1;
	struct block *source = bpf_map_lookup_elem(&blocks, &from);
	struct block *target = bpf_map_lookup_elem(&blocks, &to);

	if (!bytes || !source || !target)
		return XDP_PASS;
	__builtin_memcpy(target->bytes + 60, source->bytes, 196);
	__builtin_memcpy(target->bytes, bytes, 60);
	record(0, bpf_map_update_elem(&blocks, &from, target, BPF_ANY));
	record(1, bpf_map_update_elem(&blocks, &from, target, BPF_NOEXIST));
	record(2, bpf_map_delete_elem(&blocks, &from));
	return XDP_PASS;
}

/* Turns the payload round, in place. */
SEC("xdp")
int reverse(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__u8 *bytes;

	if (!take(&packet, 14))
		return XDP_ABORTED;
	bytes = take(&packet, 20);
	if (!bytes)
		return XDP_PASS;
	for (int i = 0; i < 10; i++) {
		__u8 byte = bytes[i];

		bytes[i] = bytes[19 - i];
		bytes[19 - i] = byte;
	}
	*(__u32 *)(bytes + 3) = 0;
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
