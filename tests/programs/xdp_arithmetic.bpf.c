// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Arithmetic of both widths on numbers from the packet: signs, shifts by more than the
 * compiler would allow, division by zero, comparisons of every kind, byte orders.
 */
#include "packet.h"

/* The instruction itself, with operands that the compiler knows nothing of. */
#define op64(a, operator, b) ({ __u64 _a = (a), _b = (b); \
	asm volatile("%0 " operator " %1" : "+r"(_a) : "r"(_b)); _a; })
#define op32(a, operator, b) ({ __u32 _a = (a), _b = (b); \
	asm volatile("%0 " operator " %1" : "+w"(_a) : "w"(_b)); _a; })

static __always_inline bool numbers(struct xdp_md *ctx, __u64 *a, __u64 *b)
{
	struct cursor packet = packet_of(ctx);
	__u64 *words;

	if (!take(&packet, 18))
		return false;
	words = take(&packet, 16);
	if (!words)
		return false;
	*a = words[0];
	*b = words[1];
	return true;
}

SEC("xdp")
int wide(struct xdp_md *ctx)
{
	__u64 a, b;

	if (!numbers(ctx, &a, &b))
		return XDP_PASS;
	record(0, op64(a, "+=", b));
	record(1, op64(a, "-=", b));
	record(2, op64(a, "*=", b));
	record(3, op64(a, "/=", b));
	record(4, op64(a, "%%=", b));
	record(5, op64(a, "/=", 0));
	record(6, op64(a, "%%=", 0));
	record(7, op64(a, "|=", b));
	record(8, op64(a, "&=", b));
	record(9, op64(a, "^=", b));
	record(10, op64(a, "<<=", b));
	record(11, op64(a, ">>=", b));
	record(12, op64(a, "s>>=", b));
	record(13, -a);
	record(14, (__s64)a < (__s64)b);
	record(15, (a > b) | (a >= b) << 1 | ((__s64)a > -5) << 2 | ((__s64)b <= 1000) << 3 |
			   ((a & b) != 0) << 4 | (a == b) << 5 | ((a & 0x8000) != 0) << 6);
	record(16, a / 10 + b % 10);
	record(17, a * 0xfffffffb);
	return XDP_PASS;
}

SEC("xdp")
int narrow(struct xdp_md *ctx)
{
	__u64 wide_a, wide_b;
	__u32 a, b;

	if (!numbers(ctx, &wide_a, &wide_b))
		return XDP_PASS;
	a = wide_a;
	b = wide_b >> 7;
	record(0, op32(a, "+=", b));
	record(1, op32(a, "-=", b));
	record(2, op32(a, "*=", b));
	record(3, op32(a, "/=", b));
	record(4, op32(a, "%%=", b));
	record(5, op32(a, "/=", 0));
	record(6, op32(a, "%%=", 0));
	record(7, op32(a, "|=", b));
	record(8, op32(a, "&=", b));
	record(9, op32(a, "^=", b));
	record(10, op32(a, "<<=", b));
	record(11, op32(a, ">>=", b));
	record(12, op32(a, "s>>=", b));
	record(13, (__u32)-a);
	record(14, (__s32)a < (__s32)b);
	record(15, (a > b) | (a >= b) << 1 | ((__s32)a > -5) << 2 | ((__s32)b <= 1000) << 3 |
			   ((a & b) != 0) << 4 | (a == b) << 5);
	/* Signs are extended, or are not. */
	record(16, (__s64)(__s32)a);
	record(17, (__u64)a);
	record(18, (__s64)(__s16)a + (__s8)b);
	record(19, (__s32)a >> 3);
	record(20, (__s64)((__s32)a * (__s32)b));
	return XDP_PASS;
}

SEC("xdp")
int byte_order(struct xdp_md *ctx)
{
	__u64 a, b;

	if (!numbers(ctx, &a, &b))
		return XDP_PASS;
	record(0, bpf_htons(a));
	record(1, bpf_htonl(a));
	record(2, bpf_cpu_to_be64(a));
	/* To little-endian: on a little-endian machine only the upper part goes. */
	asm volatile("%0 = le16 %0" : "+r"(a));
	record(3, a);
	asm volatile("%0 = le32 %0" : "+r"(b));
	record(4, b);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
