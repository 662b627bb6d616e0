/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Programs for what every family needs to know of processes: they end, become others, multiply. */
#ifndef PLAINTAP_LIFECYCLE_H
#define PLAINTAP_LIFECYCLE_H

/* Its number is given to another one. */
static __always_inline void end_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	bpf_map_delete_elem(&pt_threads, &tid);
}

/* What this process said is over; its memory is gone. */
static __always_inline void end_process(void *context)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct pt_process_exit *record;

#ifdef PT_CORE
	bpf_map_delete_elem(&pt_users, &tgid);
#else
	forget_descriptors(tgid);
#endif
	if (!bpf_map_lookup_elem(&pt_speakers, &tgid))
		return;
	bpf_map_delete_elem(&pt_speakers, &tgid);
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	fill_header(&record->header, PT_PROCESS_EXIT, sizeof(*record));
	send_record(context, record, sizeof(*record));
}

SEC("raw_tp/sched_process_exit")
int pt_process_exit(struct bpf_raw_tracepoint_args *context)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32;

	end_thread();
#ifdef PT_CORE
	struct task_struct *task = (void *)context->args[0];

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
#else
	if (tgid != (__u32)id) /* its first thread stands for all */
		return 0;
#endif
	bpf_map_delete_elem(&pt_pids, &tgid);
	end_process(context);
	return 0;
}

/* (struct task_struct *, pid_t old_pid, struct linux_binprm *) */
SEC("raw_tp/sched_process_exec")
int pt_process_exec(struct bpf_raw_tracepoint_args *context)
{
	end_thread();
	end_process(context);
	return 0;
}

#if defined(PT_CORE) && !defined(PT_LESS52)
/* (struct task_struct *parent, struct task_struct *child) */
SEC("raw_tp/sched_process_fork")
int pt_follow_fork(struct bpf_raw_tracepoint_args *context)
{
	follow_fork((struct task_struct *)context->args[0], (struct task_struct *)context->args[1]);
	return 0;
}

/* (struct task_struct *, pid_t old_pid, struct linux_binprm *) */
SEC("raw_tp/sched_process_exec")
int pt_hold_exec(struct bpf_raw_tracepoint_args *context)
{
	struct linux_binprm *binary = (struct linux_binprm *)context->args[2];

	if (followed(bpf_get_current_pid_tgid() >> 32))
		hold_for(BPF_CORE_READ(binary, file), 0);
	return 0;
}

/* (struct pt_regs *, long result) */
SEC("raw_tp/sys_exit")
int pt_hold_mapping(struct bpf_raw_tracepoint_args *context)
{
	struct pt_regs *regs = (struct pt_regs *)context->args[0];

	if (followed(bpf_get_current_pid_tgid() >> 32) &&
	    BPF_CORE_READ(regs, SYSCALL_NUMBER) == NR_MMAP)
		hold_for_mapping(regs, context->args[1]);
	return 0;
}
#endif

#endif
