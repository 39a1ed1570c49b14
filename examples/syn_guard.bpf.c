// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * syn_guard: drops SYN floods, source by source.
 *
 *     skep run examples/syn_guard.bpf.o --pcap examples/mixed.pcapng
 *
 * A TCP connection opens with a SYN. A source that sends more than `syn_limit` of
 * them within a window of `window_ns` is flooding: its further SYNs are dropped
 * until a window passes in which it stays within the limit. Everything else passes,
 * packets that the program cannot read included.
 *
 * Maps:
 *   sources   what we know of each source of SYNs; the least recently seen are forgotten
 *   verdicts  packets and bytes by `enum verdict`
 *   alerts    one record for each flood, when it begins
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

/*
 * Settings. `volatile const` puts them into the map `.rodata`, which a loader may
 * edit before the program is verified; the verifier then knows their values.
 */
volatile const __u32 syn_limit = 50;
volatile const __u64 window_ns = 1000000000;

/* Where an address is of IPv4, it is mapped: ::ffff:192.0.2.1. */
struct source {
	__u64 window_start; /* ns */
	__u64 dropped;      /* SYNs, in all windows */
	__u32 syns;         /* within this window, dropped ones included */
	__u32 flooding;     /* since the alert, 1 */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct in6_addr);
	__type(value, struct source);
} sources SEC(".maps");

/* Keys of `verdicts`. */
enum verdict {
	VERDICT_OTHER,   /* no SYN: passed */
	VERDICT_SYN,     /* a SYN: passed */
	VERDICT_FLOOD,   /* a SYN of a flood: dropped */
	VERDICT_COUNT,
};

struct count {
	__u64 packets;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VERDICT_COUNT);
	__type(key, __u32);
	__type(value, struct count);
} verdicts SEC(".maps");

struct alert {
	__u64 time; /* ns, of the first SYN that was dropped */
	struct in6_addr source;
	struct in6_addr destination;
	__be16 port;
	__u16 vlan; /* outer tag's id, 0 without one */
	__u32 syns; /* within the window */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 * 1024);
} alerts SEC(".maps");

/* Makes the type of the records known to those who read them. */
const struct alert *unused_alert __attribute__((unused));

/* The part of the packet that is still to be read. */
struct cursor {
	void *next;
	void *end;
};

/* The next `size` bytes, or NULL where the packet is shorter. */
static __always_inline void *take(struct cursor *packet, __u32 size)
{
	void *taken = packet->next;

	if (taken + size > packet->end)
		return NULL;
	packet->next = taken + size;
	return taken;
}

struct vlan_header {
	__be16 tci;
	__be16 protocol;
};

/* At most this many VLAN tags (QinQ has two) and IPv6 extension headers. */
#define MAX_TAGS 2
#define MAX_EXTENSIONS 6

/* The EtherType behind all tags; 0 if the packet ends before it. */
static __always_inline __be16 take_ethernet(struct cursor *packet, __u16 *vlan)
{
	struct ethhdr *eth = take(packet, sizeof(*eth));
	__be16 protocol;

	if (!eth)
		return 0;
	protocol = eth->h_proto;

	for (int i = 0; i < MAX_TAGS; i++) {
		struct vlan_header *tag;

		if (protocol != bpf_htons(ETH_P_8021Q) && protocol != bpf_htons(ETH_P_8021AD))
			break;
		tag = take(packet, sizeof(*tag));
		if (!tag)
			return 0;
		if (i == 0)
			*vlan = bpf_ntohs(tag->tci) & 0xfff;
		protocol = tag->protocol;
	}
	return protocol;
}

static __always_inline struct in6_addr mapped(__be32 address)
{
	struct in6_addr mapped = {};

	mapped.s6_addr32[2] = bpf_htonl(0xffff);
	mapped.s6_addr32[3] = address;
	return mapped;
}

/* Fills in the addresses. Whether TCP follows. */
static __always_inline bool take_ipv4(struct cursor *packet, struct alert *flow)
{
	struct iphdr *ip = take(packet, sizeof(*ip));

	if (!ip || ip->ihl < 5 || ip->protocol != IPPROTO_TCP)
		return false;
	/* Only a datagram's first fragment has the TCP header. */
	if (ip->frag_off & bpf_htons(0x1fff))
		return false;
	/* Options are skipped; who reads on checks against the packet's end. */
	packet->next = (void *)ip + ip->ihl * 4;
	flow->source = mapped(ip->saddr);
	flow->destination = mapped(ip->daddr);
	return true;
}

/* Fills in the addresses. Whether TCP follows, behind extension headers or at once. */
static __always_inline bool take_ipv6(struct cursor *packet, struct alert *flow)
{
	struct ipv6hdr *ip = take(packet, sizeof(*ip));
	__u8 next;

	if (!ip)
		return false;
	next = ip->nexthdr;
	flow->source = ip->saddr;
	flow->destination = ip->daddr;

	for (int i = 0; i < MAX_EXTENSIONS; i++) {
		/* Extension headers begin alike: what follows, and how long they are. */
		struct {
			__u8 next;
			__u8 len;
			__be16 fragment; /* offset and flags, in a fragment header */
		} *extension;

		if (next == IPPROTO_TCP)
			return true;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING &&
		    next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT)
			return false;

		extension = packet->next;
		if (!take(packet, 8))
			return false;
		if (next == IPPROTO_FRAGMENT) {
			if (extension->fragment & bpf_htons(0xfff8))
				return false;
		} else {
			/* In units of 8 bytes, the first of them not counted. */
			packet->next += extension->len * 8;
		}
		next = extension->next;
	}
	return next == IPPROTO_TCP;
}

/* Whether the packet opens a TCP connection; `flow` then says between whom. */
static __always_inline bool is_syn(struct cursor *packet, struct alert *flow)
{
	__be16 protocol = take_ethernet(packet, &flow->vlan);
	struct tcphdr *tcp;

	if (protocol == bpf_htons(ETH_P_IP)) {
		if (!take_ipv4(packet, flow))
			return false;
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		if (!take_ipv6(packet, flow))
			return false;
	} else {
		return false;
	}

	tcp = take(packet, sizeof(*tcp));
	if (!tcp || !tcp->syn || tcp->ack)
		return false;
	flow->port = tcp->dest;
	return true;
}

/*
 * Counts a SYN against its source. CPUs may race here: then a few SYNs more or less
 * pass, which does no harm. What must be exact, the alert, is decided by one atomic
 * exchange.
 */
static __always_inline enum verdict judge(struct alert *flow)
{
	struct source *source;
	__u64 now = bpf_ktime_get_ns();

	source = bpf_map_lookup_elem(&sources, &flow->source);
	if (!source) {
		struct source first = { .window_start = now, .syns = 1 };

		bpf_map_update_elem(&sources, &flow->source, &first, BPF_ANY);
		return VERDICT_SYN;
	}

	if (now - source->window_start >= window_ns) {
		/* The flood is over once a whole window stayed within the limit. */
		if (source->syns <= syn_limit || now - source->window_start >= 2 * window_ns)
			source->flooding = 0;
		source->window_start = now;
		source->syns = 0;
	}
	source->syns++;
	if (source->syns <= syn_limit)
		return VERDICT_SYN;

	source->dropped++;
	if (__sync_lock_test_and_set(&source->flooding, 1) == 0) {
		flow->time = now;
		flow->syns = source->syns;
		bpf_ringbuf_output(&alerts, flow, sizeof(*flow), 0);
	}
	return VERDICT_FLOOD;
}

SEC("xdp")
int syn_guard(struct xdp_md *ctx)
{
	struct cursor packet = {
		.next = (void *)(long)ctx->data,
		.end = (void *)(long)ctx->data_end,
	};
	__u64 bytes = packet.end - packet.next;
	struct alert flow = {};
	__u32 verdict = VERDICT_OTHER;
	struct count *count;

	if (is_syn(&packet, &flow))
		verdict = judge(&flow);

	/* This CPU's own slot: no other CPU writes to it. */
	count = bpf_map_lookup_elem(&verdicts, &verdict);
	if (count) {
		count->packets++;
		count->bytes += bytes;
	}
	return verdict == VERDICT_FLOOD ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
