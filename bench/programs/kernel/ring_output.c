/* Reports each packet: a record is made on the stack and copied into a ring buffer. */
#include "packet.h"

struct event {
	struct flow flow;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} events SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct event event = {};

	if (!all)
		return XDP_PASS;
	event.flow = flow_of(all);
	event.bytes = length(ctx);
	return bpf_ringbuf_output(&events, &event, sizeof(event), BPF_RB_NO_WAKEUP) ? XDP_DROP :
										      XDP_PASS;
}
