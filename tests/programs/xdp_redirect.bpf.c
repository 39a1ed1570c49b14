// SPDX-License-Identifier: MIT OR Apache-2.0
/* Verdicts of redirection: by interface, and by maps that hold nothing. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} sockets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} interfaces SEC(".maps");

SEC("xdp")
int by_interface(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;

	record(0, bpf_redirect(1, 1));
	return bpf_redirect(1 + len % 2, 0);
}

SEC("xdp")
int by_socket(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;

	record(0, bpf_redirect_map(&sockets, 9, XDP_DROP));
	record(1, bpf_redirect_map(&sockets, 0, 0));
	record(2, bpf_redirect_map(&sockets, 0, 1 << 4));
	record(3, ctx->rx_queue_index);
	return bpf_redirect_map(&sockets, ctx->rx_queue_index, len % 4);
}

SEC("xdp")
int by_device(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;

	record(0, bpf_redirect_map(&interfaces, 3, XDP_TX));
	record(1, bpf_redirect_map(&interfaces, 4, XDP_PASS));
	record(2, ctx->ingress_ifindex);
	return bpf_redirect_map(&interfaces, len % 8, XDP_PASS);
}

/* Every verdict, and what is none. */
SEC("xdp")
int verdicts(struct xdp_md *ctx)
{
	return (int)(ctx->data_end - ctx->data) - 64;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
