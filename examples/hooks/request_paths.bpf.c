// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * request_paths: what request_rates does, and /admin is closed to all but trusted clients. It
 * goes on with the buckets of the program that it replaces.
 *
 * Maps:
 *   buckets   as in request_rates
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "request.h"

#define DENY 0
#define ALLOW 1

#define SECOND 1000000000ull

volatile const __u32 burst = 8;
volatile const __u32 rate = 4;

struct bucket {
	__u64 time;
	__u64 left;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

static int is_closed(const struct Request *request)
{
	const char *path = request->path, *end = request->path_end;
	static const char closed[6] = "/admin";

	if (path + sizeof(closed) > end)
		return 0;
	for (unsigned int at = 0; at < sizeof(closed); at++)
		if (path[at] != closed[at])
			return 0;
	return 1;
}

SEC("hook/request")
int request_paths(struct Request *request)
{
	__u64 cost = SECOND / (rate ? rate : 1), most = cost * burst;
	struct bucket fresh = { .time = request->time, .left = most };
	__u32 client = request->client;
	struct bucket *bucket;
	__u64 left;

	if (is_trusted(client))
		return ALLOW;
	if (is_closed(request)) {
		request->status = 403;
		note(request, "closed", 6);
		return DENY;
	}
	bucket = bpf_map_lookup_elem(&buckets, &client);
	if (!bucket) {
		bpf_map_update_elem(&buckets, &client, &fresh, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &client);
		if (!bucket)
			return ALLOW;
	}
	left = bucket->left;
	if (request->time > bucket->time)
		left += request->time - bucket->time;
	if (left > most)
		left = most;
	bucket->time = request->time;
	if (left < cost) {
		bucket->left = left;
		request->status = 429;
		request->retry_after = (__u32)((cost - left + SECOND - 1) / SECOND);
		return DENY;
	}
	bucket->left = left - cost;
	return ALLOW;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
