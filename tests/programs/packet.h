/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading packets: a cursor that never passes the end. */
#pragma once

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include "results.h"

struct cursor {
	void *next;
	void *end;
};

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

/* The cursor over the packet of a context that has `data` and `data_end`. */
#define packet_of(ctx)                                       \
	{                                                    \
		.next = (void *)(long)(ctx)->data,           \
		.end = (void *)(long)(ctx)->data_end,        \
	}

/* The next `size` bytes, or NULL where the packet is shorter. */
static __always_inline void *take(struct cursor *packet, __u32 size)
{
	void *taken = packet->next;

	if (taken + size > packet->end)
		return NULL;
	packet->next = taken + size;
	return taken;
}

/* The IPv4 header behind an untagged Ethernet header, or NULL. */
static __always_inline struct iphdr *take_ipv4(struct cursor *packet)
{
	struct ethhdr *eth = take(packet, sizeof(*eth));
	struct iphdr *ip;

	if (!eth || eth->h_proto != bpf_htons(ETH_P_IP))
		return NULL;
	ip = take(packet, sizeof(*ip));
	if (!ip || ip->version != 4 || ip->ihl < 5)
		return NULL;
	return ip;
}

/* Folds a 32-bit sum of 16-bit words to 16 bits. */
static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}
