/* A kernel whose types have moved, grown, shrunk, been nested and retyped. */
#include "types.h"

#ifdef OTHER
/* Another one, where candidates disagree and enumerators are gone. */
enum state { FIRST, BUSY = 4000000000, IDLE = 11, OLD___y = 99 };
#else
enum state { BUSY = 22, IDLE = 11, FAILED = -70, OLD___y = 99 };
#endif
enum wide { SMALL = 0x500000000ULL, BIG = 0x200000000ULL };

struct inner {
	long pad;
	u64 b;
	short a;
};

struct many {
	long q;
	u64 x;
	u32 y;
	u32 bits3 : 5;
	u32 filler : 9;
	u32 bits5 : 17;
	u64 bits20 : 33;
	s32 signed7 : 9;
	char name[32];
	long arr[8];
	struct {
		struct inner in;
	};
	struct inner ins[2];
	long p;
	u64 e;
	struct {
		union {
			u64 u_b;
			struct {
				char k;
				u32 u_a;
			};
		};
	};
	int deep1;
	short deep2;
	void *ip;
	double fl;
	int matrix[4][5];
};

struct many___2 {
	u64 x;
	char z[10];
	u64 gone;
};

struct flexible {
	char head[16];
	int n;
	struct inner elems[];
};

struct was_flexible {
	int n;
	int elems[4];
};

struct resized {
	u64 grows;
	u32 shrinks;
	s64 signed_grows;
	void *ptr;
	u16 same;
	int *to_int;
	u64 c[4];
	u64 en;
};

struct ambiguous {
	int first;
	int v;
};

struct ambiguous___2 {
#ifdef OTHER
	int first;
	char c;
	long v;
#else
	long first;
	int v;
#endif
};

struct retyped {
	void *int_to_ptr;
	int struct_to_int;
	int ptr_to_array[2];
	int *array_to_ptr;
	enum state int_to_enum;
};

union either {
	u64 ub;
	short k;
	int ua;
};

typedef struct {
	int ta;
	int x;
	int tb;
} named_anonymous;

typedef struct {
	u64 b;
	int a;
} other_anonymous;

struct bitfields {
	u32 low : 9;
	u64 z;
	u64 pad : 40;
	u64 next : 24;
	u64 huge : 50;
	u64 straddles : 13;
};

struct far_member {
	char pad[80000];
	int far;
};

typedef long (*callback)(long, struct inner *);
typedef int function(int, struct inner *);
typedef long *int_ptr;
typedef int four_ints[5];
typedef enum state state_t;
typedef enum wide wide_t;
typedef enum { ANON_B = 44, ANON_A } anon_t;

/* clang describes the types of variables only. */
#define KEEP(type, name) type keep_##name;
KEEP(struct many, many)
KEEP(struct many___2, many2)
KEEP(struct flexible, flexible)
KEEP(struct was_flexible, was_flexible)
KEEP(struct resized, resized)
KEEP(struct ambiguous, ambiguous)
KEEP(struct ambiguous___2, ambiguous2)
KEEP(struct retyped, retyped)
KEEP(union either, either)
KEEP(named_anonymous, named_anonymous)
KEEP(other_anonymous, other_anonymous)
KEEP(struct bitfields, bitfields)
KEEP(struct far_member, far_member)
KEEP(callback, callback)
KEEP(function *, function)
KEEP(int_ptr, int_ptr)
KEEP(four_ints, four_ints)
KEEP(state_t, state)
KEEP(wide_t, wide)
KEEP(anon_t, anon)
KEEP(u32, number)
