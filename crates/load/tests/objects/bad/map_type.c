/* A map without a type. */
#include "../bpf.h"

struct { __uint(max_entries, 8); __type(key, u32); __type(value, u32); } flows SEC(".maps");

SEC("xdp")
int pass(struct xdp_md *ctx) { return map_lookup(&flows, ctx) ? 2 : 1; }
