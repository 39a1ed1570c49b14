// SPDX-License-Identifier: MIT OR Apache-2.0
/* A queue and a stack: pushed, peeked, popped, empty, full, and made to take more. */
#include "packet.h"

struct item {
	__u32 len;
	__u16 protocol;
	__u16 number;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 100);
	__type(value, struct item);
} queue SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 100);
	__type(value, struct item);
} stack SEC(".maps");

__u16 number;

static __always_inline void look(__u32 slot, long error, struct item *item)
{
	record(slot, error);
	record(slot + 1, error ? 0 : (__u64)item->number << 32 | item->len);
}

SEC("xdp")
int queues(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	struct item item = {}, other = {};

	if (!eth)
		return XDP_PASS;
	item.len = ctx->data_end - ctx->data;
	item.protocol = eth->h_proto;
	item.number = number++;

	look(0, bpf_map_peek_elem(&queue, &other), &other);
	look(2, bpf_map_peek_elem(&stack, &other), &other);
	/* The queue pushes the oldest out, the stack says that it is full. */
	record(4, bpf_map_push_elem(&queue, &item, BPF_EXIST));
	record(5, bpf_map_push_elem(&stack, &item, BPF_ANY));
	record(6, bpf_map_push_elem(&stack, &item, BPF_NOEXIST));
	if (item.len % 3 == 0)
		look(7, bpf_map_pop_elem(&queue, &other), &other);
	if (item.len % 5 == 0) {
		look(9, bpf_map_pop_elem(&stack, &other), &other);
		look(11, bpf_map_pop_elem(&stack, &other), &other);
	}
	return XDP_PASS;
}

/* Takes from what is empty. */
SEC("xdp")
int empty(struct xdp_md *ctx)
{
	struct item item = {};

	(void)ctx;
	look(0, bpf_map_pop_elem(&queue, &item), &item);
	look(2, bpf_map_peek_elem(&stack, &item), &item);
	/* What an error leaves behind is zeroed. */
	record(4, item.len);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
