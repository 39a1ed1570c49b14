/* Puts an outer IPv4 header before a packet and takes it off again. */
#include "packet.h"

struct outer {
	struct ethhdr eth;
	struct iphdr ip;
};

SEC("xdp")
int program(struct xdp_md *ctx)
{
	int size = sizeof(struct iphdr);
	struct ethhdr eth, *inner = (void *)(long)ctx->data;
	struct outer *outer;

	if ((void *)(inner + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	eth = *inner;
	if (bpf_xdp_adjust_head(ctx, -size))
		return XDP_ABORTED;
	outer = (void *)(long)ctx->data;
	if ((void *)(outer + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	outer->eth = eth;
	outer->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.ttl = 64,
		.protocol = IPPROTO_IPIP,
		.tot_len = bpf_htons(length(ctx) - ETH_HLEN),
		.saddr = bpf_htonl(0xc0000201),
		.daddr = bpf_htonl(0xc6336401),
	};
	/* The other end of the tunnel. */
	eth = outer->eth;
	if (bpf_xdp_adjust_head(ctx, size))
		return XDP_ABORTED;
	inner = (void *)(long)ctx->data;
	if ((void *)(inner + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*inner = eth;
	return XDP_TX;
}
