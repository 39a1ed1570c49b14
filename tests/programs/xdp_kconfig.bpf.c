// SPDX-License-Identifier: MIT OR Apache-2.0
/* What the loader knows of the kernel: its version, its configuration, what is not in it. */
#include "packet.h"

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig __weak;
extern int CONFIG_OF_NO_KERNEL __kconfig __weak;
extern const void a_symbol_of_no_kernel __ksym __weak;

SEC("xdp")
int kconfig(struct xdp_md *ctx)
{
	record(0, LINUX_KERNEL_VERSION >> 16);
	record(1, CONFIG_BPF_SYSCALL);
	record(2, CONFIG_OF_NO_KERNEL);
	record(3, &a_symbol_of_no_kernel != NULL);
	return ctx->ingress_ifindex ? XDP_PASS : XDP_DROP;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
