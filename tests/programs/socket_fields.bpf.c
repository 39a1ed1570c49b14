// SPDX-License-Identifier: MIT OR Apache-2.0
/* A socket filter's context, and its answer: how many bytes of the packet to keep. */
#include "packet.h"

SEC("socket")
int fields(struct __sk_buff *skb)
{
	record(0, skb->len);
	record(1, skb->pkt_type);
	record(2, skb->mark);
	record(3, skb->queue_mapping);
	record(4, skb->protocol);
	record(5, skb->vlan_present);
	record(6, skb->vlan_tci);
	record(7, skb->vlan_proto);
	record(8, skb->priority);
	record(9, skb->ingress_ifindex);
	record(10, skb->ifindex);
	record(11, skb->tc_index);
	record(12, skb->hash);
	record(13, skb->napi_id);
	record(14, skb->gso_segs);
	record(15, skb->gso_size);
	for (int i = 0; i < 5; i++)
		skb->cb[i] = skb->len + i;
	record(16, skb->cb[0] * skb->cb[4]);
	return skb->len / 2;
}

/* IPv4's fields through helpers: here the packet starts behind the Ethernet header. */
SEC("socket")
int headers(struct __sk_buff *skb)
{
	struct iphdr ip = {};
	struct ethhdr eth = {};
	__be16 ports[2] = {};

	record(0, bpf_skb_load_bytes_relative(skb, 0, &eth, sizeof(eth), BPF_HDR_START_MAC));
	record(1, eth.h_proto);
	record(2, bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET));
	record(3, ip.saddr);
	record(4, bpf_skb_load_bytes(skb, ip.ihl * 4, ports, sizeof(ports)));
	record(5, (__u32)ports[0] << 16 | ports[1]);
	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 0;
	return ip.protocol == IPPROTO_TCP ? -1 : 64;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
