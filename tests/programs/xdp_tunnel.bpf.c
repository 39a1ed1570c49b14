// SPDX-License-Identifier: MIT OR Apache-2.0
/* IPv4 in IPv4: a header in front of the packet, and away again. */
#include "packet.h"

SEC("xdp")
int encapsulate(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *inner = take_ipv4(&packet), *outer;
	struct ethhdr *eth, copy;
	__u64 sum = 0;
	__u16 len;
	__u8 tos;

	if (!inner)
		return XDP_PASS;
	len = bpf_ntohs(inner->tot_len) + sizeof(*outer);
	tos = inner->tos;
	eth = (void *)(long)ctx->data;
	__builtin_memcpy(&copy, eth, sizeof(copy));
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*outer)))
		return XDP_ABORTED;

	packet.next = (void *)(long)ctx->data;
	packet.end = (void *)(long)ctx->data_end;
	eth = take(&packet, sizeof(*eth));
	outer = take(&packet, sizeof(*outer));
	if (!eth || !outer)
		return XDP_ABORTED;
	__builtin_memcpy(eth, &copy, sizeof(copy));
	__builtin_memset(outer, 0, sizeof(*outer));
	outer->version = 4;
	outer->ihl = sizeof(*outer) / 4;
	outer->tos = tos;
	outer->tot_len = bpf_htons(len);
	outer->ttl = 64;
	outer->protocol = IPPROTO_IPIP;
	outer->saddr = bpf_htonl(0xc6336401);
	outer->daddr = bpf_htonl(0xcb007101);
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)outer)[i];
	outer->check = ~fold(sum);
	return XDP_TX;
}

SEC("xdp")
int decapsulate(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *outer = take_ipv4(&packet);
	struct ethhdr *eth, copy;
	__u32 len;

	if (!outer || outer->protocol != IPPROTO_IPIP)
		return XDP_PASS;
	len = outer->ihl * 4;
	if ((void *)outer + len + 1 > packet.end)
		return XDP_DROP;
	eth = (void *)(long)ctx->data;
	__builtin_memcpy(&copy, eth, sizeof(copy));
	if (bpf_xdp_adjust_head(ctx, len))
		return XDP_ABORTED;
	eth = (void *)(long)ctx->data;
	if ((void *)(eth + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(eth, &copy, sizeof(copy));
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
