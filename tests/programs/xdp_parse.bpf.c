// SPDX-License-Identifier: MIT OR Apache-2.0
/* Parsing: tags, IPv4 options, IPv6 extension headers, bit fields, ports. */
#include "packet.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256);
	__type(key, __u32);
	__type(value, __u64);
} protocols SEC(".maps");

static __always_inline void ports(struct cursor *packet, __u8 protocol)
{
	__u32 key = protocol;
	__u64 *count = bpf_map_lookup_elem(&protocols, &key);
	__be16 *port;

	if (count)
		(*count)++;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return;
	port = take(packet, 2 * sizeof(*port));
	if (!port)
		return;
	record(1, bpf_ntohs(port[0]));
	record(2, bpf_ntohs(port[1]));
	if (protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = (void *)port;

		if (!take(packet, sizeof(*tcp) - 2 * sizeof(*port)))
			return;
		record(3, tcp->doff);
		record(4, tcp->syn | tcp->ack << 1 | tcp->fin << 2 | tcp->rst << 3);
		record(5, bpf_ntohl(tcp->seq));
	}
}

SEC("xdp")
int parse(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct ethhdr *eth = take(&packet, sizeof(*eth));
	__be16 protocol;

	if (!eth)
		return XDP_ABORTED;
	protocol = eth->h_proto;
	for (int i = 0; i < 3; i++) {
		struct vlan_header *tag;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		tag = take(&packet, sizeof(*tag));
		if (!tag)
			return XDP_DROP;
		record(10 + i, bpf_ntohs(tag->tci));
		protocol = tag->protocol;
	}

	if (protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = take(&packet, sizeof(*ip));

		if (!ip)
			return XDP_DROP;
		record(6, ip->ihl << 8 | ip->version);
		record(7, bpf_ntohs(ip->frag_off));
		packet.next = (void *)ip + ip->ihl * 4;
		if (ip->ihl >= 5)
			ports(&packet, ip->protocol);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = take(&packet, sizeof(*ip));
		__u8 next;

		if (!ip)
			return XDP_DROP;
		next = ip->nexthdr;
		for (int i = 0; i < 4; i++) {
			__u8 *extension;

			if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
			    next != IPPROTO_DSTOPTS)
				break;
			extension = take(&packet, 8);
			if (!extension)
				return XDP_DROP;
			packet.next += extension[1] * 8;
			next = extension[0];
		}
		record(8, ip->priority << 8 | ip->flow_lbl[0]);
		ports(&packet, next);
	} else {
		tally(9, 1);
	}
	record(0, packet.next - (void *)(long)ctx->data);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
