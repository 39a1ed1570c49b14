// SPDX-License-Identifier: MIT OR Apache-2.0
/* bpf_loop(): with a context, stopped early, nested, of length 0, too long. */
#include "packet.h"

struct state {
	__u64 sum;
	__u32 limit;
	__u32 inner;
};

static long add(__u64 index, struct state *state)
{
	state->sum = state->sum * 31 + index;
	return 0;
}

static long stop_at_limit(__u64 index, struct state *state)
{
	state->sum += index;
	return index >= state->limit;
}

static long nested(__u64 index, struct state *state)
{
	state->inner += bpf_loop(index, add, state, 0);
	return 0;
}

SEC("xdp")
int loops(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	struct state state = { .limit = len % 50 };

	record(0, bpf_loop(len, add, &state, 0));
	record(1, state.sum);
	record(2, bpf_loop(40, stop_at_limit, &state, 0));
	record(3, state.sum);
	record(4, bpf_loop(len % 13, nested, &state, 0));
	record(5, state.sum);
	record(6, state.inner);
	record(7, bpf_loop(0, add, &state, 0));
	record(8, bpf_loop((1 << 23) + 1, add, &state, 0));
	record(9, bpf_loop(1, add, &state, 1));
	record(10, state.sum);
	return XDP_PASS;
}

/* Loops of the program's own, bounded for the verifier by their counters. */
SEC("xdp")
int own_loops(struct xdp_md *ctx)
{
	__u8 *byte = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 ones = 0, runs = 0;
	__u8 previous = 0;

	for (int i = 0; i < 200 && byte + 1 <= end; i++, byte++) {
		for (int bit = 0; bit < 8; bit++)
			ones += *byte >> bit & 1;
		runs += *byte != previous;
		previous = *byte;
	}
	record(0, ones);
	record(1, runs);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
