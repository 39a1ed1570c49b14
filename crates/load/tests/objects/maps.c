/* Every way to define a map by types, and every kind of data section. */
#include "bpf.h"

struct key { u32 address; u16 port; u16 pad; };

struct { __uint(type, MAP_HASH); __uint(max_entries, 64); __uint(map_flags, 1); __type(key, struct key); __type(value, u64); } flows SEC(".maps");
struct { __uint(type, MAP_PERCPU_ARRAY); __uint(max_entries, 4); __uint(key_size, 4); __uint(value_size, 12); } per_cpu SEC(".maps");
struct { __uint(type, MAP_RINGBUF); __uint(max_entries, 5000); } events SEC(".maps");
struct { __uint(type, MAP_PERF_EVENT_ARRAY); __uint(key_size, 4); __uint(value_size, 4); } perf SEC(".maps");
struct { __uint(type, MAP_BLOOM_FILTER); __uint(max_entries, 100); __uint(value_size, 4); __uint(map_extra, 3); } bloom SEC(".maps");
struct { __uint(type, MAP_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, u32); __type(value, u32); } kept SEC(".maps");

struct inner { __uint(type, MAP_ARRAY); __uint(max_entries, 2); __type(key, u32); __type(value, u32); };
struct inner first SEC(".maps");
struct inner second SEC(".maps");
struct { __uint(type, MAP_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, u32); __array(values, struct inner); } outer SEC(".maps") = { .values = { [1] = &second, [3] = &first } };

int stop(struct xdp_md *ctx);
struct { __uint(type, MAP_PROG_ARRAY); __uint(max_entries, 3); __uint(key_size, 4); __array(values, int (struct xdp_md *)); } jumps SEC(".maps") = { .values = { [2] = &stop } };

const volatile u32 limit = 7;
const volatile char greeting[] = "hello";
u64 total = 5;
u64 calls;
static volatile u32 hits;
u32 named SEC(".data.named") = 9;
const volatile u32 table[3] SEC(".rodata.table") = { 1, 2, 3 };
u32 zeros[4] SEC(".bss.zeros");
u32 unseen __hidden SEC(".data.unseen") = 1;

SEC("xdp")
int count(struct xdp_md *ctx)
{
	struct key key = { .address = ctx->ingress_ifindex };
	u32 slot = 1;
	u64 *flow = map_lookup(&flows, &key), one = 1, *cpu;

	if (flow)
		*flow += 1;
	else
		map_update(&flows, &key, &one, 0);
	cpu = map_lookup(&per_cpu, &slot);
	if (cpu)
		*(u32 *)cpu += limit;
	calls++;
	hits += table[ctx->rx_queue_index & 1] + greeting[1];
	zeros[1] = hits + named + unseen;
	total += calls;
	ringbuf_output(&events, &total, sizeof(total), 0);
	slot = 3;
	void *in = map_lookup(&outer, &slot);
	if (in) {
		slot = 0;
		u32 *value = map_lookup(in, &slot);
		if (value)
			*value = 42;
	}
	tail_call(ctx, &jumps, 2);
	return 2;
}

SEC("xdp")
int stop(struct xdp_md *ctx)
{
	u32 key = 1, value = 2;

	map_update(&kept, &key, &value, 0);
	return 1;
}

SEC("?tc")
int later(void *ctx)
{
	return 0;
}
