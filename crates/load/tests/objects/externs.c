/* What an object may expect of the kernel, there or not. */
#include "bpf.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_NET __kconfig;
extern char CONFIG_BPF __kconfig;
extern u64 CONFIG_HZ __kconfig __weak;
extern char CONFIG_DEFAULT_HOSTNAME[8] __kconfig __weak;
extern u16 CONFIG_NO_SUCH_THING __kconfig __weak;
extern u32 LINUX_UNKNOWN_VIRTUAL __kconfig __weak;

extern const void init_task __ksym __weak;
extern const void no_such_symbol __ksym __weak;
extern const int no_such_variable __ksym __weak;

void bpf_rcu_read_lock(void) __ksym;
void bpf_rcu_read_unlock(void) __ksym;
void bpf_rcu_read_lock___flavor(void) __ksym __weak;
int bpf_no_such_function(u32 a) __ksym __weak;

u64 seen[8];

SEC("tp/sched/sched_switch")
int externs(void *ctx)
{
	seen[0] = LINUX_KERNEL_VERSION;
	seen[1] = CONFIG_BPF_SYSCALL + CONFIG_NET + CONFIG_BPF + CONFIG_HZ;
	seen[2] = CONFIG_DEFAULT_HOSTNAME[0] + CONFIG_NO_SUCH_THING + LINUX_UNKNOWN_VIRTUAL;
	seen[3] = (u64)&init_task;
	seen[4] = (u64)&no_such_symbol;
	seen[5] = (u64)&no_such_variable;
	bpf_rcu_read_lock();
	bpf_rcu_read_unlock();
	if (bpf_rcu_read_lock___flavor) {
		bpf_rcu_read_lock___flavor();
		bpf_rcu_read_unlock();
	}
	if (bpf_no_such_function)
		seen[6] = bpf_no_such_function(1);
	return 0;
}
