// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The OpenSSL family: plaintext at SSL_read and SSL_write, in all their forms. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "wire.h"
#include "config.h"
#include "counters.h"
#include "filter.h"
#include "ring.h"
#include "socket.h"
#include "session.h"
#include "calls.h"
#include "follow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile struct pt_config config SEC(".rodata.config") = {};
volatile __u32 running = 0;

/* (SSL *, void *buffer, size_t or int, [size_t *done]) */
SEC("uprobe")
int pt_call_enter(struct pt_regs *regs)
{
	enter_call(regs, bpf_get_attach_cookie(regs));
	return 0;
}

SEC("uprobe")
int pt_call_return(struct pt_regs *regs)
{
	return_call(regs, bpf_get_attach_cookie(regs));
	return 0;
}

/* SSL_free(SSL *) */
SEC("uprobe")
int pt_session_free(struct pt_regs *regs)
{
	end_session(regs->di);
	return 0;
}

/* (struct sock *, int length, int flags), since Linux 6.3 (6e6eda44b939) */
SEC("raw_tp/sock_send_length")
int pt_socket_send(struct bpf_raw_tracepoint_args *context)
{
	note_socket((struct sock *)context->args[0], PT_WRITE);
	return 0;
}

SEC("raw_tp/sock_recv_length")
int pt_socket_receive(struct bpf_raw_tracepoint_args *context)
{
	note_socket((struct sock *)context->args[0], PT_READ);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int pt_process_exit(struct bpf_raw_tracepoint_args *context)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct task_struct *task = (void *)context->args[0];
	struct pt_process_exit *record;

	if (BPF_CORE_READ(task, signal, live.counter))
		return 0;
	bpf_map_delete_elem(&pt_pids, &tgid);
	if (!bpf_map_lookup_elem(&pt_speakers, &tgid))
		return 0;
	bpf_map_delete_elem(&pt_speakers, &tgid);
	record = bpf_ringbuf_reserve(&pt_ring, sizeof(*record), 0);
	if (!record) {
		count(PT_RING_FULL_RECORDS, 1);
		return 0;
	}
	fill_header(&record->header, PT_PROCESS_EXIT, sizeof(*record));
	bpf_ringbuf_submit(record, submit_flags(sizeof(*record)));
	return 0;
}

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

	if (followed(bpf_get_current_pid_tgid() >> 32) && BPF_CORE_READ(regs, orig_ax) == NR_MMAP)
		hold_for_mapping(regs, context->args[1]);
	return 0;
}
