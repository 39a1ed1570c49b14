/* A dispatcher that calls the program of each protocol at an index of its own. */
#include "packet.h"

int tcp(struct xdp_md *ctx);
int udp(struct xdp_md *ctx);
int icmp(struct xdp_md *ctx);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 3);
	__uint(key_size, sizeof(__u32));
	__array(values, int(struct xdp_md *));
} protocols SEC(".maps") = {
	.values = { &tcp, &udp, &icmp },
};

__u64 packets[3];

SEC("xdp")
int program(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	struct iphdr *ip = data + ETH_HLEN;

	if ((void *)(ip + 1) > (void *)(long)ctx->data_end)
		return XDP_PASS;
	switch (ip->protocol) {
	case IPPROTO_TCP:
		bpf_tail_call_static(ctx, &protocols, 0);
		break;
	case IPPROTO_UDP:
		bpf_tail_call_static(ctx, &protocols, 1);
		break;
	case IPPROTO_ICMP:
		bpf_tail_call_static(ctx, &protocols, 2);
		break;
	}
	return XDP_DROP;
}

SEC("xdp")
int tcp(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);

	packets[0]++;
	return all && all->tcp.syn ? XDP_TX : XDP_PASS;
}

SEC("xdp")
int udp(struct xdp_md *ctx)
{
	packets[1]++;
	return XDP_PASS;
}

SEC("xdp")
int icmp(struct xdp_md *ctx)
{
	packets[2]++;
	return XDP_DROP;
}
