// SPDX-License-Identifier: MIT OR Apache-2.0
/* Global variables of every section, whole structures and arrays among them. */
#include "packet.h"

struct window {
	__u64 bytes;
	__u16 longest;
	__s8 trend;
};

/* .bss */
__u64 packets;
struct window windows[8];
static __u32 history[16];

/* .data */
__s64 balance = -1000;
__u8 pattern[11] = { 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89 };

/* .rodata: the first may be edited before loading, the second not even read there */
volatile const __u32 step = 3;
const char greeting[] = "a string in .rodata";

/* Sections of their own are maps of their own. */
__u32 hidden SEC(".data.hidden") = 0x600df00d;
const __u16 primes[] SEC(".rodata.primes") = { 2, 3, 5, 7, 11, 13, 17, 19 };

SEC("xdp")
int globals(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data, at;
	struct window *window = &windows[packets % 8];

	packets++;
	window->bytes += len;
	if (len > window->longest)
		window->longest = len;
	window->trend += len > history[packets % 16] ? 1 : -1;
	history[packets % 16] = len;
	balance += (__s64)len - (__s64)step * 100;

	at = len % sizeof(pattern);
	/* The verifier does not know what a remainder is below. */
	opaque(at);
	if (at >= sizeof(pattern))
		return XDP_ABORTED;
	pattern[at] = pattern[at] * 3 + 1;
	at = len % (sizeof(primes) / sizeof(primes[0]));
	hidden = hidden * primes[at] + greeting[len % 16];
	return balance < 0 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
