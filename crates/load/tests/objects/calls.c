/* A call of a function that is outside of .text, where libbpf wants all callees. */
#include "bpf.h"

SEC("xdp/a") __noinline int helper(struct xdp_md *ctx)
{
	return ctx->rx_queue_index + (int)ktime();
}

SEC("xdp") int caller(struct xdp_md *ctx)
{
	return helper(ctx);
}
