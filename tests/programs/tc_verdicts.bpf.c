// SPDX-License-Identifier: MIT OR Apache-2.0
/* What a classifier may answer, redirection and tail calls among it. */
#include <linux/pkt_cls.h>

#include "packet.h"

int last(struct __sk_buff *skb);

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, sizeof(__u32));
	__array(values, int (struct __sk_buff *));
} table SEC(".maps") = {
	.values = { [1] = &last },
};

SEC("tc")
int redirect(struct __sk_buff *skb)
{
	record(0, bpf_redirect(1, 0));
	record(1, bpf_redirect(1, BPF_F_INGRESS));
	record(2, bpf_redirect(1, 1 << 7));
	return bpf_redirect(1, skb->len % 3);
}

SEC("tc")
int first(struct __sk_buff *skb)
{
	skb->cb[0] = skb->len;
	skb->mark = 5;
	bpf_tail_call(skb, &table, skb->len % 3);
	tally(0, 1);
	return TC_ACT_STOLEN;
}

/* The context goes along. */
SEC("tc")
int last(struct __sk_buff *skb)
{
	record(1, skb->cb[0]);
	record(2, skb->mark);
	return TC_ACT_QUEUED;
}

SEC("tc")
int numbers(struct __sk_buff *skb)
{
	return (int)skb->len - 100;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
