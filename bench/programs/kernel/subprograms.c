/* A parser in functions of their own that call each other. */
#include "packet.h"

static __noinline __u32 mix(__u32 hash, __u32 word)
{
	hash = (hash ^ word) * 0x85ebca6b;
	return hash ^ hash >> 15;
}

static __noinline __u32 hash_of(const struct flow *flow)
{
	__u32 hash = mix(0, flow->saddr);

	hash = mix(hash, flow->daddr);
	hash = mix(hash, flow->sport << 16 | flow->dport);
	return mix(hash, flow->protocol);
}

static __noinline int parse(struct xdp_md *ctx, struct flow *flow)
{
	struct headers *all = headers(ctx);

	if (!all)
		return 0;
	*flow = flow_of(all);
	return 1;
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct flow flow;

	if (!parse(ctx, &flow))
		return XDP_PASS;
	return hash_of(&flow) >> 8;
}
