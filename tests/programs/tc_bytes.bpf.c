// SPDX-License-Identifier: MIT OR Apache-2.0
/* Packets through helpers: loads from each header, stores, checksums, the hash. */
#include <linux/pkt_cls.h>

#include "packet.h"

SEC("tc")
int load(struct __sk_buff *skb)
{
	__u64 word = 0;
	__u32 len = skb->len;

	record(0, bpf_skb_load_bytes(skb, 6, &word, sizeof(word)));
	record(1, word);
	record(2, bpf_skb_load_bytes(skb, len - 4, &word, 4));
	record(3, word);
	/* An error zeroes the buffer. */
	record(4, bpf_skb_load_bytes(skb, len - 4, &word, 8));
	record(5, word);
	record(6, bpf_skb_load_bytes_relative(skb, 0, &word, 8, BPF_HDR_START_MAC));
	record(7, word);
	record(8, bpf_skb_load_bytes_relative(skb, 0, &word, 1, BPF_HDR_START_NET));
	record(9, word);
	record(10, bpf_skb_load_bytes_relative(skb, 0, &word, 8, 9));
	record(11, bpf_skb_load_bytes_relative(skb, len, &word, 8, BPF_HDR_START_NET));
	record(12, bpf_skb_load_bytes(skb, 0x10000, &word, 8));
	return TC_ACT_OK;
}

SEC("tc")
int store(struct __sk_buff *skb)
{
	__u64 word = 0xa1a2a3a4a5a6a7a8;
	__u32 len = skb->len;

	record(0, bpf_skb_store_bytes(skb, 6, &word, 6, BPF_F_INVALIDATE_HASH));
	record(1, bpf_skb_store_bytes(skb, len - 2, &word, 2, BPF_F_RECOMPUTE_CSUM));
	record(2, bpf_skb_store_bytes(skb, len - 2, &word, 3, 0));
	record(3, bpf_skb_store_bytes(skb, 0, &word, 1, 64));
	record(4, bpf_csum_update(skb, 0x1234));
	bpf_set_hash_invalid(skb);
	record(5, skb->hash);
	record(6, bpf_set_hash(skb, 0xcafe0000 | len));
	record(7, skb->hash);
	record(8, bpf_skb_change_type(skb, 1));
	record(9, skb->pkt_type);
	record(10, bpf_skb_change_type(skb, 77));
	return TC_ACT_OK;
}

/* By pointers, as XDP does it. */
SEC("tc")
int direct(struct __sk_buff *skb)
{
	struct cursor packet = packet_of(skb);
	struct iphdr *ip = take_ipv4(&packet);
	__u64 sum = 0;

	if (!ip)
		return TC_ACT_UNSPEC;
	if (ip->ttl <= 1)
		return TC_ACT_SHOT;
	ip->ttl--;
	ip->check = 0;
	for (int i = 0; i < 10; i++)
		sum += ((__u16 *)ip)[i];
	ip->check = ~fold(sum);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
