// SPDX-License-Identifier: MIT OR Apache-2.0
/* Packets through helpers, which also take those in several buffers ("xdp.frags"). */
#include "packet.h"

SEC("xdp.frags")
int bytes(struct xdp_md *ctx)
{
	__u64 len = bpf_xdp_get_buff_len(ctx);
	__u8 buffer[24] = {};
	__u64 word = 0;

	record(0, len);
	record(1, bpf_xdp_load_bytes(ctx, 12, buffer, sizeof(buffer)));
	__builtin_memcpy(&word, buffer, sizeof(word));
	record(2, word);
	record(3, bpf_xdp_load_bytes(ctx, len - 1, buffer, 1));
	record(4, buffer[0]);
	record(5, bpf_xdp_load_bytes(ctx, len, buffer, 1));
	record(6, bpf_xdp_load_bytes(ctx, 0xffff, buffer, 8));
	record(7, bpf_xdp_load_bytes(ctx, 0x10000, buffer, 8));

	word = 0x1122334455667788;
	record(8, bpf_xdp_store_bytes(ctx, 6, &word, 6));
	record(9, bpf_xdp_store_bytes(ctx, len - 3, &word, 3));
	record(10, bpf_xdp_store_bytes(ctx, len - 3, &word, 4));
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
