/* What gcc's assembler leaves in place is not what clang's does. */
#include "bpf.h"

struct { __uint(type, MAP_HASH); __uint(max_entries, 8); __type(key, u32); __type(value, u64); } flows SEC(".maps");

u64 first = 1;
u64 numbers[4] = { 10, 20, 30, 40 };
u64 last = 7;
u64 runs;

__noinline u32 one(u32 a) { return a + 1 + (u32)runs; }
__noinline u32 two(u32 a) { return one(a) * 2; }
static __noinline u32 three(u32 a) { return two(a) + one(a); }

/* Gives 3 * (rx_queue_index + 1) + 30 + 7 + the number of runs before. */
SEC("xdp")
int count(struct xdp_md *ctx)
{
	u32 key = 1;
	u64 value = 5;

	map_update(&flows, &key, &value, 0);
	u32 result = three(ctx->rx_queue_index);
	result += numbers[2] + last;
	runs += first;
	return result;
}
