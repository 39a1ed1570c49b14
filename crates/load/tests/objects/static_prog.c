/* A static function as a program of its own, as tail calls of Cilium's are: libbpf wants
 * programs to be global, cilium/ebpf and aya do not. */
#include "bpf.h"

static int hidden(struct xdp_md *ctx) __attribute__((used, section("xdp")));
static int hidden(struct xdp_md *ctx)
{
	return *(int *)0;
}

SEC("xdp")
int shown(struct xdp_md *ctx)
{
	return 2;
}
