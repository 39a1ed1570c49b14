// SPDX-License-Identifier: MIT OR Apache-2.0
/* Locks in values: of an array, of a hash map, of the maps in a map; and BPF_F_LOCK, with
 * every other flag, on maps with and without one. */
#include "packet.h"
#include "results.h"

struct in_front {
	struct bpf_spin_lock lock;
	__u32 longest;
	__u64 packets, bytes;
};

struct behind {
	__u64 packets;
	__u8 last[5];
	struct bpf_spin_lock lock;
	__u16 sum;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct in_front);
} array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct behind);
} hash SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct in_front);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner } };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} plain_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} percpu_array SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} plain_hash SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} lru_hash SEC(".maps");

static __always_inline void count(struct in_front *value, __u64 len)
{
	bpf_spin_lock(&value->lock);
	value->packets++;
	value->bytes += len;
	if (value->longest < len)
		value->longest = len;
	bpf_spin_unlock(&value->lock);
}

static long touch(void *map, __u32 *key, struct behind *value, void *context)
{
	(void)map;
	(void)context;
	bpf_spin_lock(&value->lock);
	value->sum += *key;
	bpf_spin_unlock(&value->lock);
	return 0;
}

SEC("xdp")
int spin_lock(struct xdp_md *ctx)
{
	__u64 len = ctx->data_end - ctx->data, serial;
	__u32 zero = 0, key, flags;
	struct in_front new = {}, *value;
	struct behind entry = {}, *found;
	void *map;

	value = bpf_map_lookup_elem(&array, &zero);
	if (!value)
		return XDP_ABORTED;
	count(value, len);
	serial = value->packets;

	map = bpf_map_lookup_elem(&outer, &zero);
	key = serial & 1;
	value = map ? bpf_map_lookup_elem(map, &key) : 0;
	if (value)
		count(value, len);

	/* Updates of all kinds, of one element that is there and others that come and go. */
	flags = serial & 7;
	key = serial % 5;
	new.packets = serial;
	new.longest = len;
	record(0, bpf_map_update_elem(&array, &key, &new, flags));
	record(1, bpf_map_update_elem(&plain_array, &key, &serial, flags));
	record(2, bpf_map_update_elem(&percpu_array, &key, &serial, flags));
	record(3, bpf_map_update_elem(&plain_hash, &key, &serial, flags));
	record(4, bpf_map_update_elem(&lru_hash, &key, &serial, flags));

	key = serial % 11;
	entry.packets = serial;
	entry.sum = len;
	entry.last[4] = serial;
	record(5, bpf_map_update_elem(&hash, &key, &entry, flags));
	found = bpf_map_lookup_elem(&hash, &key);
	if (found) {
		bpf_spin_lock(&found->lock);
		found->packets += len;
		found->last[0]++;
		len = found->packets;
		bpf_spin_unlock(&found->lock);
		record(6, len);
	}
	if (serial % 7 == 0)
		record(7, bpf_map_delete_elem(&hash, &key));
	if (serial % 16 == 0)
		record(8, bpf_for_each_map_elem(&hash, touch, 0, 0));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
