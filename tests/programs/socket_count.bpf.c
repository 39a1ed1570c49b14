// SPDX-License-Identifier: MIT OR Apache-2.0
/* A socket filter with maps: counts ports, samples packets into a ring buffer. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __be16);
	__type(value, __u64);
} ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8192);
} samples SEC(".maps");

struct sample {
	__u64 time;
	__u32 len;
	__u8 start[20];
};

SEC("socket")
int count(struct __sk_buff *skb)
{
	__u32 len = skb->len;
	struct sample *sample;
	__u64 one = 1, *known;
	__u8 first, protocol;
	__be16 port;

	if (bpf_skb_load_bytes(skb, 0, &first, 1) || first >> 4 != 4)
		return 0;
	if (bpf_skb_load_bytes(skb, 9, &protocol, 1))
		return 0;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	if (bpf_skb_load_bytes(skb, (first & 0xf) * 4 + 2, &port, sizeof(port)))
		return 0;
	known = bpf_map_lookup_elem(&ports, &port);
	if (known)
		__sync_fetch_and_add(known, 1);
	else
		bpf_map_update_elem(&ports, &port, &one, BPF_NOEXIST);

	if (bpf_get_prandom_u32() % 16)
		return len;
	sample = bpf_ringbuf_reserve(&samples, sizeof(*sample), 0);
	if (!sample)
		return len;
	sample->time = bpf_ktime_get_ns();
	sample->len = len;
	if (bpf_skb_load_bytes(skb, 0, sample->start, sizeof(sample->start)))
		bpf_ringbuf_discard(sample, 0);
	else
		bpf_ringbuf_submit(sample, 0);
	return len;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
