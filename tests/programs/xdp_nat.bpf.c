// SPDX-License-Identifier: MIT OR Apache-2.0
/* Address translation by XDP, with checksums by bpf_csum_diff(). */
#include "packet.h"

static __always_inline void update(__sum16 *check, __s64 difference)
{
	*check = ~fold((__u64)(__u16)~*check + (__u32)difference);
}

SEC("xdp")
int nat(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	struct iphdr *ip = take_ipv4(&packet);
	__be32 to = bpf_htonl(0xcb007107);
	__s64 difference;

	if (!ip || ip->ihl != 5)
		return XDP_PASS;
	difference = bpf_csum_diff(&ip->daddr, sizeof(ip->daddr), &to, sizeof(to), 0);
	record(0, difference);
	update(&ip->check, difference);
	if (!(ip->frag_off & bpf_htons(0x1fff))) {
		if (ip->protocol == IPPROTO_TCP) {
			struct tcphdr *tcp = take(&packet, sizeof(*tcp));

			if (tcp)
				update(&tcp->check, difference);
		} else if (ip->protocol == IPPROTO_UDP) {
			struct udphdr *udp = take(&packet, sizeof(*udp));

			if (udp && udp->check)
				update(&udp->check, difference);
		}
	}
	ip->daddr = to;
	return XDP_TX;
}

/* The helper itself: sums, differences, seeds, sizes it does not take. */
SEC("xdp")
int sums(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__be32 *words = take(&packet, 16), own[4];

	if (!words)
		return XDP_PASS;
	__builtin_memcpy(own, words, sizeof(own));
	record(0, bpf_csum_diff(NULL, 0, own, sizeof(own), 0));
	record(1, bpf_csum_diff(own, sizeof(own), NULL, 0, 0));
	record(2, bpf_csum_diff(own, 8, own + 2, 8, 0x12345678));
	record(3, bpf_csum_diff(own, 4, own, 16, ~0u));
	record(4, bpf_csum_diff(words, 16, own, 4, 0xffff));
	record(5, bpf_csum_diff(NULL, 0, NULL, 0, 77));
	record(6, bpf_csum_diff(own, 16, own, 16, 0));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
