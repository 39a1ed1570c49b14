// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Tail calls: by a table that is filled in the source, to nowhere, from inside of a
 * subprogram, and without end, which ends after 33.
 */
#include "packet.h"

int on_ipv4(struct xdp_md *ctx);
int on_ipv6(struct xdp_md *ctx);
int again(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 8);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct xdp_md *));
} table SEC(".maps") = {
	.values = {
		[1] = &on_ipv4,
		[2] = &on_ipv6,
		[5] = &again,
	},
};

SEC("xdp")
int dispatch(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	__u32 next;

	if (!eth)
		return XDP_ABORTED;
	switch (bpf_ntohs(eth->h_proto)) {
	case ETH_P_IP:
		next = 1;
		break;
	case ETH_P_IPV6:
		next = 2;
		break;
	case ETH_P_ARP:
		next = 3; /* an empty slot */
		break;
	default:
		next = 1000; /* beyond the table */
	}
	tally(0, 1);
	bpf_tail_call(ctx, &table, next);
	/* Only where there was nothing to call. */
	tally(1, 1);
	return XDP_DROP;
}

SEC("xdp")
int on_ipv4(struct xdp_md *ctx)
{
	tally(2, ctx->data_end - ctx->data);
	bpf_tail_call_static(ctx, &table, 2);
	return XDP_ABORTED;
}

SEC("xdp")
int on_ipv6(struct xdp_md *ctx)
{
	tally(3, ctx->data_end - ctx->data);
	return XDP_TX;
}

/* Calls itself until the kernel has had enough. */
SEC("xdp")
int again(struct xdp_md *ctx)
{
	tally(4, 1);
	bpf_tail_call_static(ctx, &table, 5);
	return XDP_PASS;
}

/* If the call succeeds, what the other program returns is what this one returns. */
static __noinline int detour(struct xdp_md *ctx, __u32 index)
{
	tally(5, 1);
	bpf_tail_call(ctx, &table, index);
	return XDP_DROP;
}

SEC("xdp")
int from_subprogram(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	int verdict = detour(ctx, len % 8);

	record(6, verdict);
	record(7, len);
	return verdict == XDP_TX ? XDP_PASS : XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
