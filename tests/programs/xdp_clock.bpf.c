// SPDX-License-Identifier: MIT OR Apache-2.0
/* Time and chance: a token bucket by the clock, a sample by random numbers. */
#include "packet.h"

/* Bytes in a second, and at once. */
volatile const __u64 rate = 60000;
volatile const __u64 burst = 6000;

struct bucket {
	__u64 tokens;
	__u64 filled; /* ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, __be32);
	__type(value, struct bucket);
} buckets SEC(".maps");

SEC("xdp")
int police(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	__u64 now = bpf_ktime_get_ns(), len = ctx->data_end - ctx->data;
	struct bucket first = { .tokens = burst, .filled = now }, *bucket;

	if (!ip)
		return XDP_PASS;
	bucket = bpf_map_lookup_elem(&buckets, &ip->saddr);
	if (!bucket) {
		bpf_map_update_elem(&buckets, &ip->saddr, &first, BPF_NOEXIST);
		return XDP_PASS;
	}
	bucket->tokens += (now - bucket->filled) / 1000 * rate / 1000000;
	if (bucket->tokens > burst)
		bucket->tokens = burst;
	bucket->filled = now;
	if (bucket->tokens < len)
		return XDP_DROP;
	bucket->tokens -= len;
	return XDP_PASS;
}

SEC("xdp")
int sample(struct xdp_md *ctx)
{
	__u32 random = bpf_get_prandom_u32();
	__u64 since_boot = bpf_ktime_get_boot_ns();

	record(0, random);
	record(1, since_boot % 1000000);
	tally(2, random % 10 == 0);
	if (random % 10 == 0)
		tally(3, ctx->data_end - ctx->data);
	return random & 1 ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
