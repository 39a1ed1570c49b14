// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * What -mcpu=v4 brought: signed division, moves and loads that extend the sign,
 * unconditional byte swaps, long jumps.
 */
#include "packet.h"

#define op64(a, operator, b) ({ __u64 _a = (a), _b = (b); \
	asm volatile("%0 " operator " %1" : "+r"(_a) : "r"(_b)); _a; })
#define op32(a, operator, b) ({ __u32 _a = (a), _b = (b); \
	asm volatile("%0 " operator " %1" : "+w"(_a) : "w"(_b)); _a; })

#define S64_MIN (1ull << 63)
#define S32_MIN (1u << 31)

SEC("xdp")
int signed_division(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__u64 *words, a, b;

	if (!take(&packet, 18))
		return XDP_PASS;
	words = take(&packet, 16);
	if (!words)
		return XDP_PASS;
	a = words[0];
	b = words[1] >> 40;
	if (a & 0x100)
		b = -b;
	record(0, op64(a, "s/=", b));
	record(1, op64(a, "s%%=", b));
	record(2, op64(a, "s/=", 0));
	record(3, op64(a, "s%%=", 0));
	record(4, op64(S64_MIN, "s/=", -1));
	record(5, op64(S64_MIN, "s%%=", -1));
	record(6, op32(a, "s/=", b));
	record(7, op32(a, "s%%=", b));
	record(8, op32(a, "s/=", 0));
	record(9, op32(a, "s%%=", 0));
	record(10, op32(S32_MIN, "s/=", -1));
	record(11, op32(S32_MIN, "s%%=", -1));
	record(12, (__s64)a / -7);
	record(13, (__s32)a % -7);
	return XDP_PASS;
}

SEC("xdp")
int signs_and_bytes(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__s8 *bytes;
	__u64 word;
	__u32 half;

	if (!take(&packet, 18))
		return XDP_PASS;
	bytes = take(&packet, 16);
	if (!bytes)
		return XDP_PASS;
	/* Loads. */
	record(0, bytes[0]);
	record(1, *(__s16 *)(bytes + 1));
	record(2, *(__s32 *)(bytes + 3));
	/* Moves. */
	word = *(__u64 *)(bytes + 5);
	half = word >> 13;
	record(3, (__s64)(__s8)word);
	record(4, (__s64)(__s16)word);
	record(5, (__s64)(__s32)word);
	record(6, (__u32)(__s32)(__s8)half);
	record(7, (__u32)(__s32)(__s16)half);
	/* Swaps. */
	record(8, __builtin_bswap16(word));
	record(9, __builtin_bswap32(word));
	record(10, __builtin_bswap64(word));
	return XDP_PASS;
}

SEC("xdp")
int long_jumps(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	__u64 path = 1;

	asm volatile("if %[len] < 100 goto 1f;"
		     "%[path] += 2;"
		     "gotol 2f;"
		     "1: %[path] += 4;"
		     "2: %[path] *= 3;"
		     : [path] "+r"(path)
		     : [len] "r"((__u64)len));
	record(0, path);
	return path == 9 ? XDP_TX : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
