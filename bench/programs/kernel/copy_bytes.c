/* Reads headers by copying them, and writes one back, as programs for fragments do. */
#include "packet.h"

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct ethhdr eth;
	struct iphdr ip;
	__u32 sum;

	if (bpf_xdp_load_bytes(ctx, 0, &eth, sizeof(eth)))
		return XDP_DROP;
	if (eth.h_proto != bpf_htons(ETH_P_IP))
		return XDP_PASS;
	if (bpf_xdp_load_bytes(ctx, sizeof(eth), &ip, sizeof(ip)))
		return XDP_DROP;
	ip.ttl ^= 1;
	sum = (__u16)~ip.check + (ip.ttl & 1 ? 1 : 0xfffe);
	ip.check = fold(sum);
	if (bpf_xdp_store_bytes(ctx, sizeof(eth), &ip, sizeof(ip)))
		return XDP_DROP;
	return XDP_TX;
}
