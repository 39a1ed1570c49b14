/* Names of sections that loaders read in different ways, and one that none knows. */
#include "bpf.h"

SEC("classifier/ingress") int prefixed(void *ctx) { return 0; }
SEC("sockops/x") int with_more(void *ctx) { return 0; }
SEC("xdp_stats1") int old_habit(struct xdp_md *ctx) { return 2; }
