// SPDX-License-Identifier: MIT OR Apache-2.0
/* The fields of a packet's context: what they hold, and what may be written. */
#include <linux/pkt_cls.h>

#include "packet.h"

SEC("tc")
int read_fields(struct __sk_buff *skb)
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
	record(12, skb->cb[0] ^ skb->cb[4]);
	record(13, skb->hash);
	record(14, skb->tc_classid);
	record(15, skb->data_end - skb->data);
	record(16, skb->napi_id);
	record(17, skb->data - skb->data_meta);
	record(18, skb->tstamp);
	record(19, skb->wire_len);
	record(20, skb->gso_segs);
	record(21, skb->gso_size);
	record(22, skb->hwtstamp);
	return TC_ACT_OK;
}

SEC("tc")
int write_fields(struct __sk_buff *skb)
{
	__u32 len = skb->len;

	skb->mark = len * 0x01010101;
	skb->priority = ~len;
	skb->tc_index = 0x12340000 | len;
	skb->queue_mapping = len;
	skb->tc_classid = 0x10000 + len;
	skb->tstamp = 1000000007ull * len;
	for (int i = 0; i < 5; i++)
		skb->cb[i] = len << i;
	record(0, skb->mark);
	record(1, skb->priority);
	record(2, skb->tc_index);
	record(3, skb->queue_mapping);
	record(4, skb->tc_classid);
	record(5, skb->tstamp);
	record(6, skb->cb[0] + skb->cb[1] + skb->cb[2] + skb->cb[3] + skb->cb[4]);
	skb->queue_mapping = 0xffff; /* says that there is none */
	record(7, skb->queue_mapping);
	skb->tstamp = 0;
	record(8, skb->tstamp);
	return TC_ACT_PIPE;
}

/* Parts of fields. */
SEC("tc")
int narrow_fields(struct __sk_buff *skb)
{
	volatile __u8 *bytes = (void *)&skb->len;
	volatile __u16 *protocol = (void *)&skb->protocol;
	volatile __u8 *cb = (void *)skb->cb;

	record(0, bytes[0]);
	record(1, bytes[1]);
	record(2, *protocol);
	skb->cb[1] = 0x11223344;
	cb[5] = 0xaa;
	record(3, skb->cb[1]);
	record(4, *(volatile __u64 *)(cb + 8));
	*(volatile __u64 *)(cb + 8) = 0x0102030405060708;
	record(5, skb->cb[3]);
	return skb->protocol == bpf_htons(ETH_P_IPV6) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
