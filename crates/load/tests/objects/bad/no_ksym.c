/* A kernel function that no kernel has. */
#include "../bpf.h"

int bpf_no_such_function(u32 a) __ksym;

SEC("xdp")
int pass(struct xdp_md *ctx) { return bpf_no_such_function(1); }
