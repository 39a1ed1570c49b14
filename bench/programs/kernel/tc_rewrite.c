/* Traffic control: rewrites the source address and has both checksums mended. */
#include "packet.h"

#include <stddef.h>

SEC("tc")
int program(struct __sk_buff *skb)
{
	__u32 at = ETH_HLEN + offsetof(struct iphdr, saddr);
	__be32 old, new;

	if (bpf_skb_load_bytes(skb, at, &old, sizeof(old)))
		return TC_ACT_SHOT;
	new = old ^ bpf_htonl(1);
	bpf_l4_csum_replace(skb, offsetof(struct headers, tcp.check), old, new,
			    BPF_F_PSEUDO_HDR | sizeof(new));
	bpf_l3_csum_replace(skb, offsetof(struct headers, ip.check), old, new, sizeof(new));
	if (bpf_skb_store_bytes(skb, at, &new, sizeof(new), 0))
		return TC_ACT_SHOT;
	return TC_ACT_OK;
}
