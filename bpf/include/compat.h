/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What differs between kernels and between the four variants of an object:
 *   core          type information of the running kernel (CO-RE), global data: Linux 5.8
 *   noncore       no type information: nothing is read from kernel structs
 *   core_less52, noncore_less52   the same with what Linux 4.18 has: no global data, no loops, no
 *                 ring buffer (5.8), one record built in memory of the CPU's own
 * PT_CORE and PT_LESS52 are set by the build.
 */
#ifndef PLAINTAP_COMPAT_H
#define PLAINTAP_COMPAT_H

#ifdef PT_LESS52
/* One read for both kinds of memory before 5.5 (6ae08ae3dea2). */
#define bpf_probe_read_user bpf_probe_read
#define bpf_probe_read_kernel bpf_probe_read
#define bpf_probe_read_user_str bpf_probe_read_str
#define bpf_probe_read_kernel_str bpf_probe_read_str
#endif

#include <bpf/bpf_core_read.h>

#ifdef PT_LESS52
#define LOOP _Pragma("unroll")
#define ONCE __noinline /* what several places call is there once: 4096 instructions are few */
#else
#define LOOP
#define ONCE __always_inline
#endif

/* Atomic operations but for adding came with 5.12 (981f94c3e921). */
#ifdef PT_LESS52
#define SET_BITS(word, bits) (*(word) |= (bits))
#define CLEAR_BITS(word, bits) (*(word) &= ~(bits))
#else
#define SET_BITS(word, bits) __sync_fetch_and_or(word, bits)
#define CLEAR_BITS(word, bits) __sync_fetch_and_and(word, ~(bits))
#endif

#ifdef PT_LESS52
/* Attach cookies came with 5.15: here one object instance serves one kind of probe of one file. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} pt_cookie SEC(".maps");

static __always_inline __u64 attach_cookie(void *context)
{
	__u32 zero = 0;
	__u64 *cookie = bpf_map_lookup_elem(&pt_cookie, &zero);

	(void)context;
	return cookie ? *cookie : 0;
}
#else
static __always_inline __u64 attach_cookie(void *context)
{
	return bpf_get_attach_cookie(context);
}
#endif

#ifdef PT_CORE
/* Helper 175 came with 5.15 (dd6e10fbd9fb); before it the registers are where the stack begins. */
enum bpf_func_id___regs {
	BPF_FUNC_task_pt_regs___regs = 175,
};

/* What variables of a thread are found by. */
static __always_inline __u64 thread_pointer(void)
{
#ifdef __TARGET_ARCH_x86
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, thread.fsbase);
#else
	return 0;
#endif
}

/* The user's registers as the system call in progress found them. */
static __always_inline struct pt_regs *user_registers(void)
{
#ifndef PT_LESS52
	if (bpf_core_enum_value_exists(enum bpf_func_id___regs, BPF_FUNC_task_pt_regs___regs))
		return (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
#endif
	struct task_struct *task = (void *)bpf_get_current_task();

	return (struct pt_regs *)((__u64)BPF_CORE_READ(task, stack) + KERNEL_STACK_SIZE -
				  KERNEL_REGISTERS_SIZE);
}
#endif

#endif
