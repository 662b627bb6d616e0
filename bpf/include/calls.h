/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Calls of a library in progress, by thread.
 *
 * Calls nest: SSL_write may call SSL_write_ex of the same session (sent once) and the BIO of a
 * session may be another session (TLS in TLS: two calls). So a thread has a small stack of frames. A frame whose function was left by longjmp or a signal never returns; it is recognised by
 * its stack pointer, since a live caller's is always above that of what it calls.
 */
#ifndef PLAINTAP_CALLS_H
#define PLAINTAP_CALLS_H

#define PT_DEPTH 4
#define PT_HANDSHAKE 2 /* a frame's direction beside PT_READ and PT_WRITE */
#define PT_UNCORK 3

#define USED_FIRST 1 /* the first of the thread's two remembered sockets */
#define USED_SECOND 2
#define USED_KNOWN 4 /* the session's own, remembered or not */

/* What user space attaches with each probe; src/plaintap/modules/cookies.py packs it. */
#define COOKIE_LIBRARY(cookie) ((__u16)(cookie))
#define COOKIE_WRITE(cookie) (((cookie) >> 16) & 1)
#define COOKIE_DONE_ARGUMENT(cookie) (((cookie) >> 20) & 7) /* 0: the return value counts */
#define COOKIE_GNUTLS(cookie) (((cookie) >> 23) & 1)	    /* what it returns is GnuTLS's */

struct frame {
	__u64 sp;
	__u64 ssl;
	__u64 buffer;
	__u64 size; /* of the buffer */
	__u64 done; /* address of the size_t that receives the count, 0: the return value counts */
	__u16 library;
	__u8 direction;
	__u8 inner_sent; /* a call inside this one, of the same session and direction, was sent */
	__u8 used;	 /* bits: which of the thread's sockets this call used */
	__u8 pad[3];
};

/* The record being sent, its payload apart. */
struct outgoing {
	struct pt_data data;
	__u64 source;
	__u64 left;
	__u64 wake; /* what this tells of is waited for */
};

struct thread {
	__u64 depth;
	struct frame frames[PT_DEPTH];
	struct used_socket sockets[2];
	struct outgoing outgoing;
	__u64 bio_buffer; /* of the BIO_read in progress */
	__u64 bio_done;	  /* as frame.done */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct thread);
} pt_threads SEC(".maps");

/* Zeroes: what a new thread begins with, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct thread);
} pt_no_thread SEC(".maps");

/* Libraries whose probes are all in place; a return from one whose entry was missed is a loss. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PT_LIBRARIES);
	__type(key, __u32);
	__type(value, __u32);
} pt_attached SEC(".maps");

static __always_inline void count_unmatched(__u64 cookie)
{
	__u32 library = COOKIE_LIBRARY(cookie);
	__u32 *attached = bpf_map_lookup_elem(&pt_attached, &library);

	if (attached && *attached)
		count(PT_UNMATCHED_RETURNS, 1);
}

static __always_inline struct thread *find_thread(__u32 tid)
{
	struct thread *thread = bpf_map_lookup_elem(&pt_threads, &tid);
	__u32 zero = 0;
	void *fresh;

	if (thread)
		return thread;
	fresh = bpf_map_lookup_elem(&pt_no_thread, &zero);
	if (!fresh || bpf_map_update_elem(&pt_threads, &tid, fresh, BPF_ANY))
		count(PT_MAP_FULL, 1);
	return bpf_map_lookup_elem(&pt_threads, &tid);
}

static __always_inline __u64 argument(struct pt_regs *regs, __u32 number)
{
	__u64 fourth = regs->REG_ARGUMENT4, fifth = regs->REG_ARGUMENT5;

	/* Both are loaded before the choice: the verifier refuses a chosen context offset. */
	barrier_var(fourth);
	barrier_var(fifth);
	return number == 4 ? fourth : number == 5 ? fifth : 0;
}

static __always_inline void enter_call(struct pt_regs *regs, __u64 cookie, __u8 direction)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct thread *thread;
	struct frame *frame;
	__u64 depth, sp = regs->sp;

	if (!wanted(id >> 32))
		return;
	thread = find_thread((__u32)id);
	if (!thread)
		return;
	depth = thread->depth;
	LOOP for (__u32 i = 0; i < PT_DEPTH;
		  i++) if (depth && thread->frames[(depth - 1) & (PT_DEPTH - 1)].sp <= sp) depth--;
	if (depth >= PT_DEPTH) {
		count(PT_TOO_DEEP, 1);
		return;
	}
	frame = &thread->frames[depth & (PT_DEPTH - 1)];
	frame->sp = sp;
	frame->ssl = regs->REG_ARGUMENT1;
	frame->buffer = regs->REG_ARGUMENT2;
	frame->size = regs->REG_ARGUMENT3;
	frame->done = argument(regs, COOKIE_DONE_ARGUMENT(cookie));
	frame->library = COOKIE_LIBRARY(cookie);
	frame->direction = direction;
	frame->used = 0;
	frame->inner_sent = 0;
	thread->depth = depth + 1;
}

/*
 * The frame of the function that returned, by the stack pointer at its entry. What lies above that
 * frame was abandoned.
 */
static __always_inline struct frame *leave_call(struct thread *thread, __u64 sp)
{
	LOOP for (__u32 i = PT_DEPTH; i > 0; i--)
	{
		if (i > thread->depth || thread->frames[i - 1].sp + RETURN_ADDRESS_SIZE != sp)
			continue;
		thread->depth = i - 1;
		return &thread->frames[i - 1];
	}
	return 0;
}

/*
 * Bytes the call moved: returned, or stored behind a size_t pointer when 1 is returned. Never more
 * than the buffer holds, whatever the target says.
 */
static __always_inline __u64 bytes_done(struct pt_regs *regs, const struct frame *frame)
{
	__s32 returned = (__s32)regs->REG_RESULT;
	__u64 done = 0;

	if (returned <= 0)
		return 0;
	if (!frame->done)
		return (__u32)returned <= (__u32)frame->size ? returned : 0;
	if (bpf_probe_read_user(&done, sizeof(done), (void *)frame->done)) {
		count(PT_UNREAD_RECORDS, 1);
		return 0;
	}
	return done <= frame->size ? done : 0;
}

static __always_inline struct thread *current_thread(void)
{
	__u32 tid = bpf_get_current_pid_tgid();

	return bpf_map_lookup_elem(&pt_threads, &tid);
}

/* The innermost call of this thread. */
static __always_inline struct frame *top_frame(struct thread *thread)
{
	return thread && thread->depth ? &thread->frames[(thread->depth - 1) & (PT_DEPTH - 1)] : 0;
}

/*
 * The inner of two calls is sent and the outer is not, rather than the other way round: an outer
 * one that was left by longjmp would silence every later call.
 */
static __always_inline void tell_outer(struct thread *thread, const struct frame *frame)
{
	__u64 depth = thread->depth;
	struct frame *outer = &thread->frames[(depth - 1) & (PT_DEPTH - 1)];

	if (depth && outer->ssl == frame->ssl && outer->direction == frame->direction)
		outer->inner_sent = 1;
}

#endif
