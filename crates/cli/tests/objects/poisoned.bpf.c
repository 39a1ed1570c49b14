// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Asks for a field that no kernel has, for packets of more than 100 bytes. Built by
 *     clang-19 -O2 -g --target=bpf -I/usr/include/x86_64-linux-gnu -c poisoned.bpf.c -o poisoned.bpf.o
 */
#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct no_such_structure {
	int no_such_field;
} __attribute__((preserve_access_index));

SEC("xdp")
int poisoned(struct xdp_md *ctx)
{
	if (ctx->data_end - ctx->data <= 100)
		return XDP_PASS;
	return bpf_core_field_offset(struct no_such_structure, no_such_field);
}

char LICENSE[] SEC("license") = "GPL";
