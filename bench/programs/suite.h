/* What every program of the suite starts with: fixed-width types, and PROGRAM, which
 * makes an XDP program of a body that gets the packet's first `size` bytes. The
 * context holds 32-bit addresses, as Linux's does; who runs a program elsewhere keeps
 * the packet below 4 GiB. */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

struct context {
	u32 data;
	u32 data_end;
};

#define inline static inline __attribute__((always_inline))
#define U16(p, off) (*(u16 *)((p) + (off)))
#define U32(p, off) (*(u32 *)((p) + (off)))
#define U64(p, off) (*(u64 *)((p) + (off)))

#define PROGRAM(size)                                                                        \
	inline u64 body(u8 *p);                                                              \
	__attribute__((section("xdp"), used)) u32 program(struct context *context)           \
	{                                                                                    \
		u8 *p = (u8 *)(unsigned long)context->data;                                  \
		u64 r;                                                                       \
		if (p + (size) > (u8 *)(unsigned long)context->data_end)                     \
			return 0;                                                            \
		r = body(p);                                                                 \
		return r ^ r >> 32;                                                          \
	}                                                                                    \
	inline u64 body(u8 *p)

inline u32 rotl32(u32 x, int n)
{
	return x << n | x >> (32 - n);
}

inline u64 rotl64(u64 x, int n)
{
	return x << n | x >> (64 - n);
}
