// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * The loads of classic filters, which convert the byte order and end the program
 * with 0 where the packet is too short.
 */
#include "packet.h"

__u64 load_byte(void *skb, __u64 offset) asm("llvm.bpf.load.byte");
__u64 load_half(void *skb, __u64 offset) asm("llvm.bpf.load.half");
__u64 load_word(void *skb, __u64 offset) asm("llvm.bpf.load.word");

/* At offsets in the program. */
SEC("socket")
int absolute(struct __sk_buff *skb)
{
	record(0, load_byte(skb, 0));
	record(1, load_half(skb, 2));
	record(2, load_word(skb, 12));
	tally(3, 1);
	record(4, load_word(skb, 60));
	tally(5, 1);
	return load_half(skb, 2);
}

/* At offsets from the packet. */
SEC("socket")
int indirect(struct __sk_buff *skb)
{
	__u64 ihl = (load_byte(skb, 0) & 0xf) * 4;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return 1;
	record(0, load_half(skb, ihl));
	record(1, load_half(skb, ihl + 2));
	record(2, load_byte(skb, ihl + 13));
	tally(3, 1);
	return load_word(skb, skb->len - 4) | 1;
}

/* In front of the packet: the Ethernet and the network header. */
SEC("socket")
int before(struct __sk_buff *skb)
{
	__u64 half;

	asm volatile("r6 = %[skb];"
		     "r0 = *(u16 *)skb[-0x200000 + 12];"
		     "%[half] = r0;"
		     : [half] "=r"(half)
		     : [skb] "r"(skb)
		     : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
	record(0, half);
	asm volatile("r6 = %[skb];"
		     "r0 = *(u16 *)skb[-0x100000 + 2];"
		     "%[half] = r0;"
		     : [half] "=r"(half)
		     : [skb] "r"(skb)
		     : "r0", "r1", "r2", "r3", "r4", "r5", "r6");
	record(1, half);
	tally(2, 1);
	return 7;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
