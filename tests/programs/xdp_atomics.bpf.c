// SPDX-License-Identifier: MIT OR Apache-2.0
/* Atomic operations of both widths, with and without the old value, anywhere. */
#include "packet.h"

struct cells {
	__u64 sum, bits, mask, flips, swapped, compared;
	__u32 sum32, bits32, mask32, flips32, swapped32, compared32;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct cells);
} cells SEC(".maps");

__u64 total;
__u32 total32 = 0xfffffff0;

SEC("xdp")
int atomics(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data, seed = len * 0x9e3779b97f4a7c15;
	struct cells first = { .mask = ~0ull, .mask32 = ~0u }, *cell;
	__u32 key = len % 4, seed32 = seed >> 32;
	__u64 on_stack = seed;

	cell = bpf_map_lookup_elem(&cells, &key);
	if (!cell) {
		bpf_map_update_elem(&cells, &key, &first, BPF_NOEXIST);
		return XDP_PASS;
	}

	/* The old value is not asked for. */
	__sync_fetch_and_add(&total, seed);
	__sync_fetch_and_add(&total32, seed32);
	__sync_fetch_and_or(&cell->bits, seed & 0xff00ff);
	__sync_fetch_and_and(&cell->mask32, seed32 | 0x0f0f0f0f);
	__sync_fetch_and_xor(&cell->flips, seed);

	record(0, __sync_fetch_and_add(&cell->sum, len));
	record(1, __sync_fetch_and_sub(&cell->sum, 7));
	record(2, __sync_fetch_and_or(&cell->bits, seed & 0xf00));
	record(3, __sync_fetch_and_and(&cell->mask, seed | 0xff));
	record(4, __sync_fetch_and_xor(&cell->flips, 0x5555));
	record(5, __sync_lock_test_and_set(&cell->swapped, seed));
	record(6, __sync_val_compare_and_swap(&cell->compared, cell->compared & ~1ull, len));
	record(7, __sync_val_compare_and_swap(&cell->compared, len, len + 1));

	record(8, __sync_fetch_and_add(&cell->sum32, seed32));
	record(9, __sync_fetch_and_sub(&cell->sum32, 7));
	record(10, __sync_fetch_and_or(&cell->bits32, seed32 & 0xf00));
	record(11, __sync_fetch_and_and(&cell->mask32, seed32 | 0xff));
	record(12, __sync_fetch_and_xor(&cell->flips32, 0x5555));
	record(13, __sync_lock_test_and_set(&cell->swapped32, seed32));
	record(14, __sync_val_compare_and_swap(&cell->compared32, cell->compared32 & ~1u, len));
	record(15, __sync_val_compare_and_swap(&cell->compared32, (__u32)len, (__u32)len + 1));

	record(16, __sync_fetch_and_add(&on_stack, 1));
	record(17, __sync_lock_test_and_set(&on_stack, len));
	record(18, on_stack);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
