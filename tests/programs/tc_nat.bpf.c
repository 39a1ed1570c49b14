// SPDX-License-Identifier: MIT OR Apache-2.0
/* Address and port translation by tc, with the helpers that keep checksums right. */
#include <stddef.h>
#include <linux/pkt_cls.h>

#include "packet.h"

#define IP_OFF ETH_HLEN
#define L4_OFF (ETH_HLEN + sizeof(struct iphdr))

SEC("tc")
int nat(struct __sk_buff *skb)
{
	struct cursor packet = packet_of(skb);
	struct iphdr *ip = take_ipv4(&packet);
	__be32 from, to = bpf_htonl(0xcb007109);
	__u64 flags = BPF_F_PSEUDO_HDR;
	__be16 port, new_port = bpf_htons(4242);
	__u8 protocol;
	__u32 check;

	if (!ip || ip->ihl != 5 || ip->frag_off & bpf_htons(0x1fff))
		return TC_ACT_OK;
	protocol = ip->protocol;
	from = ip->saddr;
	if (protocol == IPPROTO_TCP) {
		check = L4_OFF + offsetof(struct tcphdr, check);
	} else if (protocol == IPPROTO_UDP) {
		check = L4_OFF + offsetof(struct udphdr, check);
		flags |= BPF_F_MARK_MANGLED_0;
	} else {
		return TC_ACT_OK;
	}
	if (bpf_skb_load_bytes(skb, L4_OFF, &port, sizeof(port)))
		return TC_ACT_SHOT;

	record(0, bpf_l4_csum_replace(skb, check, from, to, flags | sizeof(to)));
	record(1, bpf_l4_csum_replace(skb, check, port, new_port,
				      (flags & ~BPF_F_PSEUDO_HDR) | sizeof(port)));
	record(2, bpf_l3_csum_replace(skb, IP_OFF + offsetof(struct iphdr, check), from, to,
				      sizeof(to)));
	record(3, bpf_skb_store_bytes(skb, IP_OFF + offsetof(struct iphdr, saddr), &to,
				      sizeof(to), 0));
	record(4, bpf_skb_store_bytes(skb, L4_OFF, &new_port, sizeof(new_port), 0));
	return TC_ACT_OK;
}

/* A whole difference at once, and what the helpers refuse. */
SEC("tc")
int differences(struct __sk_buff *skb)
{
	__be32 old[2] = {}, new[2] = { bpf_htonl(1), bpf_htonl(0xfffffffe) };
	__s64 difference;

	if (skb->len < 60 || bpf_skb_load_bytes(skb, 26, old, sizeof(old)))
		return TC_ACT_OK;
	difference = bpf_csum_diff(old, sizeof(old), new, sizeof(new), 0);
	record(0, bpf_skb_store_bytes(skb, 26, new, sizeof(new), 0));
	record(1, bpf_l3_csum_replace(skb, 24, 0, difference, 0));
	record(2, bpf_l4_csum_replace(skb, 50, 0, difference, BPF_F_PSEUDO_HDR));
	record(3, bpf_l4_csum_replace(skb, 50, 0, 0, BPF_F_MARK_ENFORCE | 2));
	record(4, bpf_l3_csum_replace(skb, 24, 1, 2, 3));
	record(5, bpf_l3_csum_replace(skb, 24, 1, difference, 0));
	record(6, bpf_l3_csum_replace(skb, 25, 1, 2, 2));
	record(7, bpf_l3_csum_replace(skb, 0xfffff, 1, 2, 2));
	record(8, bpf_l4_csum_replace(skb, 50, 1, 2, 1 << 12 | 2));
	record(9, bpf_l3_csum_replace(skb, 24, 0x1234, 0x4321, 2));
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
