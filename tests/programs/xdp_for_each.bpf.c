// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * bpf_for_each_map_elem() over each type of map that it takes. The order of a hash is
 * its own affair, so only sums are kept of that.
 */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 10);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __u32);
	__type(value, __u64);
} lengths SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} own SEC(".maps");

struct state {
	__u64 sum;
	__u64 limit;
};

static long until_limit(void *map, __u32 *key, __u64 *value, struct state *state)
{
	(void)map;
	*value += *key;
	state->sum += *value;
	return state->sum > state->limit;
}

static long sum_up(void *map, __u32 *key, __u64 *value, struct state *state)
{
	(void)map;
	state->sum += *key * 3 + *value;
	return 0;
}

/* An element may delete itself. */
static long forget_odd(void *map, __u32 *key, __u64 *value, struct state *state)
{
	if (*value % 2) {
		state->sum++;
		bpf_map_delete_elem(map, key);
	}
	return 0;
}

SEC("xdp")
int for_each(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data, *mine;
	struct state state = { .limit = len };
	__u32 key = len % 300;

	record(0, bpf_for_each_map_elem(&numbers, until_limit, &state, 0));
	record(1, state.sum);

	record(2, bpf_map_update_elem(&lengths, &key, &len, BPF_ANY));
	state.sum = 0;
	record(3, bpf_for_each_map_elem(&lengths, sum_up, &state, 0));
	record(4, state.sum);
	if (len % 64 == 0) {
		state.sum = 0;
		record(5, bpf_for_each_map_elem(&lengths, forget_odd, &state, 0));
		record(6, state.sum);
	}

	key = len % 3;
	mine = bpf_map_lookup_elem(&own, &key);
	if (mine)
		*mine += len;
	state.sum = 0;
	record(7, bpf_for_each_map_elem(&own, sum_up, &state, 0));
	record(8, state.sum);
	record(9, bpf_for_each_map_elem(&own, sum_up, &state, 1));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
