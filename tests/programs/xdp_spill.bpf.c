// SPDX-License-Identifier: MIT OR Apache-2.0
/* Pointers and numbers of all kinds that are kept on the stack for a while. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

SEC("xdp")
int spill(struct xdp_md *ctx)
{
	struct xdp_md *volatile kept_ctx = ctx;
	__u8 *volatile kept_data = (void *)(long)ctx->data;
	__u8 *volatile kept_end = (void *)(long)ctx->data_end;
	volatile __u64 kept_number = ctx->data_end - ctx->data;
	volatile __u32 kept_half = kept_number;
	volatile __u8 kept_byte = kept_half;
	__u64 *volatile kept_value;
	__u8 *data, *end;
	__u64 *value;
	__u32 key = 1;

	value = bpf_map_lookup_elem(&numbers, &key);
	if (!value)
		return XDP_ABORTED;
	kept_value = value;

	/* A call: whatever was in r1 to r5 is lost. */
	key = 0;
	value = bpf_map_lookup_elem(&numbers, &key);
	if (value)
		*value += kept_number;

	data = kept_data;
	end = kept_end;
	if (data + 14 > end)
		return XDP_DROP;
	value = kept_value;
	*value += data[13] + kept_byte + kept_half;
	record(0, *value);
	record(1, kept_ctx->data_end - kept_ctx->data == kept_number);
	return XDP_PASS;
}

/* Parts of a number on the stack, and a number of parts. */
SEC("xdp")
int parts(struct xdp_md *ctx)
{
	volatile union {
		__u64 all;
		__u32 halves[2];
		__u16 quarters[4];
		__u8 bytes[8];
	} number = { .all = (ctx->data_end - ctx->data) * 0x0123456789abcdefull };

	record(0, number.halves[1]);
	record(1, number.quarters[1]);
	record(2, number.bytes[5]);
	number.bytes[2] = 0xaa;
	number.quarters[3] = number.bytes[0];
	record(3, number.all);
	number.halves[0]++;
	record(4, number.all);
	return XDP_PASS;
}

/* Indices that only the packet knows. */
SEC("xdp")
int by_index(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__u8 *bytes = take(&packet, 32), table[64] = {};
	__u64 sum = 0;

	if (!bytes)
		return XDP_PASS;
	for (int i = 0; i < 32; i++)
		table[bytes[i] % 64] += i + 1;
	for (int i = 0; i < 64; i++)
		sum = sum * 7 + table[i];
	record(0, sum);
	record(1, table[bytes[3] % 64]);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
