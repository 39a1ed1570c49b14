/* Sums up the words of a packet in a callback of bpf_loop. */
#include "packet.h"

struct sum {
	struct xdp_md *ctx;
	__u64 words;
};

static long add(__u32 index, struct sum *sum)
{
	void *data = (void *)(long)sum->ctx->data;
	__u32 *word = data + 4 * (index & 255);

	if ((void *)(word + 1) > (void *)(long)sum->ctx->data_end)
		return 1;
	sum->words += *word;
	return 0;
}

SEC("xdp")
int program(struct xdp_md *ctx)
{
	struct sum sum = { .ctx = ctx };

	bpf_loop(64, add, &sum, 0);
	return sum.words + (sum.words >> 32);
}
