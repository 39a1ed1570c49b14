// SPDX-License-Identifier: MIT OR Apache-2.0
/* Calculation for its own sake: CRC-32C by a table, SipHash, FNV, a sorted copy. */
#include "packet.h"

static __u32 crc_table[256];
static bool ready;

static __noinline void make_table(void)
{
	for (__u32 n = 0; n < 256; n++) {
		__u32 crc = n;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
		crc_table[n] = crc;
	}
}

SEC("xdp")
int crc32c(struct xdp_md *ctx)
{
	__u8 *byte = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__u32 crc = ~0u;

	if (!ready) {
		make_table();
		ready = true;
	}
	for (int i = 0; i < 256 && (void *)(byte + 1) <= (void *)end; i++, byte++)
		crc = crc >> 8 ^ crc_table[(crc ^ *byte) & 0xff];
	record(0, ~crc);
	return XDP_PASS;
}

static __always_inline __u64 rotate(__u64 word, int by)
{
	return word << by | word >> (64 - by);
}

#define SIPROUND(v)                                       \
	do {                                              \
		v[0] += v[1];                             \
		v[1] = rotate(v[1], 13) ^ v[0];           \
		v[0] = rotate(v[0], 32);                  \
		v[2] += v[3];                             \
		v[3] = rotate(v[3], 16) ^ v[2];           \
		v[0] += v[3];                             \
		v[3] = rotate(v[3], 21) ^ v[0];           \
		v[2] += v[1];                             \
		v[1] = rotate(v[1], 17) ^ v[2];           \
		v[2] = rotate(v[2], 32);                  \
	} while (0)

/* SipHash-1-3 of the first words. */
SEC("xdp")
int siphash(struct xdp_md *ctx)
{
	__u64 v[4] = {
		0x736f6d6570736575, 0x646f72616e646f6d, 0x6c7967656e657261, 0x7465646279746573,
	};
	__u64 *word = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, words = 0;

	for (int i = 0; i < 16 && (void *)(word + 1) <= (void *)end; i++, word++, words++) {
		v[3] ^= *word;
		SIPROUND(v);
		v[0] ^= *word;
	}
	v[3] ^= words << 59;
	SIPROUND(v);
	v[0] ^= words << 59;
	v[2] ^= 0xff;
	SIPROUND(v);
	SIPROUND(v);
	SIPROUND(v);
	record(0, v[0] ^ v[1] ^ v[2] ^ v[3]);
	return XDP_PASS;
}

static __u16 sorted[16];

/* The first words of the packet in order, by insertion. */
SEC("xdp")
int sort(struct xdp_md *ctx)
{
	struct cursor packet = packet_of(ctx);
	__u16 *words = take(&packet, sizeof(sorted));
	__u64 fnv = 0xcbf29ce484222325;

	if (!words)
		return XDP_PASS;
	for (int i = 0; i < 16; i++) {
		__u16 word = bpf_ntohs(words[i]);
		int at = i;

		for (int j = 0; j < 16; j++) {
			if (at <= 0 || at > 15 || sorted[at - 1] <= word)
				break;
			sorted[at] = sorted[at - 1];
			at--;
		}
		if (at >= 0 && at < 16)
			sorted[at] = word;
	}
	for (int i = 0; i < 16; i++)
		fnv = (fnv ^ sorted[i]) * 0x100000001b3;
	record(0, fnv);
	return sorted[15] > 0xf000 ? XDP_TX : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
