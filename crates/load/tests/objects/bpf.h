/* The little of BPF's C that the objects here need. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int (*name)[value]
#define __ulong(name, value) enum { ulong_##name = value } name
#define __type(name, type) typeof(type) *name
#define __array(name, type) typeof(type) *name[]
#define __weak __attribute__((weak))
#define __hidden __attribute__((visibility("hidden")))
#define __noinline __attribute__((noinline))
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
#define __core __attribute__((preserve_access_index))

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

enum {
	MAP_HASH = 1, MAP_ARRAY = 2, MAP_PROG_ARRAY = 3, MAP_PERF_EVENT_ARRAY = 4,
	MAP_PERCPU_ARRAY = 6, MAP_LPM_TRIE = 11, MAP_ARRAY_OF_MAPS = 12, MAP_RINGBUF = 27,
	MAP_BLOOM_FILTER = 30,
};

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const map_update)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static u64 (*const ktime)(void) = (void *)5;
static long (*const trace_printk)(const char *format, u32 size, ...) = (void *)6;
static long (*const tail_call)(void *ctx, void *map, u32 index) = (void *)12;
static long (*const ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static long (*const loop)(u32 count, void *body, void *ctx, u64 flags) = (void *)181;

struct xdp_md { u32 data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex; };

char _license[] SEC("license") = "GPL";
