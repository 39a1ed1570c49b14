// SPDX-License-Identifier: MIT OR Apache-2.0
/* Functions: static and global, five arguments, pointers to the caller's stack, depth. */
#include "packet.h"

struct pair {
	__u64 left, right;
};

static __noinline __u64 mix(__u64 a, __u64 b, __u64 c, __u64 d, __u64 e)
{
	return a + 3 * b + 5 * c + 7 * d + 11 * e;
}

/* Global: verified on its own, for whatever it may be given. */
__noinline int clamp(int value, int low, int high)
{
	if (value < low)
		return low;
	if (value > high)
		return high;
	return value;
}

/* A pointer that a global function is given may be NULL. */
__noinline int swap(struct pair *pair)
{
	__u64 left;

	if (!pair)
		return -1;
	left = pair->left;
	pair->left = pair->right;
	pair->right = left;
	return 0;
}

static __noinline __u64 deepest(__u64 n, struct pair *pair)
{
	__u64 room[8];

	for (int i = 0; i < 8; i++)
		room[i] = n * (i + 1);
	opaque(n);
	pair->right += room[n % 8];
	return room[(n + 3) % 8];
}

static __noinline __u64 deeper(__u64 n, struct pair *pair)
{
	pair->left ^= deepest(n + 1, pair);
	return deepest(n + 2, pair);
}

static __noinline __u64 deep(__u64 n, struct pair *pair)
{
	return deeper(n * 2, pair) + deeper(n * 3, pair);
}

/* The packet's bounds, checked in the callee, hold in it alone. */
static __noinline int first_byte(struct xdp_md *ctx)
{
	__u8 *byte = (void *)(long)ctx->data;

	if ((void *)(byte + 1) > (void *)(long)ctx->data_end)
		return -1;
	return *byte;
}

SEC("xdp")
int subprograms(struct xdp_md *ctx)
{
	__u32 len = ctx->data_end - ctx->data;
	struct pair pair = { len, ~len };

	record(0, mix(len, len + 1, len << 2, len ^ 0x55, 1));
	record(1, clamp((int)len - 200, -50, 300));
	record(2, swap(&pair));
	record(3, deep(len, &pair));
	record(4, pair.left);
	record(5, pair.right);
	record(6, first_byte(ctx));
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
