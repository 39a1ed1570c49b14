/* A map as iproute2 defines them: nine numbers. */
#include "bpf.h"

struct bpf_elf_map { u32 type, size_key, size_value, max_elem, flags, id, pinning, inner_id, inner_idx; };
struct bpf_elf_map SEC("maps") shared = { MAP_ARRAY, 4, 8, 16, 0, 7, 2, 0, 0 };

SEC("classifier")
int legacy36(void *ctx)
{
	u32 key = 3;
	return map_lookup(&shared, &key) != 0;
}
