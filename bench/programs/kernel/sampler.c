/* Takes one packet of 64, by chance, and writes down when. */
#include "packet.h"

struct sample {
	__u64 time;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, struct sample);
} any_samples SEC(".maps");

SEC("xdp")
int program(struct xdp_md *ctx)
{
	__u32 random = bpf_get_prandom_u32(), key = random >> 24;
	struct sample *sample;

	if (random & 63)
		return XDP_PASS;
	sample = bpf_map_lookup_elem(&any_samples, &key);
	if (!sample)
		return XDP_ABORTED;
	sample->time = bpf_ktime_get_ns();
	sample->bytes = length(ctx);
	return XDP_PASS;
}
