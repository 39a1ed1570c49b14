/* A map of maps that does not say what they look like: applications do, when they load. */
#include "bpf.h"

struct { __uint(type, 13); __uint(key_size, 4); __uint(value_size, 4); __uint(max_entries, 8); } outer SEC(".maps");
struct { __uint(type, MAP_HASH); __type(key, u32); __type(value, u64); __uint(max_entries, 8); } model SEC(".maps");

SEC("xdp") int nested(struct xdp_md *ctx)
{
	u32 key = 1;
	void *inner = map_lookup(&outer, &key);

	if (!inner)
		return 1;
	return map_lookup(inner, &key) ? 2 : 1;
}
