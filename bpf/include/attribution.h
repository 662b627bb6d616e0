/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which socket a session speaks over. What answers first wins, and rather nothing than a wrong one:
 *   the descriptor the library keeps for the session, when it does;
 *   for sessions over memory (the program carries the bytes between library and socket itself): the
 *   socket that carried the ClientHello with the session's client random;
 *   the one socket that this thread used inside the call;
 *   again over memory: the socket that carried a TLS record that the session made or took.
 */
#ifndef PLAINTAP_ATTRIBUTION_H
#define PLAINTAP_ATTRIBUTION_H

#define SEEKS_MAX 64 /* calls of a session after which it is only found by what it uses */

/* The socket behind a descriptor of this process; 0 when it is none, or not a stream. */
static __always_inline struct sock *socket_of(__u32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table = BPF_CORE_READ(task, files, fdt);
	struct file *file = 0;
	struct socket *socket;
	struct sock *sk;

	if (fd >= BPF_CORE_READ(table, max_fds))
		return 0;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	sk = BPF_CORE_READ(socket, sk);
	return sk && BPF_CORE_READ(sk, sk_type) == SOCK_STREAM ? sk : 0;
}

static __always_inline bool find_by_descriptor(const struct pt_layout *layout, __u64 ssl,
					       struct used_socket *found)
{
	struct sock *sk;
	__s32 fd;

	if (!layout || layout->bio_num == PT_NO_FIELD || !is_tcp_object(layout, ssl))
		return false;
	fd = session_descriptor(layout, ssl);
	sk = fd < 0 ? 0 : socket_of(fd);
	if (!sk)
		return false;
	fill_used(found, sk, PT_SOCKET_DESCRIPTOR);
	found->socket.fd = fd;
	return true;
}

/*
 * A call may use other sockets beside its own (a callback that logs or asks a session cache): the
 * known one stays if the call used it at all, and as long as it is open.
 */
static __always_inline void attribute(void *context, struct session *session,
				      const struct thread *thread, const struct frame *frame)
{
	__u8 used = frame->used;
	bool single = used == USED_FIRST || used == USED_SECOND;
	const struct used_socket *only = &thread->sockets[used == USED_SECOND];
	const struct pt_layout *layout;
	struct used_socket found = {};
	struct used_socket *hello;
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (session->socket_id.sock && (!used || used & USED_KNOWN ||
					(single && same_socket(&only->id, &session->socket_id)) ||
					is_open(&session->socket_id)))
		return;
	if (session->seeks >= SEEKS_MAX && (!single || carries_bytes(tgid)))
		return;
	session->seeks++;
	layout = find_layout(frame->library);
	if (find_by_descriptor(layout, frame->ssl, &found)) {
		if (!same_socket(&found.id, &session->socket_id))
			set_socket(context, session, frame->ssl, &found);
		expect_nothing(tgid);
		return;
	}
	hello = session->socket_id.sock ? 0 : find_hello(layout, frame->ssl);
	if (hello) {
		set_socket(context, session, frame->ssl, hello);
		session->secrets |= SECRETS_HELLO;
		return;
	}
	/* What a call over memory does with a socket is a callback's business. */
	if (single && !carries_bytes(tgid)) {
		set_socket(context, session, frame->ssl, only);
		expect_nothing(tgid);
		return;
	}
	if (!session->socket_id.sock)
		begin_seeking(session);
}

/* A call that moved nothing and touched no socket: the process may carry the bytes itself. */
static __always_inline void suspect_memory(const struct frame *frame)
{
	struct session *session = known_session(frame->ssl);

	if (!session || (!session->socket_id.sock && session->seeking != SEEKING_NO_MORE))
		expect(bpf_get_current_pid_tgid() >> 32, USER_HELLOS | USER_MEMORY);
}

static __always_inline void mark_used(struct thread *thread, __u8 direction, __u8 bit)
{
	for (__u32 i = 0; i < PT_DEPTH; i++) {
		__u8 of = thread->frames[i].direction;

		if (i < thread->depth && (of == direction || of == PT_HANDSHAKE))
			thread->frames[i].used |= bit;
	}
}

/* Calls around the innermost one that remember this place: what they used is no longer there. */
static __always_inline void take_place(struct thread *thread, __u8 bit)
{
	for (__u32 i = 0; i < PT_DEPTH; i++)
		if (i + 1 < thread->depth && thread->frames[i].used & bit)
			thread->frames[i].used |= USED_FIRST | USED_SECOND;
}

static __always_inline bool is_known_socket(const struct frame *frame, const struct socket_id *id)
{
	struct session *session = known_session(frame->ssl);

	return session && same_socket(id, &session->socket_id);
}

/*
 * A socket received in a read, or sent in a write, or either in a handshake: it belongs to every
 * such call in progress here. What else a call does with sockets is a callback's business.
 */
static __always_inline void note_nested(struct thread *thread, struct frame *top, struct sock *sk,
					__u8 direction)
{
	struct used_socket *slot;
	struct user_span span;
	struct socket_id id;
	bool second;

	if ((top->direction != direction && top->direction != PT_HANDSHAKE) ||
	    BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
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
	take_place(thread, second ? USED_SECOND : USED_FIRST);
	slot = &thread->sockets[second];
	slot->id = id;
	read_socket(&slot->socket, sk, PT_SOCKET_NESTED_CALL);
	if (syscall_span(&span))
		slot->socket.fd = span.fd;
	mark_used(thread, direction, second ? USED_SECOND : USED_FIRST);
}

static __always_inline void note_goroutine(struct sock *sk, __u8 direction,
					   __u32 tgid); /* golang.h */

/* A socket of this thread moves bytes; `moved` is negative where that failed. */
static __always_inline void note_socket(void *context, struct sock *sk, __u8 direction, __s64 moved)
{
	struct thread *thread = current_thread();
	struct frame *top = top_frame(thread);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct session *session;
	struct user *user;

	if (top) {
		note_nested(thread, top, sk, direction);
		session = known_session(top->ssl);
		if ((!session || !session->socket_id.sock) &&
		    (SETTING(secrets) || carries_bytes(tgid)))
			inspect_socket(context, sk, direction, moved, USER_HELLOS);
		return;
	}
	user = find_user(tgid);
	if (user && user->wants & USER_GOROUTINES)
		note_goroutine(sk, direction, tgid);
	if (user && user->wants & (USER_HELLOS | USER_RECORDS))
		inspect_socket(context, sk, direction, moved, user->wants);
}

#endif
