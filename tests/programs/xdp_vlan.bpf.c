// SPDX-License-Identifier: MIT OR Apache-2.0
/* VLAN tags by XDP: the head moves, and the addresses after it. */
#include "packet.h"

/* Puts a tag into each packet. */
SEC("xdp")
int push(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *old = take(&packet, sizeof(*old)), *new;
	struct vlan_header *tag;
	struct ethhdr copy;

	if (!old)
		return XDP_ABORTED;
	__builtin_memcpy(&copy, old, sizeof(copy));
	if (bpf_xdp_adjust_head(ctx, -(int)sizeof(*tag)))
		return XDP_ABORTED;

	/* The pointers of before are no longer valid. */
	packet.next = (void *)(long)ctx->data;
	packet.end = (void *)(long)ctx->data_end;
	new = take(&packet, sizeof(*new));
	tag = take(&packet, sizeof(*tag));
	if (!new || !tag)
		return XDP_ABORTED;
	tag->protocol = copy.h_proto;
	tag->tci = bpf_htons(copy.h_source[5]);
	copy.h_proto = bpf_htons(ETH_P_8021Q);
	__builtin_memcpy(new, &copy, sizeof(copy));
	return XDP_TX;
}

/* Takes the outer tag away. */
SEC("xdp")
int pop(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *old = take(&packet, sizeof(*old)), *new;
	struct vlan_header *tag;
	struct ethhdr copy;

	if (!old)
		return XDP_ABORTED;
	if (old->h_proto != bpf_htons(ETH_P_8021Q) && old->h_proto != bpf_htons(ETH_P_8021AD))
		return XDP_PASS;
	tag = take(&packet, sizeof(*tag));
	if (!tag)
		return XDP_DROP;
	__builtin_memcpy(&copy, old, sizeof(copy));
	copy.h_proto = tag->protocol;
	if (bpf_xdp_adjust_head(ctx, sizeof(*tag)))
		return XDP_ABORTED;

	new = (void *)(long)ctx->data;
	if ((void *)(new + 1) > (void *)(long)ctx->data_end)
		return XDP_ABORTED;
	__builtin_memcpy(new, &copy, sizeof(copy));
	return XDP_TX;
}

/* Adds one to the tag's id and keeps its priority; swaps the addresses. */
SEC("xdp")
int rewrite(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	struct vlan_header *tag = take(&packet, sizeof(*tag));
	__u8 address[ETH_ALEN];
	__u16 tci;

	if (!eth || !tag || eth->h_proto != bpf_htons(ETH_P_8021Q))
		return XDP_PASS;
	tci = bpf_ntohs(tag->tci);
	tag->tci = bpf_htons((tci & 0xf000) | ((tci + 1) & 0xfff));
	__builtin_memcpy(address, eth->h_source, ETH_ALEN);
	__builtin_memcpy(eth->h_source, eth->h_dest, ETH_ALEN);
	__builtin_memcpy(eth->h_dest, address, ETH_ALEN);
	return XDP_TX;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
