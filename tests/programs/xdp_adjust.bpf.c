// SPDX-License-Identifier: MIT OR Apache-2.0
/* How far head, tail and metadata move, and what the helpers say of what is too far. */
#include "packet.h"

/* The tail: shorter, longer, and what cannot be. */
SEC("xdp")
int tail(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	struct cursor packet;
	__u8 *last;

	record(0, bpf_xdp_adjust_tail(ctx, -(int)len));
	record(1, bpf_xdp_adjust_tail(ctx, -(int)(len - 13)));
	record(2, bpf_xdp_adjust_tail(ctx, 4096));
	record(3, bpf_xdp_adjust_tail(ctx, len % 2 ? -1 : 40));
	record(4, ctx->data_end - ctx->data);
	record(5, bpf_xdp_adjust_tail(ctx, 0));

	packet.next = (void *)(long)ctx->data;
	packet.end = (void *)(long)ctx->data_end;
	if (!take(&packet, 20))
		return XDP_ABORTED;
	last = take(&packet, 1);
	if (last)
		*last ^= 0xff;
	return XDP_PASS;
}

/* Cuts to 64 bytes, then fills up to 128 with zeros, whatever had been there. */
SEC("xdp")
int cut_and_fill(struct xdp_md *ctx)
{
	int len = ctx->data_end - ctx->data;

	record(0, bpf_xdp_adjust_tail(ctx, 64 - len));
	record(1, bpf_xdp_adjust_tail(ctx, 64));
	record(2, ctx->data_end - ctx->data);
	return XDP_TX;
}

/* The head: as far as there is room before the packet, and packet. */
SEC("xdp")
int head(struct xdp_md *ctx)
{
	int len = bpf_xdp_get_buff_len(ctx);
	__u64 *first;

	record(0, bpf_xdp_adjust_head(ctx, -257));
	record(1, bpf_xdp_adjust_head(ctx, -216));
	record(2, ctx->data_end - ctx->data);
	record(3, bpf_xdp_adjust_head(ctx, -1));
	record(4, bpf_xdp_adjust_head(ctx, 216 + len));
	record(5, bpf_xdp_adjust_head(ctx, 216 + len - 14));
	record(6, bpf_xdp_adjust_head(ctx, -14));
	first = (void *)(long)ctx->data;
	if ((void *)(first + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	*first = 0x0102030405060708;
	return XDP_PASS;
}

/* Metadata: written in front of the packet, read back, and refused in part. */
SEC("xdp")
int meta(struct xdp_md *ctx)
{
	__u32 *mark;

	record(0, bpf_xdp_adjust_meta(ctx, -3));
	record(1, bpf_xdp_adjust_meta(ctx, -260));
	record(2, bpf_xdp_adjust_meta(ctx, -8));
	record(3, ctx->data - ctx->data_meta);
	mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 2) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	mark[0] = 0xfeedbeef;
	mark[1] = ctx->data_end - ctx->data;
	record(4, *(__u64 *)mark);

	/* The head takes its metadata along. */
	record(5, bpf_xdp_adjust_head(ctx, -4));
	record(6, ctx->data - ctx->data_meta);
	mark = (void *)(long)ctx->data_meta;
	if ((void *)(mark + 1) > (void *)(long)ctx->data)
		return XDP_ABORTED;
	record(7, *mark);
	record(8, bpf_xdp_adjust_meta(ctx, 4));
	record(9, ctx->data - ctx->data_meta);
	record(10, bpf_xdp_adjust_meta(ctx, 8));
	record(11, bpf_xdp_adjust_head(ctx, 4));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
