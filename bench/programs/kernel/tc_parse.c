/* Traffic control: reads headers out of a socket buffer and sets its mark. */
#include "packet.h"

SEC("tc")
int program(struct __sk_buff *skb)
{
	struct iphdr ip;
	struct tcphdr tcp;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, ETH_HLEN, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, ETH_HLEN + ip.ihl * 4, &tcp, sizeof(tcp)))
		return TC_ACT_SHOT;
	skb->mark = bpf_ntohs(tcp.dest) << 8 | ip.tos;
	return TC_ACT_OK;
}
