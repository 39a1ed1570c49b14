/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where the programs of this folder write what they found out, for two kernels to be
 * compared: a small map that the comparison reads after each packet.
 */
#pragma once

#include <stdbool.h>
#include <linux/bpf.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

/* Stores a result. */
static __always_inline void record(__u32 slot, __u64 value)
{
	__u64 *result = bpf_map_lookup_elem(&results, &slot);

	if (result)
		*result = value;
}

/* Adds to a result. */
static __always_inline void tally(__u32 slot, __u64 value)
{
	__u64 *result = bpf_map_lookup_elem(&results, &slot);

	if (result)
		*result += value;
}

/* Hides from the compiler what it knows about a variable. */
#define opaque(variable) asm volatile("" : "+r"(variable))
