/* Finds the customer's table by the last byte of an address, and a counter in it. */
#include "packet.h"

struct table {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __be32);
	__type(value, __u64);
} zero SEC(".maps"), four SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 16);
	__type(key, __u32);
	__array(values, struct table);
} customers SEC(".maps") = {
	.values = { [0] = &zero, [4] = &four },
};

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	__u64 one = 1, *count;
	void *table;
	__u32 key;

	if (!all)
		return XDP_PASS;
	key = bpf_ntohl(all->ip.daddr) & 15;
	table = bpf_map_lookup_elem(&customers, &key);
	if (!table)
		return XDP_DROP;
	count = bpf_map_lookup_elem(table, &all->ip.saddr);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(table, &all->ip.saddr, &one, BPF_NOEXIST);
	return XDP_PASS;
}
