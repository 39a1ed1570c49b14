// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A ring buffer record that stays reserved while a map is walked: a budget that ends the
 * walk must not leave the ring stuck.
 */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} numbers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

static long sum_up(void *map, __u32 *key, __u64 *value, __u64 *sum)
{
	(void)map;
	*sum += *key + *value;
	return 0;
}

SEC("xdp")
int held(struct xdp_md *ctx)
{
	__u64 sum = 0, *reserved = bpf_ringbuf_reserve(&ring, sizeof(*reserved), 0);

	(void)ctx;
	if (!reserved)
		return XDP_DROP;
	bpf_for_each_map_elem(&numbers, sum_up, &sum, 0);
	*reserved = sum;
	bpf_ringbuf_submit(reserved, 0);
	return XDP_PASS;
}

/* The same without a walk. */
SEC("xdp")
int brief(struct xdp_md *ctx)
{
	__u64 number = 7;

	(void)ctx;
	return bpf_ringbuf_output(&ring, &number, sizeof(number), 0) ? XDP_DROP : XDP_PASS;
}

char _license[] SEC("license") = "GPL";
