/* A dispatcher that calls the program whose index is a packet's protocol, which calls
 * another one in turn. */
#include "packet.h"

int tcp(struct xdp_md *ctx);
int udp(struct xdp_md *ctx);
int icmp(struct xdp_md *ctx);
int count(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 256);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} protocols SEC(".maps") = {
	.values = {
		[IPPROTO_ICMP] = &icmp,
		[IPPROTO_TCP] = &tcp,
		[IPPROTO_UDP] = &udp,
		[255] = &count,
	},
};

__u64 packets, next = 255;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	bpf_tail_call(ctx, &protocols, ip->protocol);
	return XDP_DROP;
}

SEC("xdp")
int tcp(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);

	if (all && all->tcp.syn)
		return XDP_TX;
	bpf_tail_call(ctx, &protocols, next);
	return XDP_DROP;
}

SEC("xdp")
int udp(struct xdp_md *ctx)
{
	return XDP_PASS;
}

SEC("xdp")
int icmp(struct xdp_md *ctx)
{
	return XDP_DROP;
}

SEC("xdp")
int count(struct xdp_md *ctx)
{
	packets++;
	return XDP_PASS;
}
