/* Rewrites the destination and mends both checksums by the difference. */
#include "packet.h"

__be32 to[2] = { bpf_htonl(0xcb007105), bpf_htonl(0xcb007106) };

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__be32 old, new;
	__s64 sum;

	if (!all)
		return XDP_PASS;
	old = all->ip.daddr;
	new = old == to[0] ? to[1] : to[0];
	sum = bpf_csum_diff(&old, sizeof(old), &new, sizeof(new), (__u16)~all->ip.check);
	all->ip.check = fold(sum);
	sum = bpf_csum_diff(&old, sizeof(old), &new, sizeof(new), (__u16)~all->tcp.check);
	all->tcp.check = fold(sum);
	all->ip.daddr = new;
	return XDP_TX;
}
