// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * mistakes: programs that Linux refuses, each for a usual mistake, and one mended. What
 * `skep verify` says of them is in docs/verify.md.
 */

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64[16]);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

SEC("xdp")
int null_check(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	__u64 *values = bpf_map_lookup_elem(&counts, &key);

	values[0] += 1;
	return XDP_PASS;
}

SEC("xdp")
int array_bound(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	__u64 *values = bpf_map_lookup_elem(&counts, &key);
	__u32 queue = ctx->rx_queue_index;

	if (!values)
		return XDP_PASS;
	if (queue > 16)
		return XDP_PASS;
	values[queue] += 1;
	return XDP_PASS;
}

SEC("xdp")
int packet_end(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + sizeof(*eth);

	if (data + sizeof(*eth) > end)
		return XDP_PASS;
	return ip->protocol == 17 ? XDP_DROP : XDP_PASS;
}

SEC("xdp")
int lost_record(struct xdp_md *ctx)
{
	__u32 *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

	if (!record)
		return XDP_PASS;
	*record = ctx->rx_queue_index;
	if (ctx->rx_queue_index == 7)
		return XDP_DROP;
	bpf_ringbuf_submit(record, 0);
	return XDP_PASS;
}

SEC("xdp")
int mended(struct xdp_md *ctx)
{
	__u32 key = ctx->ingress_ifindex;
	__u64 *values = bpf_map_lookup_elem(&counts, &key);
	__u32 queue = ctx->rx_queue_index;

	if (!values || queue >= 16)
		return XDP_PASS;
	values[queue] += 1;
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
