// SPDX-License-Identifier: MIT OR Apache-2.0
/* A ring buffer: copied into, reserved and submitted, discarded, and full. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct event {
	__u32 number;
	__u32 len;
	__u8 head[14];
};

__u32 number;

SEC("xdp")
int events(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	struct event *event;

	if (!eth)
		return XDP_PASS;
	number++;
	event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		tally(0, 1);
		return XDP_DROP;
	}
	event->number = number;
	event->len = ctx->data_end - ctx->data;
	__builtin_memcpy(event->head, eth, sizeof(event->head));
	event->head[0] = event->head[13];
	if (number % 3 == 0)
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, number % 3 == 1 ? BPF_RB_NO_WAKEUP : 0);
	return XDP_PASS;
}

static __u8 bytes[256];

/* Output of all lengths, until nothing more fits. */
SEC("xdp")
int fill(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	void *start = take(&packet, sizeof(bytes));

	if (!start) {
		record(0, bpf_ringbuf_output(&ring, bytes, 3, BPF_RB_FORCE_WAKEUP));
		return XDP_PASS;
	}
	/* The helper takes no packet, but a variable. */
	__builtin_memcpy(bytes, start, sizeof(bytes));
	for (int i = 0; i < 40; i++) {
		long error = bpf_ringbuf_output(&ring, bytes, 1 + i * 6, 0);

		if (error) {
			record(1, i);
			record(2, error);
			break;
		}
	}
	record(3, bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA));
	record(4, bpf_ringbuf_query(&ring, BPF_RB_RING_SIZE));
	record(5, bpf_ringbuf_query(&ring, 99));
	record(6, bpf_ringbuf_output(&ring, bytes, 8, 77));
	return XDP_TX;
}

/* Too much at once. */
SEC("xdp")
int too_much(struct xdp_md *ctx)
{
	void *most = bpf_ringbuf_reserve(&ring, 4096 - 8, 0), *one;

	record(0, most != NULL);
	one = bpf_ringbuf_reserve(&ring, 1, 0);
	record(1, one != NULL);
	if (one)
		bpf_ringbuf_discard(one, 0);
	if (most) {
		*(__u32 *)most = ctx->data_end - ctx->data;
		bpf_ringbuf_discard(most, BPF_RB_NO_WAKEUP);
	}
	most = bpf_ringbuf_reserve(&ring, 4096, 0);
	record(2, most != NULL);
	if (most)
		bpf_ringbuf_discard(most, 0);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
