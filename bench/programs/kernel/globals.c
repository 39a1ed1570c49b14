/* A port filter by constants that are set before it is loaded, with counters in globals. */
#include "packet.h"

volatile const struct {
	__u32 enabled;
	__u16 first, last;
} config = { 1, 400, 500 };

__u64 limit = 1 << 30;
__u64 inside, outside, bytes;

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u16 port;

	if (!config.enabled || !all)
		return XDP_PASS;
	port = bpf_ntohs(all->tcp.dest);
	bytes += length(ctx);
	if (port < config.first || port > config.last) {
		outside++;
		return XDP_DROP;
	}
	inside++;
	return inside < limit ? XDP_PASS : XDP_TX;
}
