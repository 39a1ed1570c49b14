// SPDX-License-Identifier: MIT OR Apache-2.0
/* Strings in payloads: HTTP methods by bpf_strncmp(), a search byte by byte. */
#include "packet.h"

const char get[] = "GET ";
const char http[] = "HTTP/1.1";
const char search[] = "M-SEARCH";

SEC("xdp")
int strings(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	char text[16] = {};
	__u32 header = 8;
	void *payload;

	if (!ip || ip->ihl != 5)
		return XDP_PASS;
	if (ip->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = take(&packet, sizeof(*tcp));

		if (!tcp)
			return XDP_PASS;
		packet.next = tcp;
		header = tcp->doff * 4;
	} else if (ip->protocol != IPPROTO_UDP) {
		return XDP_PASS;
	}
	packet.next += header;
	payload = take(&packet, sizeof(text) - 1);
	if (!payload)
		return XDP_PASS;
	__builtin_memcpy(text, payload, sizeof(text) - 1);

	/* Only the sign of a difference is told. */
	record(0, bpf_strncmp(text, 4, get));
	record(1, bpf_strncmp(text, sizeof(text), http) > 0);
	record(2, bpf_strncmp(text, 8, search));
	record(3, bpf_strncmp(text, 1, get));
	if (bpf_strncmp(text, 4, get) == 0) {
		tally(4, 1);
		return XDP_TX;
	}
	for (__u32 i = 0; i < sizeof(text); i++) {
		if (text[i] == ' ' || text[i] == 0) {
			record(5, i);
			break;
		}
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
