/* A program for each kind of hook, each of which counts its hits. Those that see all of the
   machine look at one thread alone. */
#include "bpf.h"

static u64 (*const pid_tgid)(void) = (void *)14;
static u64 (*const attach_cookie)(void *ctx) = (void *)174;
static long (*const seq_write)(void *seq, const void *data, u32 len) = (void *)127;
static long (*const sk_redirect_map)(void *skb, void *map, u32 key, u64 flags) = (void *)52;

volatile const u32 only = 0;
volatile const u64 wanted = 0;
u64 hits = 0;
u64 cookie = 0;
u64 seen = 0;

struct {
	__uint(type, 15);
	__uint(max_entries, 4);
	__type(key, u32);
	__type(value, u64);
} sockets SEC(".maps");

static __attribute__((always_inline)) void hit(void)
{
	__sync_fetch_and_add(&hits, 1);
}

static __attribute__((always_inline)) int ours(void)
{
	return only && (u32)pid_tgid() == only;
}

static __attribute__((always_inline)) int count(void *ctx)
{
	if (ours()) {
		cookie = attach_cookie(ctx);
		hit();
	}
	return 0;
}

SEC("tp/syscalls/sys_enter_getpgid") int tracepoint(void *ctx) { return count(ctx); }

SEC("raw_tp/sys_enter") int raw_tracepoint(u64 *ctx)
{
	return ctx[1] == wanted ? count(ctx) : 0;
}

SEC("tp_btf/sys_enter") int tp_btf(u64 *ctx)
{
	return ctx[1] == wanted ? count(ctx) : 0;
}

SEC("perf_event") int on_event(void *ctx) { return count(ctx); }

SEC("uprobe") int at_start(void *ctx) { return count(ctx); }
SEC("uretprobe") int at_return(void *ctx) { return count(ctx); }
SEC("uprobe.multi") int uprobes(void *ctx)
{
	if (ours()) {
		cookie += attach_cookie(ctx);
		hit();
	}
	return 0;
}
SEC("uprobe.session") int uprobe_session(void *ctx) { return count(ctx); }
SEC("kprobe/__x64_sys_getpgid") int kprobe(void *ctx) { return count(ctx); }
SEC("kprobe.multi/__x64_sys_getpgid") int kprobes(void *ctx) { return count(ctx); }
SEC("fentry/__x64_sys_getpgid") int fentry(void *ctx) { return count(ctx); }
SEC("fexit/__x64_sys_getpgid") int fexit(void *ctx) { return count(ctx); }
SEC("lsm/task_getpgid") int lsm(void *ctx) { return count(ctx); }

struct iter_meta { void *seq; u64 session; u64 number; };
struct iter_task { struct iter_meta *meta; void *task; };
SEC("iter/task") int iter_task(struct iter_task *ctx)
{
	if (ctx->task) {
		u64 number = ctx->meta->number;
		seq_write(ctx->meta->seq, &number, sizeof(number));
		hit();
	}
	return 0;
}

/* Packets. XDP, tc and netfilter say that all is well. */
SEC("xdp") int xdp_pass(struct xdp_md *ctx) { hit(); return 2; }
SEC("xdp") int xdp_drop(struct xdp_md *ctx) { hit(); return 1; }
SEC("tcx/ingress") int tcx_ingress(void *ctx) { hit(); return -1; }
SEC("tcx/egress") int tcx_egress(void *ctx) { hit(); return -1; }
SEC("tc") int tc_pass(void *ctx) { hit(); return 0; }
SEC("netkit/primary") int netkit_primary(void *ctx) { hit(); return -1; }
SEC("netfilter") int nf_accept(void *ctx) { hit(); return 1; }
SEC("socket") int socket_filter(void *ctx) { hit(); return -1; }
SEC("flow_dissector") int dissect(void *ctx) { hit(); return 0; }
SEC("sk_lookup") int lookup(void *ctx) { hit(); return 1; }

SEC("sk_msg") int msg(void *ctx) { hit(); return 1; }
SEC("sk_skb/verdict") int sk_skb_verdict(void *ctx) { hit(); return 1; }
SEC("sk_skb/stream_parser") int sk_skb_parser(u32 *ctx) { hit(); return ctx[0]; }
SEC("sk_skb/stream_verdict") int sk_skb_stream(void *ctx) { hit(); return 1; }

/* Cgroups. All is allowed. */
SEC("cgroup_skb/ingress") int cgroup_ingress(void *ctx) { hit(); return 1; }
SEC("cgroup_skb/egress") int cgroup_egress(void *ctx) { hit(); return 1; }
SEC("cgroup/sock_create") int cgroup_sock_create(void *ctx) { hit(); return 1; }
SEC("cgroup/sock_release") int cgroup_sock_release(void *ctx) { hit(); return 1; }
SEC("cgroup/post_bind4") int cgroup_post_bind4(void *ctx) { hit(); return 1; }
SEC("cgroup/bind4") int cgroup_bind4(void *ctx) { hit(); return 1; }
SEC("cgroup/connect4") int cgroup_connect4(void *ctx) { hit(); return 1; }
SEC("cgroup/connect6") int cgroup_connect6(void *ctx) { hit(); return 1; }
SEC("cgroup/connect_unix") int cgroup_connect_unix(void *ctx) { hit(); return 1; }
SEC("cgroup/sendmsg4") int cgroup_sendmsg4(void *ctx) { hit(); return 1; }
SEC("cgroup/recvmsg4") int cgroup_recvmsg4(void *ctx) { hit(); return 1; }
SEC("cgroup/getpeername4") int cgroup_getpeername4(void *ctx) { hit(); return 1; }
SEC("cgroup/getsockname4") int cgroup_getsockname4(void *ctx) { hit(); return 1; }
SEC("cgroup/getsockopt") int cgroup_getsockopt(void *ctx) { hit(); return 1; }
SEC("cgroup/setsockopt") int cgroup_setsockopt(void *ctx) { hit(); return 1; }
SEC("cgroup/sysctl") int cgroup_sysctl(void *ctx) { hit(); return 1; }
SEC("cgroup/dev") int cgroup_dev(void *ctx) { hit(); return 1; }
SEC("sockops") int sock_ops(void *ctx) { hit(); return 1; }
