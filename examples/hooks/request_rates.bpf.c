// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * request_rates: so many requests a second for each client, by a bucket of tokens.
 *
 * Maps:
 *   buckets   tokens and the time of the last request, by client
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "request.h"

#define DENY 0
#define ALLOW 1

#define SECOND 1000000000ull

/* Requests of a client at once, and each second. */
volatile const __u32 burst = 8;
volatile const __u32 rate = 4;

struct bucket {
	__u64 time; /* of the last request, ns */
	__u64 left; /* what is left of the burst, in ns of waiting */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct bucket);
} buckets SEC(".maps");

SEC("hook/request")
int request_rates(struct Request *request)
{
	__u64 cost = SECOND / (rate ? rate : 1), most = cost * burst;
	struct bucket fresh = { .time = request->time, .left = most };
	__u32 client = request->client;
	struct bucket *bucket;
	__u64 left;

	if (is_trusted(client))
		return ALLOW;
	bucket = bpf_map_lookup_elem(&buckets, &client);
	if (!bucket) {
		bpf_map_update_elem(&buckets, &client, &fresh, BPF_NOEXIST);
		bucket = bpf_map_lookup_elem(&buckets, &client);
		if (!bucket)
			return ALLOW; /* the table is full */
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
