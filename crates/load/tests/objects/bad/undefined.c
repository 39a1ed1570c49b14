/* A function and a variable that no one defines. */
#include "../bpf.h"

int elsewhere(u32 a);
extern u32 limit;

SEC("xdp")
int pass(struct xdp_md *ctx) { return elsewhere(limit); }
