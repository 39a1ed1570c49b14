// SPDX-License-Identifier: MIT OR Apache-2.0
/* Packets that become longer and shorter at both ends. */
#include <linux/pkt_cls.h>

#include "packet.h"

SEC("tc")
int change_tail(struct __sk_buff *skb)
{
	__u32 len = skb->len;
	struct cursor packet;
	__u8 *bytes;

	record(0, bpf_skb_change_tail(skb, len + 50, 0));
	record(1, skb->len);
	record(2, bpf_skb_change_tail(skb, len / 2 + 20, 0));
	record(3, skb->len);
	record(4, bpf_skb_change_tail(skb, 1, 0));
	record(5, bpf_skb_change_tail(skb, 1 << 20, 0));
	record(6, bpf_skb_change_tail(skb, len, 1));
	packet.next = (void *)(long)skb->data;
	packet.end = (void *)(long)skb->data_end;
	bytes = take(&packet, 16);
	if (bytes)
		bytes[15] ^= 0xff;
	return TC_ACT_OK;
}

SEC("tc")
int change_head(struct __sk_buff *skb)
{
	struct ethhdr copy = {};

	if (bpf_skb_load_bytes(skb, 0, &copy, sizeof(copy)))
		return TC_ACT_SHOT;
	record(0, bpf_skb_change_head(skb, 14, 0));
	record(1, skb->len);
	record(2, bpf_skb_store_bytes(skb, 0, &copy, sizeof(copy), 0));
	record(3, bpf_skb_change_head(skb, 200, 0));
	record(4, skb->len);
	record(5, bpf_skb_change_head(skb, 8, 1));
	record(6, bpf_skb_change_head(skb, 1 << 20, 0));
	return TC_ACT_OK;
}

SEC("tc")
int pull(struct __sk_buff *skb)
{
	struct cursor packet;
	__u64 *word;

	record(0, bpf_skb_pull_data(skb, 0));
	record(1, bpf_skb_pull_data(skb, skb->len));
	record(2, bpf_skb_pull_data(skb, skb->len + 1));
	packet.next = (void *)(long)skb->data;
	packet.end = (void *)(long)skb->data_end;
	word = take(&packet, sizeof(*word));
	if (!word)
		return TC_ACT_SHOT;
	*word = 0x8877665544332211;
	record(3, skb->data_end - skb->data);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
