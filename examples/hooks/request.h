/* What programs of SEC("hook/request") get and may call. Made by skep; the hook's owner makes it anew. */
#ifndef HOOK_REQUEST_H
#define HOOK_REQUEST_H

#include <linux/types.h>

struct Request {
	__u64 time;
	__u32 client;
	__u32 status; /* may be written */
	__u32 retry_after; /* may be written */
	__u16 port;
	__u8 method[2];
	void *path;
	void *path_end;
} __attribute__((preserve_access_index));

extern long is_trusted(__u32) __attribute__((section(".ksyms")));

extern void note(struct Request *, const void *, __u32) __attribute__((section(".ksyms")));

#endif
