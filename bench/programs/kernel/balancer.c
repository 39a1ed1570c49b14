/* A load balancer: the service of a packet, the server of its connection or else of its
 * hash, and the packet's destination rewritten. */
#include "packet.h"

struct service {
	__be32 address;
	__be16 port;
	__u16 protocol;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 512);
	__type(key, struct service);
	__type(value, __u32);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow);
	__type(value, __u32);
} connections SEC(".maps");

struct server {
	__u8 mac[6];
	__u16 up;
	struct counter counter;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct server);
} servers SEC(".maps");

SEC("xdp")
int prepare(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct service service = {};
	__u32 first = 16;

	if (!all)
		return XDP_ABORTED;
	service.address = all->ip.daddr;
	service.port = all->tcp.dest;
	service.protocol = IPPROTO_TCP;
	for (__u32 i = 0; i < 64; i++) {
		struct server server = { .mac = { 2, 0, 0, 0, 0, i }, .up = 1 };
		__u32 key = i;

		bpf_map_update_elem(&servers, &key, &server, BPF_ANY);
	}
	return bpf_map_update_elem(&services, &service, &first, BPF_ANY);
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct headers *all = headers(ctx);
	struct service service = {};
	__u32 *first, *known, number;
	struct server *server;
	struct flow flow;

	if (!all)
		return XDP_PASS;
	flow = flow_of(all);
	service.address = flow.daddr;
	service.port = flow.dport;
	service.protocol = flow.protocol;
	first = bpf_map_lookup_elem(&services, &service);
	if (!first)
		return XDP_PASS;
	known = bpf_map_lookup_elem(&connections, &flow);
	if (known) {
		number = *known;
	} else {
		number = *first + ((flow.saddr ^ flow.sport) * 0x9e3779b1 >> 28);
		bpf_map_update_elem(&connections, &flow, &number, BPF_ANY);
	}
	server = bpf_map_lookup_elem(&servers, &number);
	if (!server || !server->up)
		return XDP_DROP;
	__builtin_memcpy(all->eth.h_dest, server->mac, 6);
	server->counter.packets++;
	server->counter.bytes += length(ctx);
	return XDP_TX;
}
