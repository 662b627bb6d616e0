/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every loss the kernel side can see; src/plaintap/runtime/counters.py has the same order. */
#ifndef PLAINTAP_COUNTERS_H
#define PLAINTAP_COUNTERS_H

enum pt_counter {
	PT_RING_FULL_RECORDS,
	PT_RING_FULL_BYTES,
	PT_UNREAD_RECORDS, /* memory of the target could not be read */
	PT_UNREAD_BYTES,
	PT_BEYOND_CEILING_BYTES,
	PT_MAP_FULL,	      /* a failed map update */
	PT_UNMATCHED_RETURNS, /* a return whose entry is not known */
	PT_TOO_DEEP,	      /* calls nested deeper than PT_DEPTH */
	PT_NOT_HELD,	      /* a followed process could not be stopped */
	PT_WITHOUT_SECRETS,   /* sessions that ended before their secrets were found */
	PT_EVICTED,	      /* sessions that began anew: there were more than pt_sessions holds */
	PT_COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, PT_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} pt_counters SEC(".maps");

static __always_inline void count(__u32 which, __u64 by)
{
	__u64 *value = bpf_map_lookup_elem(&pt_counters, &which);

	if (value) /* another program may preempt this one on its CPU */
		__sync_fetch_and_add(value, by);
}

#endif
