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

/* What to look for at the sockets of a process. */
#define USER_HELLOS 1  /* it makes sessions */
#define USER_RECORDS 2 /* it has sessions over memory whose ClientHello was not seen */
#define USER_MEMORY 4  /* it has had sessions over memory */

#define RECORD_HEADER 5
#define MARK_SIZE 16

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} pt_users SEC(".maps");

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

static __always_inline void expect(__u32 tgid, __u32 bits)
{
	__u32 *known = bpf_map_lookup_elem(&pt_users, &tgid);

	if (known) {
		*known |= bits;
		return;
	}
	if (bpf_map_update_elem(&pt_users, &tgid, &bits, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

/* SSL_new: until it is known how the process carries its bytes. */
static __always_inline void expect_session(__u32 tgid)
{
	if (!bpf_map_lookup_elem(&pt_users, &tgid))
		expect(tgid, USER_HELLOS);
}

/* This process lets its libraries use the sockets: nothing to look for. */
static __always_inline void expect_nothing(__u32 tgid)
{
	__u32 *known = bpf_map_lookup_elem(&pt_users, &tgid);

	if (known && !(*known & USER_MEMORY))
		*known = 0;
}

static __always_inline bool carries_bytes(__u32 tgid)
{
	__u32 *known = bpf_map_lookup_elem(&pt_users, &tgid);

	return known && *known & USER_MEMORY;
}

struct user_span {
	__u64 start;
	__u64 size;
	__s32 fd;
};

/*
 * The descriptor and the first buffer of the system call in progress, when it is one that moves
 * bytes. Numbers of x86-64: arch/x86/entry/syscalls/syscall_64.tbl.
 */
static __always_inline bool syscall_span(struct user_span *span)
{
	struct pt_regs *regs = user_registers();
	__u64 number = BPF_CORE_READ(regs, orig_ax), list;

	span->fd = BPF_CORE_READ(regs, di);
	span->start = BPF_CORE_READ(regs, si);
	span->size = BPF_CORE_READ(regs, dx);
	if (number == 0 || number == 1 || number == 44 ||
	    number == 45) /* read write sendto recvfrom */
		return true;
	list = span->start;
	if (number == 46 || number == 47 || number == 299 || number == 307) /* {send,recv}{,m}msg */
		list = user_pointer(list, 16);				    /* msg_iov */
	else if (number != 19 && number != 20)				    /* readv writev */
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

/* The entry of the ClientHello that this session's handshake began with. */
static __always_inline struct used_socket *find_hello(const struct pt_layout *layout, __u64 ssl)
{
	struct mark mark = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct used_socket *sent, *received;

	if (!layout || !is_tcp_object(layout, ssl) ||
	    !read_client_random(layout, ssl, mark.bytes, sizeof(mark.bytes)))
		return 0;
	mark.direction = PT_WRITE;
	sent = bpf_map_lookup_elem(&pt_hellos, &mark);
	mark.direction = PT_READ;
	received = bpf_map_lookup_elem(&pt_hellos, &mark);
	if (!sent || !received)
		return sent ? sent : received;
	if (layout->server == PT_NO_FIELD) /* a process that speaks to itself */
		return 0;
	return user_int(ssl, layout->server) ? received : sent;
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

static __always_inline void note_carrier(void *map, __u64 start, struct sock *sk, __u8 direction,
					 __u8 source)
{
	struct used_socket used = {};
	struct mark mark = {};

	if (!read_mark(&mark, start, direction))
		return;
	fill_used(&used, sk, source);
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
	set_socket(context, session, &used);
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

/* BIO_write(bio, data, length) inside a call: what the library sends. */
static __always_inline void note_made(struct pt_regs *regs)
{
	struct frame *frame = top_frame(current_thread());
	struct session *session = frame ? known_session(frame->ssl) : 0;
	struct maker maker = {};
	struct mark mark = {};
	__u64 start = regs->si;
	__u8 bytes[2] = {};

	if (!session || session->socket_id.sock || (__s32)regs->dx < RECORD_HEADER + MARK_SIZE)
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

/* BIO_read(bio, buffer, length) inside a call: what the library takes. */
static __always_inline void begin_taking(struct pt_regs *regs)
{
	struct thread *thread = current_thread();
	struct frame *frame = top_frame(thread);
	struct session *session = frame ? known_session(frame->ssl) : 0;

	if (!frame)
		return;
	thread->bio_buffer = 0;
	if (!session || session->socket_id.sock)
		return;
	thread->bio_buffer = regs->si;
	expect(bpf_get_current_pid_tgid() >> 32, USER_HELLOS | USER_RECORDS | USER_MEMORY);
}

static __always_inline struct used_socket *find_arrival(__u64 start)
{
	struct mark mark = {};

	return read_mark(&mark, start, PT_READ) ? bpf_map_lookup_elem(&pt_arrived, &mark) : 0;
}

static __always_inline void end_taking(void *context, __s32 taken)
{
	struct thread *thread = current_thread();
	struct frame *frame = top_frame(thread);
	struct used_socket *found;
	struct session *session;

	if (!frame || !thread->bio_buffer || taken < MARK_SIZE)
		return;
	found = find_arrival(thread->bio_buffer);
	if (!found && taken >= RECORD_HEADER + MARK_SIZE)
		found = find_arrival(thread->bio_buffer + RECORD_HEADER);
	session = found ? known_session(frame->ssl) : 0;
	if (session && !session->socket_id.sock)
		set_socket(context, session, found);
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
	layout = find_layout(frame->library);
	if (find_by_descriptor(layout, frame->ssl, &found)) {
		if (!same_socket(&found.id, &session->socket_id))
			set_socket(context, session, &found);
		expect_nothing(tgid);
		return;
	}
	hello = session->socket_id.sock ? 0 : find_hello(layout, frame->ssl);
	if (hello) {
		set_socket(context, session, hello);
		session->secrets |= SECRETS_HELLO;
		return;
	}
	/* What a call over memory does with a socket is a callback's business. */
	if (single && !carries_bytes(tgid)) {
		set_socket(context, session, only);
		expect_nothing(tgid);
	}
}

/* A call that moved nothing and touched no socket: the process may carry the bytes itself. */
static __always_inline void suspect_memory(const struct frame *frame)
{
	struct session *session = known_session(frame->ssl);

	if (!session || !session->socket_id.sock)
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
	slot = &thread->sockets[second];
	slot->id = id;
	read_socket(&slot->socket, sk, PT_SOCKET_NESTED_CALL);
	if (syscall_span(&span))
		slot->socket.fd = span.fd;
	mark_used(thread, direction, second ? USED_SECOND : USED_FIRST);
}

/* A socket of this thread moves bytes; `moved` is negative where that failed. */
static __always_inline void note_socket(void *context, struct sock *sk, __u8 direction, __s64 moved)
{
	struct thread *thread = current_thread();
	struct frame *top = top_frame(thread);
	__u32 tgid, *wants;

	if (top) {
		note_nested(thread, top, sk, direction);
		if (top->direction == PT_HANDSHAKE && SETTING(secrets))
			inspect_socket(context, sk, direction, moved, USER_HELLOS);
		return;
	}
	tgid = bpf_get_current_pid_tgid() >> 32;
	wants = bpf_map_lookup_elem(&pt_users, &tgid);
	if (wants && *wants)
		inspect_socket(context, sk, direction, moved, *wants);
}
#endif
