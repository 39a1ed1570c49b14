// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Is right only while a variable is 0. Built by
 *     clang-19 -O2 -g --target=bpf -I/usr/include/x86_64-linux-gnu -c setting.bpf.c -o setting.bpf.o
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

const volatile int unchecked = 0;

SEC("xdp")
int setting(struct xdp_md *ctx)
{
	if (unchecked)
		return *(volatile char *)(long)ctx->data;
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
