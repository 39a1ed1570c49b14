/* A program with CO-RE records of every kind, about types that a kernel has,
 * lacks, or has otherwise: see kernel.c and other_kernel.c. */
#include "types.h"

#define CORE __attribute__((preserve_access_index))
#define SEC(name) __attribute__((section(name), used))

enum state { IDLE = 1, BUSY = 2, FAILED = -7, OLD___x = 9 };
enum wide { BIG = 0x100000000ULL, SMALL = 5 };

struct inner {
	int a;
	u32 b;
} CORE;

struct many {
	u32 x;
	u64 y;
	u8 bits3 : 3;
	u8 bits5 : 5;
	u32 bits20 : 20;
	s32 signed7 : 7;
	char name[16];
	int arr[4];
	struct inner in;
	struct inner ins[3];
	void *p;
	enum state e;
	union {
		u32 u_a;
		u64 u_b;
	};
	struct {
		int deep1;
		struct {
			short deep2;
		};
	};
	int *ip;
	float fl;
	int matrix[2][3];
} CORE;

struct many___flavor {
	u32 x;
	u64 gone;
} CORE;

struct missing {
	int a;
	int b;
} CORE;

struct flexible {
	int n;
	struct inner elems[];
} CORE;

struct was_flexible {
	int n;
	int elems[0];
} CORE;

struct resized {
	u32 grows;
	u64 shrinks;
	s32 signed_grows;
	void *ptr;
	u16 same;
	int *to_int;
	u8 c[4];
	enum state en;
} CORE;

struct ambiguous {
	int first;
	int v;
} CORE;

struct retyped {
	int int_to_ptr;
	struct inner struct_to_int;
	int *ptr_to_array;
	int array_to_ptr[4];
	u32 int_to_enum;
} CORE;

union either {
	int ua;
	u64 ub;
} CORE;

typedef struct {
	int ta;
	int tb;
} CORE named_anonymous;
typedef struct inner other_anonymous;

struct bitfields {
	u64 z;
	u32 low : 9;
	u32 next : 30;
	u64 huge : 40;
	u64 straddles : 33;
} CORE;

struct far_member {
	char pad[40000];
	int far;
} CORE;

typedef int (*callback)(int, struct inner *);
typedef int function(int, struct inner *);
typedef int *int_ptr;
typedef int four_ints[4];
typedef enum state state_t;
typedef enum wide wide_t;
typedef enum { ANON_A = 3, ANON_B } anon_t;

#define FIELD(access, what) sum += __builtin_preserve_field_info(access, what);
/* Arrays, structs and pointers have an offset, a size and an existence. */
#define PLACE(access) FIELD(access, 0) FIELD(access, 1) FIELD(access, 2)
#define NUMBER(access) PLACE(access) FIELD(access, 3) FIELD(access, 4) FIELD(access, 5)
#define ID(type) \
	sum += __builtin_btf_type_id(*(type *)0, 0) + __builtin_btf_type_id(*(type *)0, 1);
#define TYPE(type)                                             \
	ID(type)                                               \
	sum += __builtin_preserve_type_info(*(type *)0, 0);    \
	sum += __builtin_preserve_type_info(*(type *)0, 1);    \
	sum += __builtin_preserve_type_info(*(type *)0, 2);
#define VALUE(type, name)                                      \
	sum += __builtin_preserve_enum_value(*(type *)name, 0); \
	sum += __builtin_preserve_enum_value(*(type *)name, 1);

SEC("socket") u64 fields(struct many *s)
{
	u64 sum = 0;

	NUMBER(s->x) NUMBER(s->y)
	NUMBER(s->bits3) NUMBER(s->bits5) NUMBER(s->bits20) NUMBER(s->signed7)
	PLACE(s->name) PLACE(s->name[3]) PLACE(s->arr) PLACE(s->arr[2])
	PLACE(s->in) NUMBER(s->in.b) NUMBER(s->ins[1].b) PLACE(s->ins[2])
	PLACE(s->p) NUMBER(s->e) NUMBER(s->u_a) NUMBER(s->u_b)
	NUMBER(s->deep1) NUMBER(s->deep2) PLACE(s->ip) PLACE(s->fl)
	PLACE(s->matrix[1]) PLACE(s->matrix[1][2]) PLACE(s[3]) NUMBER(s[2].in.a)
	return sum;
}

SEC("socket") u64 shapes(struct many___flavor *s, struct missing *m, struct flexible *f,
			 struct was_flexible *w, union either *u)
{
	u64 sum = 0;

	NUMBER(s->x) NUMBER(s->gone) NUMBER(m->a) NUMBER(m->b)
	NUMBER(f->n) PLACE(f->elems[5]) NUMBER(f->elems[7].b) PLACE(w->elems[9])
	NUMBER(u->ua) NUMBER(u->ub)
	return sum;
}

SEC("socket") u64 typedefs(named_anonymous *t, other_anonymous *o)
{
	u64 sum = 0;

	NUMBER(t->tb) NUMBER(o->b)
	return sum;
}

SEC("socket") u64 loads(struct resized *r, struct many *s, struct missing *m)
{
	u64 sum = 0;

	sum += r->grows + r->shrinks + r->signed_grows + (u64)r->ptr + r->same;
	sum += (u64)r->to_int + r->c[2] + r->en + s->arr[3] + s->ins[2].a + s->name[7];
	sum += m->b + s->matrix[1][1];
	r->grows = 5;
	r->signed_grows = sum;
	r->shrinks = 77;
	return sum;
}

SEC("socket") u64 candidates(struct ambiguous *a)
{
	u64 sum = 0;

	FIELD(a->first, 0) FIELD(a->v, 0) FIELD(a->v, 2)
	return sum;
}

SEC("socket") u64 incompatible(struct retyped *r, struct bitfields *b, struct far_member *f)
{
	u64 sum = 0;

	PLACE(r->int_to_ptr) PLACE(r->struct_to_int) PLACE(r->ptr_to_array)
	PLACE(r->array_to_ptr) PLACE(r->array_to_ptr[2]) NUMBER(r->int_to_enum)
	NUMBER(b->z) NUMBER(b->low) NUMBER(b->next) NUMBER(b->huge)
	FIELD(b->straddles, 0) FIELD(b->straddles, 1) FIELD(f->far, 0)
	return sum;
}

SEC("socket") u64 types(void)
{
	u64 sum = 0;

	TYPE(struct many) TYPE(struct missing) TYPE(struct inner) TYPE(struct many___flavor)
	TYPE(union either) TYPE(named_anonymous) TYPE(other_anonymous)
	TYPE(enum state) TYPE(enum wide) TYPE(state_t) TYPE(u32)
	TYPE(callback) TYPE(int_ptr) TYPE(four_ints)
	TYPE(struct flexible) TYPE(struct ambiguous) TYPE(struct resized) TYPE(struct retyped)
	ID(function)
	sum += __builtin_preserve_type_info(*(function *)0, 0);
	sum += __builtin_preserve_type_info(*(function *)0, 2);
	return sum;
}

SEC("socket") u64 enumerators(void)
{
	u64 sum = 0;

	VALUE(state_t, IDLE) VALUE(state_t, BUSY) VALUE(state_t, FAILED) VALUE(state_t, OLD___x)
	VALUE(wide_t, BIG) VALUE(wide_t, SMALL) VALUE(anon_t, ANON_B)
	return sum;
}

char _license[] SEC("license") = "GPL";
