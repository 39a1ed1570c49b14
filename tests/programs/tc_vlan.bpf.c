// SPDX-License-Identifier: MIT OR Apache-2.0
/* VLAN tags by tc: the outer one moves between the packet and its context. */
#include <linux/pkt_cls.h>

#include "packet.h"

static __always_inline void note(struct __sk_buff *skb, __u32 slot)
{
	record(slot, (__u64)skb->vlan_tci << 32 | skb->vlan_proto << 1 | skb->vlan_present);
	record(slot + 1, (__u64)skb->protocol << 32 | skb->len);
}

SEC("tc")
int push(struct __sk_buff *skb)
{
	note(skb, 0);
	record(2, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 0x2000 | 42));
	note(skb, 3);
	return TC_ACT_OK;
}

SEC("tc")
int push_twice(struct __sk_buff *skb)
{
	record(0, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 7));
	note(skb, 1);
	record(3, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), 8));
	note(skb, 4);
	/* Another protocol than those of tags becomes 802.1Q. */
	record(6, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_IP), 9));
	note(skb, 7);
	return TC_ACT_OK;
}

SEC("tc")
int pop(struct __sk_buff *skb)
{
	note(skb, 0);
	record(2, bpf_skb_vlan_pop(skb));
	note(skb, 3);
	return TC_ACT_OK;
}

SEC("tc")
int pop_and_push(struct __sk_buff *skb)
{
	record(0, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021Q), 100));
	record(1, bpf_skb_vlan_pop(skb));
	note(skb, 2);
	record(4, bpf_skb_vlan_pop(skb));
	record(5, bpf_skb_vlan_push(skb, bpf_htons(ETH_P_8021AD), 200));
	note(skb, 6);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
