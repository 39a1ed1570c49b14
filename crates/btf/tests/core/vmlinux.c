/* Records about types that every kernel has, in part as they were or never were. */
#include "types.h"

#define CORE __attribute__((preserve_access_index))
#define SEC(name) __attribute__((section(name), used))

struct list_head {
	struct list_head *next;
} CORE;

struct task_struct {
	int pid;
	int tgid;
	char comm[16];
	struct task_struct *real_parent;
	struct list_head tasks;
	unsigned int flags;
	unsigned in_execve : 1;
	u64 start_time;
} CORE;

struct task_struct___never {
	int pid;
	int no_such_field;
} CORE;

struct sk_buff {
	unsigned int len;
	u8 pkt_type : 3;
	u8 ip_summed : 2;
	u16 protocol;
	unsigned char *data;
	char cb[48];
} CORE;

struct sock_common {
	union {
		struct {
			u32 skc_daddr;
			u32 skc_rcv_saddr;
		};
	};
	u16 skc_family;
} CORE;

struct file {
	void *private_data;
	s64 f_pos;
} CORE;

struct inode {
	u64 i_size;
	u32 i_mode;
} CORE;

struct no_such_struct {
	int x;
} CORE;

enum bpf_map_type { BPF_MAP_TYPE_ARRAY = 100, BPF_MAP_TYPE_NONE___x = 200 };
enum no_such_enum { NO_SUCH_VALUE = 1 };

#define FIELD(access, what) sum += __builtin_preserve_field_info(access, what);
#define PLACE(access) FIELD(access, 0) FIELD(access, 1) FIELD(access, 2)
#define NUMBER(access) PLACE(access) FIELD(access, 3) FIELD(access, 4) FIELD(access, 5)
#define TYPE(type)                                             \
	sum += __builtin_btf_type_id(*(type *)0, 1);            \
	sum += __builtin_preserve_type_info(*(type *)0, 0);     \
	sum += __builtin_preserve_type_info(*(type *)0, 1);

SEC("socket") u64 fields(void *ctx)
{
	struct task_struct *t = (void *)1;
	struct task_struct___never *n = (void *)2;
	struct sk_buff *skb = (void *)3;
	struct sock_common *sk = (void *)4;
	struct file *f = (void *)5;
	struct inode *i = (void *)6;
	struct no_such_struct *x = (void *)7;
	u64 sum = 0;

	NUMBER(t->pid) NUMBER(t->tgid) PLACE(t->comm) PLACE(t->comm[5]) PLACE(t->real_parent)
	PLACE(t->tasks.next) NUMBER(t->flags) NUMBER(t->in_execve) NUMBER(t->start_time)
	NUMBER(n->pid) NUMBER(n->no_such_field)
	NUMBER(skb->len) NUMBER(skb->pkt_type) NUMBER(skb->ip_summed) NUMBER(skb->protocol)
	PLACE(skb->data) PLACE(skb->cb) PLACE(skb->cb[7])
	NUMBER(sk->skc_daddr) NUMBER(sk->skc_rcv_saddr) NUMBER(sk->skc_family)
	PLACE(f->private_data) NUMBER(f->f_pos) NUMBER(i->i_size) NUMBER(i->i_mode)
	NUMBER(x->x)
	return sum;
}

SEC("socket") u64 loads(void *ctx)
{
	struct task_struct *t = (void *)1;
	struct sk_buff *skb = (void *)3;
	struct inode *i = (void *)6;

	return t->pid + t->start_time + (u64)t->real_parent + t->comm[2] + skb->len +
	       skb->protocol + i->i_size + i->i_mode;
}

SEC("socket") u64 types(void *ctx)
{
	u64 sum = 0;

	TYPE(struct task_struct) TYPE(struct task_struct___never) TYPE(struct no_such_struct)
	TYPE(struct sk_buff) TYPE(enum bpf_map_type) TYPE(enum no_such_enum)
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_ARRAY, 0);
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_ARRAY, 1);
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_NONE___x, 0);
	sum += __builtin_preserve_enum_value(*(enum bpf_map_type *)BPF_MAP_TYPE_NONE___x, 1);
	return sum;
}

char _license[] SEC("license") = "GPL";
