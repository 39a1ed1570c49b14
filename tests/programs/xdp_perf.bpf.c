// SPDX-License-Identifier: MIT OR Apache-2.0
/* A perf event array to which no event belongs, and what its helper says of that. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

SEC("xdp")
int perf(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data, now = 1;

	record(0, bpf_perf_event_output(ctx, &events, BPF_F_CURRENT_CPU, &now, sizeof(now)));
	record(1, bpf_perf_event_output(ctx, &events, 1, &now, sizeof(now)));
	record(2, bpf_perf_event_output(ctx, &events, 2, &now, sizeof(now)));
	record(3, bpf_perf_event_output(ctx, &events, len << 32, &now, sizeof(now)));
	record(4, bpf_perf_event_output(ctx, &events, (len + 1) << 32, &now, sizeof(now)));
	record(5, bpf_perf_event_output(ctx, &events, 1ull << 60, &now, sizeof(now)));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
