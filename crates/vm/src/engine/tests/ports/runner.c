// Runs machine code that it is given, on a machine that need not be ours: reads records
// of a header, code and memory, calls the code with the memory, and writes what it
// returned, how it left, and the memory. No library is around it.
//
// The test gives the offsets of the state's fields and the size of the stack.

typedef unsigned long u64;
typedef unsigned int u32;
typedef unsigned char u8;

enum { READ, WRITE, EXIT, MPROTECT };

static long system_call(int which, long a, long b, long c) {
#if defined(__x86_64__)
    static const long numbers[] = {0, 1, 60, 10};
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(numbers[which]), "D"(a), "S"(b), "d"(c)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    static const long numbers[] = {63, 64, 93, 226};
    register long x8 __asm__("x8") = numbers[which];
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
    return x0;
#elif defined(__riscv)
    static const long numbers[] = {63, 64, 93, 226};
    register long a7 __asm__("a7") = numbers[which];
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2) : "memory");
    return a0;
#elif defined(__s390x__)
    static const long numbers[] = {3, 4, 1, 125};
    register long r1 __asm__("r1") = numbers[which];
    register long r2 __asm__("r2") = a;
    register long r3 __asm__("r3") = b;
    register long r4 __asm__("r4") = c;
    __asm__ volatile("svc 0" : "+r"(r2) : "r"(r1), "r"(r3), "r"(r4) : "memory", "cc");
    return r2;
#endif
}

static void leave(int status) {
    system_call(EXIT, status, 0, 0);
    __builtin_trap();
}

// Gives 0 where there is nothing more.
static int take(void *into, u64 len) {
    u64 done = 0;
    while (done < len) {
        long got = system_call(READ, 0, (long)((u8 *)into + done), (long)(len - done));
        if (got == 0 && done == 0)
            return 0;
        if (got <= 0)
            leave(2);
        done += (u64)got;
    }
    return 1;
}

static void give(const void *from, u64 len) {
    while (len > 0) {
        long done = system_call(WRITE, 1, (long)from, (long)len);
        if (done <= 0)
            leave(3);
        from = (const u8 *)from + done;
        len -= (u64)done;
    }
}

// What the header says, in the order of bytes that the machine has.
struct header {
    u64 code;
    u64 memory;
    u64 budget;
};

static u8 code[1 << 20] __attribute__((aligned(1 << 16)));
static u8 memory[1 << 16] __attribute__((aligned(16)));
static u8 stack[STACK_SIZE] __attribute__((aligned(16)));
static u64 state[STATE_SIZE / 8];

#define FIELD(offset) (*(u64 *)((u8 *)state + (offset)))

static void clear(volatile u8 *bytes, u64 len) {
    for (u64 at = 0; at < len; at++)
        bytes[at] = 0;
}

typedef u64 entry(void *, u64, u64, u64, u64, u64);

__attribute__((used)) static void run_all(void) {
    struct header header;
    // Readable, writable, executable.
    if (system_call(MPROTECT, (long)code, sizeof code, 7) != 0)
        leave(5);
    while (take(&header, sizeof header)) {
        if (header.code > sizeof code || header.memory > sizeof memory)
            leave(4);
        if (header.code > 0)
            take(code, header.code);
        if (header.memory > 0)
            take(memory, header.memory);
        __asm__ volatile("" ::: "memory");
#if defined(__aarch64__)
        for (u64 at = 0; at < header.code; at += 16)
            __asm__ volatile("dc cvau, %0\n dsb ish\n ic ivau, %0" ::"r"(code + at) : "memory");
        __asm__ volatile("dsb ish\n isb" ::: "memory");
#elif defined(__riscv)
        __asm__ volatile("fence.i" ::: "memory");
#endif
        clear(stack, sizeof stack);
        clear((u8 *)state, sizeof state);
        FIELD(BUDGET) = header.budget;
        FIELD(FRAME) = (u64)stack + FRAME_SIZE;
        FIELD(STACK) = (u64)stack;
        FIELD(LIMIT) = (u64)stack + 8 * FRAME_SIZE;
        FIELD(MEMORY) = (u64)memory;
        for (int at = 0; at < 4; at++) {
            u64 size = 1ul << at;
            FIELD(PLACES + 8 * at) = header.memory + 1 > size ? header.memory + 1 - size : 0;
        }
        u64 argument = header.memory > 0 ? (u64)memory : 0;
        u64 result[2];
        result[0] = ((entry *)code)(state, argument, header.memory, 0, 0, 0);
        result[1] = *(u32 *)((u8 *)state + EXIT_FIELD);
        give(result, sizeof result);
        if (header.memory > 0)
            give(memory, header.memory);
    }
    leave(0);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start: and $-16, %rsp\n call run_all\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start: bl run_all\n");
#elif defined(__riscv)
__asm__(".globl _start\n_start: .option push\n .option norelax\n la gp, __global_pointer$\n"
        " .option pop\n call run_all\n");
#elif defined(__s390x__)
__asm__(".globl _start\n_start: aghi %r15, -160\n brasl %r14, run_all\n");
#endif
