/* What the programs of this folder share: headers, the flow of a packet, and how they are
 * measured. Each runs on one TCP packet, again and again, and is called `program`; where
 * there is another called `prepare`, it runs once before. Maps called `any_...` hold times
 * or random numbers, so that two kernels need not agree on them. */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct flow {
	__be32 saddr, daddr;
	__be16 sport, dport;
	__u32 protocol;
};

struct counter {
	__u64 packets, bytes;
};

/* Headers of a packet of TCP over IPv4. */
struct headers {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

/* The headers, or NULL where the packet is of another kind. */
static __always_inline struct headers *headers(struct xdp_md *ctx)
{
	struct headers *all = (void *)(long)ctx->data;

	if ((void *)(all + 1) > (void *)(long)ctx->data_end)
		return NULL;
	if (all->eth.h_proto != bpf_htons(ETH_P_IP) || all->ip.protocol != IPPROTO_TCP)
		return NULL;
	return all;
}

static __always_inline __u64 length(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

static __always_inline struct flow flow_of(const struct headers *all)
{
	return (struct flow){
		.saddr = all->ip.saddr,
		.daddr = all->ip.daddr,
		.sport = all->tcp.source,
		.dport = all->tcp.dest,
		.protocol = all->ip.protocol,
	};
}

/* Folds a 32-bit sum of 16-bit words and inverts it. */
static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
