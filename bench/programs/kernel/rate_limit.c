/* Lets each source send so many bytes a second: a token bucket by the clock. */
#include "packet.h"

struct bucket {
	__u64 time;
	__u64 tokens;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __be32);
	__type(value, struct bucket);
} any_buckets SEC(".maps");

volatile const __u64 bytes_per_us = 1 << 20;
volatile const __u64 burst = 1 << 24;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u64 now = bpf_ktime_get_ns(), tokens;
	struct bucket full = { now, burst };
	struct bucket *bucket;

	if (!all)
		return XDP_PASS;
	bucket = bpf_map_lookup_elem(&any_buckets, &all->ip.saddr);
	if (!bucket) {
		bpf_map_update_elem(&any_buckets, &all->ip.saddr, &full, BPF_NOEXIST);
		return XDP_PASS;
	}
	tokens = bucket->tokens + (now - bucket->time) * bytes_per_us / 1024;
	if (tokens > burst)
		tokens = burst;
	bucket->time = now;
	if (tokens < length(ctx)) {
		bucket->tokens = tokens;
		return XDP_DROP;
	}
	bucket->tokens = tokens - length(ctx);
	return XDP_PASS;
}
