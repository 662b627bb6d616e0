/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Calls of a library in progress, by thread, and what goes out when one returns.
 *
 * Calls nest: SSL_write may call SSL_write_ex of the same session (sent once) and the BIO of a
 * session may be another session (TLS in TLS: two calls). So a thread has a small stack of frames. A frame whose function was left by longjmp or a signal never returns; it is recognised by
 * its stack pointer, since a live caller's is always above that of what it calls.
 */
#ifndef PLAINTAP_CALLS_H
#define PLAINTAP_CALLS_H

#define PT_DEPTH 4
#define PT_LIBRARIES 4096

#define USED_FIRST 1 /* the first of the thread's two remembered sockets */
#define USED_SECOND 2
#define USED_KNOWN 4	       /* the session's own, remembered or not */
#define PT_CEILING_CHUNKS 1024 /* 16 MiB a call; config.ceiling_chunks lowers it */

/* What user space attaches with each probe; src/plaintap/modules/cookies.py packs it. */
#define COOKIE_LIBRARY(cookie) ((__u16)(cookie))
#define COOKIE_WRITE(cookie) (((cookie) >> 16) & 1)
#define COOKIE_DONE_ARGUMENT(cookie) (((cookie) >> 20) & 7) /* 0: the return value counts */

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
};

struct thread {
	__u64 depth;
	struct frame frames[PT_DEPTH];
	struct used_socket sockets[2];
	struct outgoing outgoing;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct thread);
} pt_threads SEC(".maps");

static const struct thread no_thread;

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

	if (thread)
		return thread;
	if (bpf_map_update_elem(&pt_threads, &tid, &no_thread, BPF_ANY))
		count(PT_MAP_FULL, 1);
	return bpf_map_lookup_elem(&pt_threads, &tid);
}

static __always_inline __u64 argument(struct pt_regs *regs, __u32 number)
{
	__u64 fourth = regs->cx, fifth = regs->r8;

	/* Both are loaded before the choice: the verifier refuses a chosen context offset. */
	barrier_var(fourth);
	barrier_var(fifth);
	return number == 4 ? fourth : number == 5 ? fifth : 0;
}

static __always_inline void enter_call(struct pt_regs *regs, __u64 cookie)
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
	for (__u32 i = 0; i < PT_DEPTH; i++)
		if (depth && thread->frames[(depth - 1) & (PT_DEPTH - 1)].sp <= sp)
			depth--;
	if (depth >= PT_DEPTH) {
		count(PT_TOO_DEEP, 1);
		return;
	}
	frame = &thread->frames[depth & (PT_DEPTH - 1)];
	frame->sp = sp;
	frame->ssl = regs->di;
	frame->buffer = regs->si;
	frame->size = regs->dx;
	frame->done = argument(regs, COOKIE_DONE_ARGUMENT(cookie));
	frame->library = COOKIE_LIBRARY(cookie);
	frame->direction = COOKIE_WRITE(cookie);
	frame->used = 0;
	frame->inner_sent = 0;
	thread->depth = depth + 1;
}

/*
 * The frame of the function that returned: its entry's stack pointer was that of the return
 * address. What lies above that frame was abandoned.
 */
static __always_inline struct frame *leave_call(struct thread *thread, __u64 sp)
{
	for (__u32 i = PT_DEPTH; i > 0; i--) {
		if (i > thread->depth || thread->frames[i - 1].sp + sizeof(__u64) != sp)
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
	__s32 returned = (__s32)regs->ax;
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

/* A reservation's size must be a constant, so one try per size class. */
#define TRY_CLASS(bytes)                                                                           \
	if (length <= (bytes)) {                                                                   \
		struct pt_data *data = bpf_ringbuf_reserve(&pt_ring, sizeof(*data) + (bytes), 0);  \
		__u64 bounded = length;                                                            \
		if (!data) {                                                                       \
			count(PT_RING_FULL_RECORDS, 1);                                            \
			count(PT_RING_FULL_BYTES, length);                                         \
			return;                                                                    \
		}                                                                                  \
		__builtin_memcpy(data, &outgoing->data, sizeof(*data));                            \
		barrier_var(bounded);                                                              \
		if (bounded > (bytes))                                                             \
			bounded = (bytes);                                                         \
		if (bpf_probe_read_user(data + 1, bounded, (void *)outgoing->source)) {            \
			bpf_ringbuf_discard(data, BPF_RB_NO_WAKEUP);                               \
			count(PT_UNREAD_RECORDS, 1);                                               \
			count(PT_UNREAD_BYTES, length);                                            \
			return;                                                                    \
		}                                                                                  \
		bpf_ringbuf_submit(data, submit_flags(sizeof(*data) + (bytes)));                   \
		return;                                                                            \
	}

static __always_inline void send_record(struct outgoing *outgoing, __u64 length)
{
	TRY_CLASS(128)
	TRY_CLASS(512)
	TRY_CLASS(1024)
	TRY_CLASS(1536)
	TRY_CLASS(2048)
	TRY_CLASS(4096)
	TRY_CLASS(8192)
	TRY_CLASS(PT_CHUNK_MAX)
}

/* Whether more is left. Not static: verified once by itself, however often the loop calls it. */
__noinline int send_chunk(struct outgoing *outgoing)
{
	__u64 length;

	if (!outgoing || !outgoing->left)
		return 0;
	length = outgoing->left > PT_CHUNK_MAX ? PT_CHUNK_MAX : outgoing->left;
	outgoing->data.length = length;
	outgoing->data.header.size = sizeof(outgoing->data) + length;
	outgoing->data.header.ts_ns = bpf_ktime_get_ns();
	send_record(outgoing, length);
	outgoing->data.offset += length;
	outgoing->source += length;
	outgoing->left -= length;
	return outgoing->left != 0;
}

static __always_inline void send_call(struct thread *thread, const struct frame *frame,
				      struct session *session, __u64 done)
{
	struct outgoing *outgoing = &thread->outgoing;
	struct pt_data *data = &outgoing->data;

	fill_header(&data->header, PT_DATA, 0);
	data->session = session->id;
	data->ssl = frame->ssl;
	data->uid = session->uid;
	data->library = frame->library;
	data->direction = frame->direction;
	__builtin_memcpy(data->comm, session->comm, sizeof(data->comm));
	data->socket = session->socket;
	data->offset = session->offset[frame->direction & 1];
	session->offset[frame->direction & 1] += done;
	outgoing->source = frame->buffer;
	outgoing->left = done;
	for (__u32 i = 0; i < PT_CEILING_CHUNKS && i < config.ceiling_chunks; i++)
		if (!send_chunk(outgoing))
			break;
	if (outgoing->left)
		count(PT_BEYOND_CEILING_BYTES, outgoing->left);
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

/*
 * A call may use other sockets beside its own (a callback that logs or asks a session cache): the
 * known one stays if the call used it at all, and as long as it is open. Which of several is its own cannot be told here:
 * rather none than a wrong one.
 */
static __always_inline void choose_socket(struct session *session, const struct thread *thread,
					  __u8 used)
{
	const struct used_socket *only = &thread->sockets[used == USED_SECOND];

	if (used != USED_FIRST && used != USED_SECOND)
		return;
	if (!same_socket(&only->id, &session->socket_id) && !is_open(&session->socket_id))
		set_socket(session, only);
}

static __always_inline void return_call(struct pt_regs *regs, __u64 cookie)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	struct thread *thread = bpf_map_lookup_elem(&pt_threads, &tid);
	struct session_key key = {};
	struct session *session;
	struct frame *frame;
	__u64 done;

	frame = thread ? leave_call(thread, regs->sp) : 0;
	if (!running)
		return;
	if (!frame && wanted(id >> 32))
		count_unmatched(cookie);
	if (!frame || frame->inner_sent)
		return;
	done = bytes_done(regs, frame);
	if (!done && !frame->used)
		return;
	key.ssl = frame->ssl;
	key.tgid = id >> 32;
	session = find_session(&key);
	if (!session)
		return;
	choose_socket(session, thread, frame->used);
	if (done) {
		tell_outer(thread, frame);
		send_call(thread, frame, session, done);
	}
}

static __always_inline void end_session(__u64 ssl)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct session *session = bpf_map_lookup_elem(&pt_sessions, &key);

	if (!session)
		return;
	send_session_end(session);
	bpf_map_delete_elem(&pt_sessions, &key);
}

static __always_inline void mark_used(struct thread *thread, __u8 direction, __u8 bit)
{
	for (__u32 i = 0; i < PT_DEPTH; i++)
		if (i < thread->depth && thread->frames[i].direction == direction)
			thread->frames[i].used |= bit;
}

static __always_inline bool is_known_socket(const struct frame *frame, const struct socket_id *id)
{
	struct session_key key = {.ssl = frame->ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct session *session = bpf_map_lookup_elem(&pt_sessions, &key);

	return session && same_socket(id, &session->socket_id);
}

/*
 * A socket received in a read, or sent in a write, of this thread: it belongs to every such call in
 * progress here. What else a call does with sockets is a callback's business.
 */
static __always_inline void note_socket(struct sock *sk, __u8 direction)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct thread *thread = bpf_map_lookup_elem(&pt_threads, &tid);
	struct used_socket *slot;
	struct socket_id id;
	struct frame *top;
	bool second;

	if (!thread || !thread->depth)
		return;
	top = &thread->frames[(thread->depth - 1) & (PT_DEPTH - 1)];
	if (top->direction != direction || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return;
	read_socket_id(&id, sk);
	if (same_socket(&id, &thread->sockets[0].id)) {
		mark_used(thread, direction, USED_FIRST);
		return;
	}
	if (same_socket(&id, &thread->sockets[1].id)) {
		mark_used(thread, direction, USED_SECOND);
		return;
	}
	if (is_known_socket(top, &id)) {
		mark_used(thread, direction, USED_KNOWN);
		return;
	}
	second = top->used & USED_FIRST;
	slot = &thread->sockets[second];
	slot->id = id;
	read_socket(&slot->socket, sk);
	mark_used(thread, direction, second ? USED_SECOND : USED_FIRST);
}

#endif
