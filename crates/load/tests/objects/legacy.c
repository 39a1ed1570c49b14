/* Maps as they were defined before there was BTF. */
#include "bpf.h"

struct bpf_map_def { u32 type, key_size, value_size, max_entries, map_flags; };
struct bpf_map_def SEC("maps") counters = { MAP_ARRAY, 4, 8, 16, 0 };
struct bpf_map_def SEC("maps") names = { MAP_HASH, 4, 16, 32, 1 };

int _version SEC("version") = 0x50f00;

SEC("socket")
int legacy(void *ctx)
{
	u32 key = 3;
	u64 *value = map_lookup(&counters, &key);

	if (value)
		*value += 1;
	return map_lookup(&names, &key) != 0;
}
