// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * per_ip: packets and bytes of each source address, and a block list.
 *
 *     skep run examples/per_ip.bpf.o --pcap examples/mixed.pcapng \
 *         --map blocked=192.0.2.10:0
 *
 * Packets from addresses in the map `blocked` are dropped. The user fills it; the
 * program itself adds each address that sent more than `max_bytes`, and raises an
 * alert.
 *
 * Maps:
 *   traffic   packets and bytes, by source address
 *   blocked   packets dropped, by source address; to be listed is to be blocked
 *   alerts    one record for each address that the program blocked
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/* What an address may send before it is blocked: a setting, in the map `.rodata`. */
volatile const __u64 max_bytes = 100000;

/* Where an address is of IPv4, it is mapped: ::ffff:192.0.2.1. */
struct traffic {
	__u64 packets;
	__u64 bytes;
	__u64 last_seen; /* ns */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct in6_addr);
	__type(value, struct traffic);
} traffic SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct in6_addr);
	__type(value, __u64);
} blocked SEC(".maps");

struct alert {
	struct in6_addr address;
	struct traffic traffic; /* when it was blocked */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 * 1024);
} alerts SEC(".maps");

/* Makes the type of the records known to those who read them. */
const struct alert *unused_alert __attribute__((unused));

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

/* Reads the source address. False for what is neither IPv4 nor IPv6, or cut short. */
static __always_inline bool source_address(struct xdp_md *ctx, struct in6_addr *source)
{
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = (void *)(long)ctx->data;
	void *payload = eth + 1;
	__be16 protocol;

	/* The verifier lets us read no byte that was not compared with the end. */
	if (payload > end)
		return false;
	protocol = eth->h_proto;

	/* One VLAN tag, or two. */
	for (int i = 0; i < 2; i++) {
		struct vlan_header *tag = payload;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		payload = tag + 1;
		if (payload > end)
			return false;
		protocol = tag->protocol;
	}

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = payload;

		if ((void *)(ip + 1) > end)
			return false;
		source->s6_addr32[2] = bpf_htonl(0xffff);
		source->s6_addr32[3] = ip->saddr;
		return true;
	}
	if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = payload;

		if ((void *)(ip + 1) > end)
			return false;
		*source = ip->saddr;
		return true;
	}
	return false;
}

/* Adds a packet to its address's traffic. Whether that is now more than it may send. */
static __always_inline bool count(const struct in6_addr *source, __u64 bytes)
{
	__u64 now = bpf_ktime_get_ns();
	struct traffic first = { .packets = 1, .bytes = bytes, .last_seen = now };
	struct traffic *known = bpf_map_lookup_elem(&traffic, source);

	/* Another CPU may be first to insert; then this packet counts on top of its. */
	if (!known && bpf_map_update_elem(&traffic, source, &first, BPF_NOEXIST) == 0)
		return bytes > max_bytes;
	if (!known)
		known = bpf_map_lookup_elem(&traffic, source);
	if (!known)
		return false; /* the map is full */

	__sync_fetch_and_add(&known->packets, 1);
	__sync_fetch_and_add(&known->bytes, bytes);
	known->last_seen = now;
	return known->bytes > max_bytes;
}

/* Blocks an address. Of several CPUs that try, the one that succeeds tells the user. */
static __always_inline void block(const struct in6_addr *source)
{
	__u64 dropped = 0;
	struct traffic *known;
	struct alert *alert;

	if (bpf_map_update_elem(&blocked, source, &dropped, BPF_NOEXIST) != 0)
		return;
	known = bpf_map_lookup_elem(&traffic, source);
	if (!known)
		return;

	/* A record is reserved, filled in place, and submitted. NULL: the reader is late. */
	alert = bpf_ringbuf_reserve(&alerts, sizeof(*alert), 0);
	if (!alert)
		return;
	alert->address = *source;
	alert->traffic = *known;
	bpf_ringbuf_submit(alert, 0);
}

SEC("xdp")
int per_ip(struct xdp_md *ctx)
{
	struct in6_addr source = {};
	__u64 *dropped;

	if (!source_address(ctx, &source))
		return XDP_PASS;

	dropped = bpf_map_lookup_elem(&blocked, &source);
	if (dropped) {
		__sync_fetch_and_add(dropped, 1);
		return XDP_DROP;
	}

	/* The packet that crosses the threshold still passes; the next one does not. */
	if (count(&source, ctx->data_end - ctx->data))
		block(&source);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
