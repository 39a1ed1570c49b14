/* Congestion control in BPF, with members in another order than the kernel's. */
#include "bpf.h"

struct sock;
struct tcp_congestion_ops {
	char name[16];
	u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, u32 ack, u32 acked);
	u32 (*undo_cwnd)(struct sock *sk);
	void *owner;
	u32 no_such_member;
	u32 flags;
};

SEC("struct_ops/ssthresh")
u32 ssthresh(u64 *ctx) { return 5; }

SEC("struct_ops/cong_avoid")
void cong_avoid(u64 *ctx) {}

SEC("struct_ops/undo_cwnd")
u32 undo_cwnd(u64 *ctx) { return 10; }

SEC(".struct_ops.link")
struct tcp_congestion_ops lazy = {
	.name = "bpf_lazy",
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
};

SEC("?.struct_ops")
struct tcp_congestion_ops later = { .name = "bpf_later", .ssthresh = (void *)ssthresh };
