/* Programs that would notice: each mode does what is easily broken by a handler of SIGSYS, and
 * says what it saw. Run bare and traced, both must say the same. `calls` of getppid are counted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void calls(int n) { while (n-- > 0) syscall(SYS_getppid); }

static void *thread(void *n) { calls((int)(long)n); return 0; }
static int threads(void) {
    pthread_t t[8];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 8; i++) if (pthread_create(&t[i], 0, thread, (void *)200L)) return 1;
        for (int i = 0; i < 8; i++) pthread_join(t[i], 0);
    }
    puts("joined");
    return 0;
}

static int forks(void) {
    for (int i = 0; i < 50; i++) {
        pid_t p = fork();
        if (!p) { calls(10); _exit(i); }
        int st; waitpid(p, &st, 0);
        if (WEXITSTATUS(st) != i) return 1;
    }
    puts("forked");
    return 0;
}

static int vforks(void) {
    for (int i = 0; i < 50; i++) {
        pid_t p = vfork();
        if (!p) { if (i & 1) execl("/bin/true", "true", NULL); syscall(SYS_getppid); _exit(7); }
        int st; waitpid(p, &st, 0);
        printf("%d", WEXITSTATUS(st));
    }
    puts("");
    return 0;
}

static atomic_int hits;
static void on_usr(int s) { (void)s; hits++; syscall(SYS_getppid); }
static int storm(void) {
    struct sigaction a = { .sa_handler = on_usr };
    sigaction(SIGUSR1, &a, 0);
    pid_t me = getpid();
    pid_t p = fork();
    if (!p) {
        for (int i = 0; i < 2000; i++) { kill(me, SIGUSR1); if (!(i & 15)) sched_yield(); }
        _exit(0);
    }
    int st;
    while (waitpid(p, &st, 0) < 0 && errno == EINTR) ;
    printf("storm %d\n", hits > 0);
    return 0;
}

static sigjmp_buf env;
static void jumps(int s) { (void)s; siglongjmp(env, 1); }
static int longjmps(void) {
    signal(SIGALRM, jumps);
    int fd[2], n = 0; char c;
    if (pipe(fd)) return 1;
    for (int i = 0; i < 100; i++) {
        if (sigsetjmp(env, 1)) { n++; continue; }
        struct itimerval t = { .it_value = { 0, 500 } };
        setitimer(ITIMER_REAL, &t, 0);
        for (;;) if (read(fd[0], &c, 1) < 0) printf("read\n");
    }
    printf("jumped %d\n", n);
    return 0;
}

static int interrupted(void) {
    struct sigaction a = { .sa_handler = on_usr };
    sigaction(SIGALRM, &a, 0);
    int fd[2]; char c;
    if (pipe(fd)) return 1;
    /* again and again: one that comes too early interrupts nothing */
    struct itimerval t = { .it_value = { 0, 2000 }, .it_interval = { 0, 2000 } };
    setitimer(ITIMER_REAL, &t, 0);
    ssize_t got = read(fd[0], &c, 1);
    printf("%zd %d\n", got, errno);
    a.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &a, 0);
    pid_t p = fork(); /* timers are the parent's alone */
    if (!p) { usleep(20000); if (write(fd[1], "x", 1)) _exit(0); }
    errno = 0;
    got = read(fd[0], &c, 1);
    printf("%zd %d\n", got, errno);
    struct timespec ts = { 10, 0 }, left;
    int r = nanosleep(&ts, &left);
    printf("%d %d\n", r, errno);
    memset(&t, 0, sizeof t); setitimer(ITIMER_REAL, &t, 0);
    return 0;
}

static int altstack(void) {
    static char small[8192 + 4096];
    stack_t s = { .ss_sp = small, .ss_size = sizeof small };
    if (sigaltstack(&s, 0)) return 1;
    struct sigaction a = { .sa_handler = on_usr, .sa_flags = SA_ONSTACK };
    sigaction(SIGUSR1, &a, 0);
    for (int i = 0; i < 50; i++) raise(SIGUSR1);
    stack_t now; sigaltstack(0, &now);
    printf("alt %d %d %d\n", (int)hits, now.ss_sp == small, now.ss_flags);
    return 0;
}

static void on_sys(int s, siginfo_t *i, void *u) { (void)u; printf("SIGSYS %d %d\n", s, i->si_code); fflush(stdout); }
static int sigsys(void) {
    struct sigaction a = { .sa_sigaction = on_sys, .sa_flags = SA_SIGINFO }, o;
    sigaction(SIGSYS, &a, 0);
    sigaction(SIGSYS, 0, &o);
    printf("mine %d\n", o.sa_sigaction == on_sys);
    raise(SIGSYS);
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    printf("was %d\n", sigismember(&old, SIGSYS));
    calls(20);
    sigprocmask(SIG_SETMASK, &old, &all);
    printf("blocked %d\n", sigismember(&all, SIGSYS));
    signal(SIGSYS, SIG_IGN);
    raise(SIGSYS);
    puts("ignored"); fflush(stdout);
    signal(SIGSYS, SIG_DFL);
    raise(SIGSYS);
    puts("never");
    return 0;
}

static int masks(void) {
    long bad[] = { 0, 8, -1, 0x1000, -4096, 0x7fffffffe000 };
    for (int i = 1; i < 6; i++) {
        printf("%ld ", syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad[i], 0, 8)); printf("%d ", errno);
        printf("%ld ", syscall(SYS_rt_sigaction, SIGUSR2, bad[i], 0, 8)); printf("%d ", errno);
        printf("%ld ", syscall(SYS_rt_sigaction, SIGSYS, bad[i], 0, 8)); printf("%d ", errno);
        printf("%ld ", syscall(SYS_rt_sigaction, SIGSYS, 0, bad[i], 8)); printf("%d ", errno);
        printf("%ld ", syscall(SYS_rt_sigsuspend, bad[i], 8)); printf("%d ", errno);
        struct timespec t = { 0, 0 };
        printf("%ld ", syscall(SYS_ppoll, 0, 0, &t, bad[i], 8)); printf("%d ", errno);
        printf("%ld ", syscall(SYS_pselect6, 0, 0, 0, 0, &t, bad[i])); printf("%d ", errno);
        printf("%ld ", syscall(SYS_clone3, bad[i], 88)); printf("%d\n", errno);
    }
    sigset_t s; sigfillset(&s);
    struct timespec t = { 0, 1000000 };
    int e = epoll_create1(0); struct epoll_event ev;
    printf("%d %d %d\n", ppoll(0, 0, &t, &s), pselect(0, 0, 0, 0, &t, &s), epoll_pwait(e, &ev, 1, 1, &s));
    calls(10);
    return 0;
}

static int filter(void) {
    struct sock_filter f[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog p = { 6, f };
    printf("%ld ", syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, 0)); printf("%d\n", errno);
    fflush(stdout);
    calls(10);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p)) return 1;
    syscall(SYS_getppid);
    if (write(1, "filtered\n", 9) != 9) return 2;
    syscall(SYS_exit_group, 5);
    return 0;
}

static int strict(void) {
    fflush(stdout);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    if (write(1, "strict\n", 7) != 7) return 2;
    syscall(SYS_exit, 6);
    return 0;
}

static void cleaned(void *p) { printf("cleanup %s\n", (char *)p); fflush(stdout); }
static void *cancelled(void *fd) {
    char c;
    pthread_cleanup_push(cleaned, "ran");
    for (;;) if (read(*(int *)fd, &c, 1) < 0) break;
    pthread_cleanup_pop(0);
    return 0;
}
static int cancel(void) {
    for (int i = 0; i < 20; i++) {
        int fd[2]; pthread_t t; void *r;
        if (pipe(fd)) return 1;
        pthread_create(&t, 0, cancelled, fd);
        usleep(2000);
        pthread_cancel(t);
        pthread_join(t, &r);
        printf("%d\n", r == PTHREAD_CANCELED);
        close(fd[0]); close(fd[1]);
    }
    return 0;
}

static int gate(void) {
    int pid; /* 20 is getpid there */
    for (int i = 0; i < 5; i++) {
        asm volatile("int $0x80" : "=a"(pid) : "a"(20) : "memory");
        printf("%d ", pid == getpid() || pid == -ENOSYS);
    }
    puts("");
    return 0;
}

static int gsbase(void) {
    unsigned long v = 1;
    syscall(SYS_arch_prctl, 0x1004, &v); printf("gs %lx\n", v);
    syscall(SYS_arch_prctl, 0x1001, 0x123456000); 
    syscall(SYS_arch_prctl, 0x1004, &v); printf("gs %lx\n", v);
    calls(10);
    syscall(SYS_arch_prctl, 0x1004, &v); printf("gs %lx\n", v);
    return 0;
}

static int many_sites(void) {
    /* 100 places that fork, each with its own instruction */
    static const unsigned char code[] = { 0xb8, 57, 0, 0, 0, 0x0f, 0x05, 0xc3 };
    unsigned char *m = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int sum = 0;
    for (int i = 0; i < 100; i++) {
        memcpy(m + 16 * i, code, 8);
        long p = ((long (*)(void))(m + 16 * i))();
        if (!p) { calls(1); _exit(1); }
        int st; waitpid(p, &st, 0); sum += WEXITSTATUS(st);
    }
    printf("sites %d\n", sum);
    return 0;
}

static int registers(void) {
    /* all registers, flags and the red zone survive a call, caught and patched */
    int bad = 0;
    for (int i = 0; i < 10; i++) {
        unsigned long b; 
        asm volatile(
            "mov %%rsp,%%r15\n mov $0x1111,%%rdi\n mov $0x2222,%%rsi\n mov $0x3333,%%rdx\n mov $0x4444,%%r10\n mov $0x5555,%%r8\n mov $0x6666,%%r9\n"
            "mov $0x7777,%%rbx\n mov $0x8888,%%r12\n mov $0x9999,%%r13\n mov $0xaaaa,%%r14\n movq %%rbx,%%xmm0\n movq %%r12,%%xmm15\n"
            "movq $0xbbbb,-128(%%rsp)\n movq $0xcccc,-8(%%rsp)\n stc\n mov $110,%%eax\n syscall\n"
            "mov $0,%%eax\n jc 1f\n or $1,%%eax\n 1: cmp %%rsp,%%r15\n je 2f\n or $2,%%eax\n 2: cmp $0x1111,%%rdi\n je 3f\n or $4,%%eax\n 3: cmp $0x2222,%%rsi\n je 4f\n or $8,%%eax\n"
            "4: cmp $0x3333,%%rdx\n je 5f\n or $16,%%eax\n 5: cmp $0x4444,%%r10\n je 6f\n or $32,%%eax\n 6: cmp $0x5555,%%r8\n je 7f\n or $64,%%eax\n 7: cmp $0x6666,%%r9\n je 8f\n or $128,%%eax\n"
            "8: cmp $0x7777,%%rbx\n je 9f\n or $256,%%eax\n 9: cmpq $0xbbbb,-128(%%rsp)\n je 10f\n or $512,%%eax\n 10: cmpq $0xcccc,-8(%%rsp)\n je 11f\n or $1024,%%eax\n"
            "11: movq %%xmm0,%%rcx\n cmp %%rcx,%%rbx\n je 12f\n or $2048,%%eax\n 12: movq %%xmm15,%%rcx\n cmp %%rcx,%%r12\n je 13f\n or $4096,%%eax\n 13: cmp $0x9999,%%r13\n je 14f\n or $8192,%%eax\n 14:\n"
            : "=a"(b) : : "rdi", "rsi", "rdx", "r10", "r8", "r9", "rbx", "r12", "r13", "r14", "r15", "rcx", "r11", "xmm0", "xmm15", "memory", "cc");
        bad |= b;
    }
    printf("changed %x\n", bad);
    return 0;
}

static void *exec_from(void *p) { execl("/bin/echo", "echo", p, NULL); return 0; }
static int exec_thread(void) {
    pthread_t t, o;
    pthread_create(&o, 0, thread, (void *)1000000L);
    pthread_create(&t, 0, exec_from, "from a thread");
    pthread_join(t, 0);
    return 9;
}

static int failing(void) {
    char *none[] = { "x", 0 };
    int f = open("/tmp", O_RDONLY);
    printf("%d %d\n", execv("/etc/passwd", none), errno);
    printf("%d %d\n", execv("/nonexistent", none), errno);
    printf("%d %d\n", execv("/tmp", none), errno);
    printf("%d %d\n", execv((char *)8, none), errno);
    printf("%d %d\n", execv("/bin/true", (char **)8), errno);
    printf("%d %d\n", execveat(f, "", none, none, AT_EMPTY_PATH), errno);
    char path[] = "/tmp/skep-tree-XXXXXX";
    int t = mkstemp(path);
    if (write(t, "\177ELF nonsense", 13) != 13) return 1;
    fchmod(t, 0755); close(t);
    printf("%d %d\n", execv(path, none), errno);
    unlink(path);
    calls(10);
    fflush(stdout);
    execl("/bin/sh", "sh", "-c", "exec /bin/echo done", NULL);
    return 1;
}

static int killed(void) { calls(10); kill(getpid(), SIGKILL); return 0; }
static int crashed(void) { calls(10); *(volatile int *)8 = 1; return 0; }

/* A thread that unmaps its own stack at its end, as musl's do. */
static int unmapself(void) {
    for (int i = 0; i < 20; i++) {
        char *stack = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static volatile int tid;
        tid = 1;
        long flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;
        register long r10 asm("r10") = (long)&tid;
        register long r8 asm("r8") = 0;
        long r;
        asm volatile("mov $56,%%eax\n syscall\n test %%eax,%%eax\n jnz 1f\n"
            "mov $110,%%eax\n syscall\n mov %4,%%rdi\n mov $65536,%%esi\n mov $11,%%eax\n syscall\n xor %%edi,%%edi\n mov $60,%%eax\n syscall\n hlt\n 1:"
            : "=&a"(r) : "D"(flags), "S"(stack + 65536 - 64), "d"(0L), "r"(stack), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
        if (r < 0) return 1;
        while (tid) sched_yield();
        /* what was its stack is nobody's any more */
        if (mincore(stack, 65536, (unsigned char[16]){ 0 }) != -1 || errno != ENOMEM) return 2;
    }
    puts("unmapped");
    return 0;
}

static int many_calls(void) { calls(100000); return 0; }

/* Overwrites all memory that it shares with others, again and again, and makes calls meanwhile. */
static int hostile(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512]; unsigned long from[64], to[64]; int n = 0;
    while (n < 64 && fgets(line, sizeof line, f))
        if (strstr(line, "rw-s") && sscanf(line, "%lx-%lx", &from[n], &to[n]) == 2) n++;
    fclose(f);
    unsigned long x = (unsigned long)getpid() * 0x9e3779b97f4a7c15ul | 1;
    alarm(1); /* whatever it has done to itself */
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < n; i++)
            for (unsigned long *p = (void *)from[i]; p < (unsigned long *)to[i]; p++) {
                x ^= x << 13; x ^= x >> 7; x ^= x << 17;
                /* now and then what is nearly right */
                *p = (x & 7) ? x : (x >> 40) & 0xffff;
                if (!(x & 0xffff)) getppid();
            }
    }
    return 3;
}

int main(int argc, char **argv) {
    static const struct { const char *name; int (*run)(void); } modes[] = {
        { "threads", threads }, { "forks", forks }, { "vforks", vforks }, { "storm", storm }, { "longjmps", longjmps },
        { "interrupted", interrupted }, { "altstack", altstack }, { "sigsys", sigsys }, { "masks", masks }, { "filter", filter },
        { "strict", strict }, { "cancel", cancel }, { "gate", gate }, { "gsbase", gsbase }, { "many_sites", many_sites },
        { "registers", registers }, { "exec_thread", exec_thread }, { "failing", failing }, { "killed", killed }, { "crashed", crashed },
        { "unmapself", unmapself }, { "many_calls", many_calls }, { "hostile", hostile },
    };
    for (unsigned i = 0; argc > 1 && i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(argv[1], modes[i].name)) return modes[i].run();
    return 99;
}
