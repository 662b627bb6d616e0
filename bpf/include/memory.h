/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Sessions over memory: the program carries the bytes between the library and a socket. Bytes that
 * no two connections share are noted where they pass the one and looked for where they pass the
 * other: the random of a ClientHello, and what follows the header of a TLS record.
 */
#ifndef PLAINTAP_MEMORY_H
#define PLAINTAP_MEMORY_H

#define RECORD_HEADER 5
#define MARK_SIZE 16
#define HANDOVERS_MAX 1024 /* of a session without a socket that are looked at */

/* Bytes that no two connections share: of a client random or behind a record's header. */
struct mark {
	__u32 tgid;
	__u32 direction;
	__u8 bytes[MARK_SIZE];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct mark);
	__type(value, struct used_socket);
} pt_hellos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct mark);
	__type(value, struct used_socket);
} pt_arrived SEC(".maps");

/* A session whose library has made a record that no socket has carried yet. */
struct maker {
	__u64 ssl;
	__u64 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct mark);
	__type(value, struct maker);
} pt_made SEC(".maps");

struct user_span {
	__u64 start;
	__u64 size;
	__s32 fd;
};

/*
 * The descriptor and the first buffer of the system call in progress, when it is one that moves
 * bytes.
 */
static __always_inline bool syscall_span(struct user_span *span)
{
	struct pt_regs *regs = user_registers();
	__u64 number = BPF_CORE_READ(regs, SYSCALL_NUMBER), list;

	span->fd = BPF_CORE_READ(regs, SYSCALL_ARGUMENT1);
	span->start = BPF_CORE_READ(regs, SYSCALL_ARGUMENT2);
	span->size = BPF_CORE_READ(regs, SYSCALL_ARGUMENT3);
	if (number == NR_READ || number == NR_WRITE || number == NR_SENDTO || number == NR_RECVFROM)
		return true;
	list = span->start;
	if (number == NR_SENDMSG || number == NR_RECVMSG || number == NR_SENDMMSG ||
	    number == NR_RECVMMSG)
		list = user_pointer(list, 16); /* msg_iov */
	else if (number != NR_READV && number != NR_WRITEV)
		return false;
	span->start = user_pointer(list, 0);
	span->size = user_pointer(list, 8);
	return true;
}

static __always_inline void fill_used(struct used_socket *used, struct sock *sk, __u8 source)
{
	read_socket_id(&used->id, sk);
	read_socket(&used->socket, sk, source);
}

static __always_inline struct used_socket *uncontested(struct used_socket *carrier)
{
	return carrier && carrier->socket.family ? carrier : 0;
}

/* The entry of the ClientHello that this session's handshake began with. */
static __always_inline struct used_socket *find_hello(const struct pt_layout *layout, __u64 ssl)
{
	struct mark mark = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct used_socket *sent, *received;

	if (!layout || !is_tcp_object(layout, ssl) ||
	    !read_client_random(layout, ssl, mark.bytes, sizeof(mark.bytes)))
		return 0;
	mark.direction = PT_WRITE;
	sent = uncontested(bpf_map_lookup_elem(&pt_hellos, &mark));
	mark.direction = PT_READ;
	received = uncontested(bpf_map_lookup_elem(&pt_hellos, &mark));
	if (!sent || !received)
		return sent ? sent : received;
	if (layout->server == PT_NO_FIELD) /* a process that speaks to itself */
		return 0;
	return user_int(ssl, layout->server) & 1 ? received : sent;
}

static __always_inline bool is_record(const __u8 *bytes)
{
	return bytes[0] >= 20 && bytes[0] <= 23 && bytes[1] == 3;
}

/* Where the random of a ClientHello is in what begins so; 0 when it is none. */
static __always_inline __u32 hello_random(const __u8 *bytes)
{
	if (bytes[0] == 22 && bytes[1] == 3 && bytes[5] == 1 && bytes[9] == 3)
		return 11;
	/* the message alone, when the record's header was read before it */
	return bytes[0] == 1 && bytes[1] == 0 && bytes[4] == 3 ? 6 : 0;
}

static __always_inline bool read_mark(struct mark *mark, __u64 start, __u32 direction)
{
	mark->tgid = bpf_get_current_pid_tgid() >> 32;
	mark->direction = direction;
	return !bpf_probe_read_user(mark->bytes, sizeof(mark->bytes), (void *)start);
}

/*
 * The first that carried it, and none when another socket carries the same: it is in clear on the
 * wire, and who repeats it must not lend its address to somebody else's session.
 */
static __always_inline void note_carrier(void *map, __u64 start, struct sock *sk, __u8 direction,
					 __u8 source)
{
	struct used_socket used = {}, *before;
	struct mark mark = {};

	if (!read_mark(&mark, start, direction))
		return;
	fill_used(&used, sk, source);
	before = bpf_map_lookup_elem(map, &mark);
	if (before) {
		if (!same_socket(&used.id, &before->id))
			before->socket.family = 0;
		return;
	}
	if (bpf_map_update_elem(map, &mark, &used, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void match_made(void *context, __u64 start, struct sock *sk)
{
	struct used_socket used = {};
	struct session *session;
	struct maker *maker;
	struct mark mark = {};

	maker = read_mark(&mark, start, PT_WRITE) ? bpf_map_lookup_elem(&pt_made, &mark) : 0;
	session = maker ? known_session(maker->ssl) : 0;
	if (!session || session->id != maker->id || session->socket_id.sock)
		return;
	fill_used(&used, sk, PT_SOCKET_RECORD);
	set_socket(context, session, maker->ssl, &used);
}

/* Bytes of a process that carries them itself pass a socket: `moved` of them. */
static __always_inline void inspect_socket(void *context, struct sock *sk, __u8 direction,
					   __s64 moved, __u32 wants)
{
	struct user_span span;
	__u8 bytes[12] = {};
	__u32 header, random;

	if (moved < RECORD_HEADER + MARK_SIZE || !syscall_span(&span) ||
	    span.size < RECORD_HEADER + MARK_SIZE || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM ||
	    bpf_probe_read_user(bytes, sizeof(bytes), (void *)span.start))
		return;
	random = hello_random(bytes);
	if (wants & USER_HELLOS && random && moved >= random + MARK_SIZE)
		note_carrier(&pt_hellos, span.start + random, sk, direction, PT_SOCKET_HELLO);
	if (!(wants & USER_RECORDS))
		return;
	header = is_record(bytes) ? RECORD_HEADER : 0;
	if (direction == PT_READ)
		note_carrier(&pt_arrived, span.start + header, sk, direction, PT_SOCKET_RECORD);
	else if (header)
		match_made(context, span.start + header, sk);
}

/* The session of a call that hands bytes over, as long as it is worth looking for its socket. */
static __always_inline struct session *seeking_session(const struct frame *frame)
{
	struct session *session = frame && is_running() ? known_session(frame->ssl) : 0;

	if (!session || session->seeking != SEEKING)
		return 0;
	if (session->handovers >= HANDOVERS_MAX) {
		stop_seeking(session, SEEKING_NO_MORE);
		return 0;
	}
	session->handovers++;
	return session;
}

/* BIO_write(bio, data, length) inside a call: what the library sends. */
static __always_inline void note_made(struct pt_regs *regs)
{
	struct frame *frame = top_frame(current_thread());
	struct session *session = seeking_session(frame);
	struct maker maker = {};
	struct mark mark = {};
	__u64 start = regs->REG_ARGUMENT2;
	__u8 bytes[2] = {};

	if (!frame || !session || (__s32)regs->REG_ARGUMENT3 < RECORD_HEADER + MARK_SIZE)
		return;
	expect(bpf_get_current_pid_tgid() >> 32, USER_HELLOS | USER_RECORDS | USER_MEMORY);
	if (bpf_probe_read_user(bytes, sizeof(bytes), (void *)start) || !is_record(bytes) ||
	    !read_mark(&mark, start + RECORD_HEADER, PT_WRITE))
		return;
	maker.ssl = frame->ssl;
	maker.id = session->id;
	if (bpf_map_update_elem(&pt_made, &mark, &maker, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

/* BIO_read(bio, buffer, length, [size_t *done]) inside a call: what the library takes. */
static __always_inline void begin_taking(struct pt_regs *regs, __u64 cookie)
{
	struct thread *thread = current_thread();
	struct frame *frame = top_frame(thread);

	if (!frame)
		return;
	thread->bio_buffer = 0;
	if (!seeking_session(frame))
		return;
	thread->bio_buffer = regs->REG_ARGUMENT2;
	thread->bio_done = argument(regs, COOKIE_DONE_ARGUMENT(cookie));
	expect(bpf_get_current_pid_tgid() >> 32, USER_HELLOS | USER_RECORDS | USER_MEMORY);
}

static __always_inline struct used_socket *find_arrival(__u64 start)
{
	struct mark mark = {};

	if (!read_mark(&mark, start, PT_READ))
		return 0;
	return uncontested(bpf_map_lookup_elem(&pt_arrived, &mark));
}

static __always_inline void end_taking(void *context, __s64 returned)
{
	struct thread *thread = current_thread();
	struct frame *frame = top_frame(thread);
	struct used_socket *found;
	struct session *session;
	__s64 taken = (__s32)returned;

	if (!frame || !thread->bio_buffer)
		return;
	if (thread->bio_done &&
	    (taken != 1 || bpf_probe_read_user(&taken, sizeof(taken), (void *)thread->bio_done)))
		return;
	if (taken < MARK_SIZE)
		return;
	found = find_arrival(thread->bio_buffer);
	if (!found && taken >= RECORD_HEADER + MARK_SIZE)
		found = find_arrival(thread->bio_buffer + RECORD_HEADER);
	session = found ? known_session(frame->ssl) : 0;
	if (session && session->seeking == SEEKING)
		set_socket(context, session, frame->ssl, found);
}

#endif
