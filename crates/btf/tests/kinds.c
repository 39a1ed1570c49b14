/* A type of each kind, for the dumps and the header. */
#define SEC(name) __attribute__((section(name), used))
#define decl_tag(text) __attribute__((btf_decl_tag(text)))
#define type_tag(text) __attribute__((btf_type_tag(text)))

enum plain { ONE = 1, TWO };
enum negative { MINUS = -1, PLUS = 1 };
enum wide { HUGE_VALUE = 0x123456789abcdefULL };
enum wide_negative { LOWEST = -0x7fffffffffffffffLL - 1, HIGHEST = 0x7fffffffffffffffLL };
enum { UNNAMED_A, UNNAMED_B };

struct forward;
union forward_union;

struct bits {
	unsigned a : 3;
	int b : 5;
	unsigned long long c : 40;
	enum plain d : 4;
};

struct __attribute__((packed)) packed {
	char c;
	int i;
	struct bits *p;
	unsigned short s : 7;
	unsigned short t : 12;
};

struct __attribute__((aligned(64))) aligned {
	int x;
	char y __attribute__((aligned(16)));
};

union __attribute__((aligned(32))) aligned_union {
	int x;
	char y[5];
};

struct everything {
	struct forward *f;
	union forward_union *fu;
	const volatile int *restrict cv;
	int *const *volatile pp;
	int (*fn)(const char *fmt, ...);
	int (*(*fn_fn)(void (*)(int), long[4]))(void);
	int (*array_ptr)[3];
	int *ptr_array[3];
	char (*matrix[2])[5][6];
	float fl;
	double dbl;
	_Bool flag;
	__int128 big;
	unsigned char bytes[7];
	struct {
		int anonymous;
		union {
			int deep;
			long deeper;
		};
	};
	struct {
		short in_named;
	} named_inner;
	enum { INNER_X = 7, INNER_Y } inner_enum;
	int type_tag("user") *tagged;
	int decl_tag("member_tag") tagged_member;
	struct packed pk;
	struct aligned al;
	union aligned_union au;
	struct everything *self;
	struct {
		struct everything *mutual;
	} *to_anonymous;
	int flexible[];
};

typedef struct everything everything_t;
typedef int callback(everything_t *, struct forward *) decl_tag("typedef_tag");
typedef callback *callbacks[2];

struct bits global_bits;
enum negative global_negative;
enum wide global_wide;
enum wide_negative global_lowest;
struct everything *global_pointer SEC(".data.custom");
static const int constant = 3;
callbacks table;
extern int external SEC(".ksyms");
extern int external_function(enum plain) SEC(".ksyms");

decl_tag("function_tag") static __attribute__((noinline)) int helper(int argument decl_tag("argument_tag"))
{
	return argument + *(volatile int *)&constant + external;
}

SEC("socket") int program(struct everything *context)
{
	return helper(context->al.x) + external_function(TWO) + UNNAMED_B;
}

char _license[] SEC("license") = "GPL";
