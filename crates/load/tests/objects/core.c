/* CO-RE records of all kinds, with answers and without. */
#include "bpf.h"

struct task_struct { int pid; int tgid; u64 start_time; struct task_struct *group_leader; char comm[16]; struct mm_struct *mm; int no_such_field; } __core;
struct mm_struct { int no_such_field; } __core;
struct task_struct___long { u64 pid; } __core;
struct task_struct___signed { long long pid; } __core;
struct no_such_struct { int x; } __core;
enum bpf_map_type___local { BPF_MAP_TYPE_HASH = 99, BPF_MAP_TYPE_NO_SUCH = 5 };
enum pid_type { PIDTYPE_PID, PIDTYPE_MAX = 77 };
typedef u32 no_such_typedef;
struct sk_buff { u8 cloned : 1; u8 nohdr : 1; u16 queue_mapping; } __core;

#define field(of, kind) __builtin_preserve_field_info(of, kind)
#define type(of, kind) __builtin_preserve_type_info(*(typeof(of) *)0, kind)

u64 seen[32];

SEC("kprobe/do_unlinkat")
int resolved(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct sk_buff *skb = (void *)ctx[1];

	seen[0] = task->pid;
	seen[1] = task->group_leader->tgid;
	seen[2] = task->comm[3];
	seen[3] = field(task->start_time, 0);
	seen[4] = field(task->start_time, 1);
	seen[5] = field(task->no_such_field, 2);
	seen[6] = field(task->pid, 2);
	seen[7] = field(task->pid, 3);
	seen[8] = field(skb->nohdr, 4);
	seen[9] = field(skb->nohdr, 5);
	seen[10] = field(skb->nohdr, 0);
	seen[11] = type(struct task_struct, 0);
	seen[12] = type(struct no_such_struct, 0);
	seen[13] = type(struct task_struct, 1);
	seen[14] = type(struct task_struct, 2);
	seen[15] = type(no_such_typedef, 0);
	seen[16] = __builtin_btf_type_id(*(struct task_struct *)0, 0);
	seen[17] = __builtin_btf_type_id(*(struct task_struct *)0, 1);
	seen[18] = __builtin_preserve_enum_value(*(enum pid_type *)PIDTYPE_MAX, 0);
	seen[19] = __builtin_preserve_enum_value(*(enum pid_type *)PIDTYPE_MAX, 1);
	seen[20] = ((struct task_struct___long *)task)->pid;
	return 0;
}

SEC("kprobe/do_unlinkat")
int unresolved(u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct no_such_struct *none = (void *)ctx[1];

	seen[0] = field(task->no_such_field, 0);
	seen[1] = none->x;
	seen[2] = field(none->x, 1);
	seen[3] = __builtin_preserve_enum_value(*(enum bpf_map_type___local *)BPF_MAP_TYPE_NO_SUCH, 1);
	seen[4] = task->mm->no_such_field;
	((struct task_struct___signed *)task)->pid = 3;
	return 0;
}
