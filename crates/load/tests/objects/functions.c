/* Functions of all kinds, called and passed on. */
#include "bpf.h"

u64 sum;

__noinline int leaf(u32 a) { return a * 3 + (u32)ktime(); }
static __noinline int middle(u32 a) { return leaf(a) + leaf(a + 1); }
__noinline __hidden int hidden(u32 a) { return middle(a) ^ 5; }
__weak __noinline int spare(u32 a) { return hidden(a) - 1; }
static long step(u32 index, void *ctx) { sum += index + middle(index); return 0; }
__noinline long public_step(u32 index, u64 *ctx) { sum += hidden(index); return 0; }
__noinline int unused(u32 a) { return leaf(a); }

SEC("xdp")
int all(struct xdp_md *ctx)
{
	loop(4, step, 0, 0);
	return spare(ctx->ingress_ifindex) & 1;
}

SEC("xdp")
int some(struct xdp_md *ctx)
{
	return leaf(ctx->rx_queue_index) + spare(2);
}

SEC("tc")
int one(void *ctx)
{
	return middle(7);
}

SEC("fentry.s/bpf_fentry_test1")
int sleepy(u64 *ctx)
{
	loop(2, public_step, 0, 0);
	return 0;
}
