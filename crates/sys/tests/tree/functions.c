/* Functions of many shapes, and ways to call them. Each mode prints what it did. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SHAPE __attribute__((noinline, noclone, used))

volatile long sink;

SHAPE long plain(long a, long b) { sink += a; return a * 3 + b; }
SHAPE long text(const char *s) { return strlen(s); }
SHAPE long down(long n) { return n ? down(n - 1) + 1 : 0; }
SHAPE long callee(long a) { sink++; return a + 1; }
SHAPE long tail(long a) { sink += 2; return callee(a * 2); }
SHAPE double real(double a, double b) { sink++; return a * b + 1; }
SHAPE long table(long a) {
	for (;;) {
		switch (a) {
		case 0: return 7;
		case 1: a = 3; break;
		case 2: a = 0; break;
		case 3: a = 5; break;
		case 4: return 9;
		case 5: a = 2; break;
		default: a &= 3;
		}
		sink++;
	}
}

/* What compilers make seldom: nothing but a return, with neighbours; a jump to the second
 * instruction; a first instruction that is a call, a branch, or reads by the instruction pointer. */
long only_return(void), one_byte(void), middle(long), calls_first(long), branches(long);
long by_place(void), loops(long), jumps_away(long), by_pointer(long), neighbour(long);
long word_of_mine = 41;
long (*pointer_of_mine)(long) = callee;
__asm__(
	".text\n.p2align 4\n.globl only_return\n.type only_return,@function\nonly_return: ret\n.size only_return, .-only_return\n"
	".p2align 4\n.globl one_byte\n.type one_byte,@function\none_byte: ret\n.size one_byte, .-one_byte\n"
	".globl neighbour\n.type neighbour,@function\nneighbour: lea 5(%rdi), %rax\n ret\n.size neighbour, .-neighbour\n"
	".p2align 4\n.globl middle\n.type middle,@function\nmiddle: push %rbx\n1: mov %rdi, %rax\n dec %rdi\n jg 1b\n pop %rbx\n ret\n.size middle, .-middle\n"
	".p2align 4\n.globl calls_first\n.type calls_first,@function\ncalls_first: call callee\n add $100, %rax\n ret\n.size calls_first, .-calls_first\n"
	".p2align 4\n.globl branches\n.type branches,@function\nbranches: test %edi, %edi\n jz 2f\n mov $1, %eax\n ret\n2: mov $2, %eax\n ret\n.size branches, .-branches\n"
	".p2align 4\n.globl by_place\n.type by_place,@function\nby_place: mov word_of_mine(%rip), %rax\n ret\n.size by_place, .-by_place\n"
	".p2align 4\n.globl loops\n.type loops,@function\nloops: dec %rdi\n jg loops\n mov %rdi, %rax\n ret\n.size loops, .-loops\n"
	".p2align 4\n.globl jumps_away\n.type jumps_away,@function\njumps_away: jmp callee\n.size jumps_away, .-jumps_away\n"
	".p2align 4\n.globl by_pointer\n.type by_pointer,@function\nby_pointer: sub $8, %rsp\n call *pointer_of_mine(%rip)\n add $8, %rsp\n ret\n.size by_pointer, .-by_pointer\n"
);

static int shapes(int rounds) {
	long sum = 0;
	double r = 0;
	for (int i = 0; i < rounds; i++) {
		sum += plain(i, 1) + text("four") + down(i % 20) + tail(i) + table(i % 7);
		only_return(); one_byte();
		sum += neighbour(i) + middle(3) + calls_first(i) + branches(i & 1) + by_place() + loops(4);
		sum += jumps_away(i) + by_pointer(i);
		r += real(i, 0.5);
	}
	printf("%ld %.1f %ld\n", sum, r, sink);
	return 0;
}

static void *work(void *of) {
	long sum = 0;
	for (int i = 0; i < 2000; i++)
		sum += plain(i, (long)of) + one_byte() * 0 + middle(2) + down(3) + tail(1);
	return (void *)sum;
}

static int threads(void) {
	pthread_t all[8];
	long sum = 0;
	for (int round = 0; round < 3; round++) {
		for (long i = 0; i < 8; i++) pthread_create(&all[i], 0, work, (void *)i);
		for (int i = 0; i < 8; i++) { void *one; pthread_join(all[i], &one); sum += (long)one; }
	}
	printf("%ld\n", sum);
	return 0;
}

static int forks(void) {
	for (int i = 0; i < 20; i++) {
		pid_t child = i & 1 ? vfork() : fork();
		if (!child) { plain(1, 2); one_byte(); _exit(down(5)); }
		int status;
		waitpid(child, &status, 0);
		if (WEXITSTATUS(status) != 5) return 1;
	}
	printf("%ld\n", plain(1, 1));
	return 0;
}

static jmp_buf place;
SHAPE void leaves(int n) { if (n) leaves(n - 1); else longjmp(place, 1); sink++; }
static int jumps(void) {
	volatile int times = 0;
	for (volatile int i = 0; i < 3000; i++)
		if (setjmp(place)) times++; else leaves(i % 30);
	printf("%d %ld\n", times, down(30));
	return 0;
}

static volatile sig_atomic_t heard;
static void on_signal(int s) { heard++; plain(s, 0); one_byte(); }
static int signals(void) {
	struct sigaction sa = {.sa_handler = on_signal};
	sigset_t set, old;
	sigfillset(&sa.sa_mask);
	sigaction(SIGTRAP, &sa, 0);
	sigaction(SIGUSR1, &sa, 0);
	sigfillset(&set);
	sigprocmask(SIG_BLOCK, &set, &old);
	for (int i = 0; i < 50; i++) { one_byte(); middle(2); kill(getpid(), SIGUSR1); }
	sigpending(&set);
	int blocked;
	sigprocmask(SIG_SETMASK, &old, &set);
	blocked = sigismember(&set, SIGTRAP);
	raise(SIGTRAP);
	struct sigaction now;
	sigaction(SIGTRAP, 0, &now);
	one_byte();
	printf("%d %d %d\n", (int)heard, blocked, now.sa_handler == on_signal);
	signal(SIGTRAP, SIG_DFL);
	one_byte();
	return 0;
}

static int trapped(void) { one_byte(); fflush(stdout); raise(SIGTRAP); return 0; }

static int library(const char *path) {
	long sum = 0;
	for (int i = 0; i < 5; i++) {
		void *of = dlopen(path, RTLD_NOW | RTLD_LOCAL);
		if (!of) { puts(dlerror()); return 1; }
		long (*f)(long) = (long (*)(long))dlsym(of, "in_library");
		for (int j = 0; j < 100; j++) sum += f(j);
		dlclose(of);
	}
	printf("%ld\n", sum);
	return 0;
}

static int many(int rounds) {
	long sum = 0;
	for (int i = 0; i < rounds; i++) sum += plain(i, 0);
	printf("%ld\n", sum);
	return 0;
}

/* Writes nonsense over all that it shares with the tracer, while functions are called. */
static int hostile(unsigned seed) {
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[512];
	unsigned long from[64], to[64];
	int count = 0;
	while (fgets(line, sizeof line, maps) && count < 64)
		if (strstr(line, "skep-events") && strstr(line, "rw-s"))
			count += sscanf(line, "%lx-%lx", &from[count], &to[count]) == 2;
	fclose(maps);
	srandom(seed);
	alarm(5); /* whatever it has done to itself */
	for (int round = 0; count && round < 300; round++) {
		int at = random() % count;
		unsigned long place = from[at] + random() % (to[at] - from[at]), len = random() % 4096;
		if (random() & 1) place = from[at] + random() % 1024;
		for (unsigned long i = 0; i < len && place + i < to[at]; i++)
			*(volatile char *)(place + i) = random() & 3 ? random() : 0;
		plain(round, 1);
		down(3);
		one_byte();
	}
	return 0;
}

int main(int argc, char **argv) {
	const char *mode = argc > 1 ? argv[1] : "shapes";
	if (!strcmp(mode, "shapes")) return shapes(500);
	if (!strcmp(mode, "threads")) return threads();
	if (!strcmp(mode, "forks")) return forks();
	if (!strcmp(mode, "jumps")) return jumps();
	if (!strcmp(mode, "signals")) return signals();
	if (!strcmp(mode, "trapped")) return trapped();
	if (!strcmp(mode, "library")) return library(argv[2]);
	if (!strcmp(mode, "many")) return many(argc > 2 ? atoi(argv[2]) : 1000);
	if (!strcmp(mode, "hostile")) return hostile(argc > 2 ? atoi(argv[2]) : 1);
	if (!strcmp(mode, "again")) { plain(1, 1); execl(argv[0], argv[0], "shapes", (char *)0); }
	return 2;
}
