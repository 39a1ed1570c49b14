// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * hello: the smallest useful XDP program. It counts packets and says hello to each.
 *
 *     skep run examples/hello.bpf.o --pcap examples/mixed.pcapng
 *
 * On Linux the greetings appear in /sys/kernel/tracing/trace_pipe.
 */
#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

/* A global variable is a map as well: all of them together are the map `.bss`. */
__u64 packets;

SEC("xdp")
int hello(struct xdp_md *ctx)
{
	/* Programs run on all CPUs at once, hence an atomic addition. */
	__sync_fetch_and_add(&packets, 1);

	bpf_printk("hello, packet of %u bytes", ctx->data_end - ctx->data);
	return XDP_PASS;
}

/* bpf_printk() is for programs that say they are compatible with the GPL. */
char LICENSE[] SEC("license") = "Dual MIT/GPL";
