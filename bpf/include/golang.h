/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Go's crypto/tls: calls in progress, by goroutine.
 *
 * A goroutine may return on another thread than it was called on, and its stack may have been copied
 * elsewhere meanwhile: what lies on it is remembered by how far it is from the stack's high end,
 * which stays. That distance of the stack pointer at entry also tells nested calls apart (TLS in
 * TLS), and a call that was left by a panic is overwritten by the next one at its place.
 */
#ifndef PLAINTAP_GOLANG_H
#define PLAINTAP_GOLANG_H

/*
 * What user space attaches with each probe; src/plaintap/modules/cookies.py packs it.
 *   STACK_ABI  Go before 1.17
 *   FOREIGN    a copy of crypto/tls: of the layout only the place of the net.Conn is true
 *   INDIRECT   the receiver begins with a pointer to the Conn
 *   SPILLED    of an exit: the first arguments are where the caller left room for them, above the
 *              return address, as they always are in the stack ABI
 *   VADDR      of an entry, in the file
 *   COUNT      of an exit: where it is what was moved, see place()
 *   PLUS       0, or where it is what is to be added
 *   SP_WORDS   how far the stack pointer is below that of the entry
 */
#define COOKIE_STACK_ABI(cookie) (((cookie) >> 17) & 1)
#define COOKIE_FOREIGN(cookie) (((cookie) >> 18) & 1)
#define COOKIE_INDIRECT(cookie) (((cookie) >> 19) & 1)
#define COOKIE_SPILLED(cookie) (((cookie) >> 20) & 1)
#define COOKIE_VADDR(cookie) ((__u32)((cookie) >> 32))
#define COOKIE_COUNT(cookie) ((__u8)((cookie) >> 32))
#define COOKIE_PLUS(cookie) ((__u8)((cookie) >> 40))
#define COOKIE_SP_WORDS(cookie) ((__u16)((cookie) >> 48))

#define PLACE_REGISTER 128
#define REGISTERS 16

/* src/plaintap/runtime/kernel_layout.py packs it; src/plaintap/targets/layouts/golang.py says what each is. */
struct pt_go_layout {
	__u64 type_tcp;
	__u64 type_unix;
	__u16 conn;
	__u16 tcp_fd;
	__u16 sysfd;
	__u16 vers;
	__u16 cipher_suite;
	__u16 client_protocol;
	__u16 server_name;
	__s16 g_tls_offset;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PT_LIBRARIES);
	__type(key, __u32);
	__type(value, struct pt_go_layout);
} pt_go_layouts SEC(".maps");

struct go_call_key {
	__u64 g;
	__u32 tgid;
	__u32 depth; /* of the stack at entry, in bytes */
};

struct go_call {
	__u64 conn;
	__u64 buffer; /* or, on the stack, how far it is below the high end */
	__u64 size;
	__u64 bias; /* of the file in memory */
	__u8 on_stack;
	__u8 active; /* what has returned stays, since updating is dear: goroutines call in the same places */
	__u8 settled; /* the Conn's session has its socket */
	__u8 pad[5];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct go_call_key);
	__type(value, struct go_call);
} pt_go_calls SEC(".maps");

struct goroutine_key {
	__u64 g;
	__u32 tgid;
	__u32 pad;
};

/* The Conn of the handshake that a goroutine makes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine_key);
	__type(value, __u64);
} pt_go_handshakes SEC(".maps");

#ifdef PT_CORE
/* Of a goroutine in a call whose Conn keeps no descriptor that we know: the socket it used. */
struct go_sought {
	struct used_socket socket;
	__u8 direction;
	__u8 several; /* it used another one as well */
	__u8 pad[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct goroutine_key);
	__type(value, struct go_sought);
} pt_go_sought SEC(".maps");
#endif

struct goroutine {
	__u64 g;
	__u64 low; /* of its stack */
	__u64 high;
};

static __always_inline const struct pt_go_layout *find_go_layout(__u32 library)
{
	return bpf_map_lookup_elem(&pt_go_layouts, &library);
}

static __always_inline bool find_goroutine(struct pt_regs *regs, __u64 cookie,
					   struct goroutine *found)
{
	__u64 g = regs->REG_GOROUTINE;

	barrier_var(g);
	if (GOROUTINE_BY_THREAD && COOKIE_STACK_ABI(cookie)) {
#ifdef PT_CORE
		const struct pt_go_layout *layout = find_go_layout(COOKIE_LIBRARY(cookie));
		__u64 thread = thread_pointer();

		g = 0;
		if (!layout ||
		    bpf_probe_read_user(&g, sizeof(g), (void *)(thread + layout->g_tls_offset)))
			return false;
#else
		return false;
#endif
	}
	found->g = g;
	/* runtime.g begins with the bounds of its stack. */
	return !bpf_probe_read_user(&found->low, 2 * sizeof(__u64), (void *)g);
}

/* The argument word of a call; `number` counts from 0, the receiver. */
static __always_inline __u64 go_argument(struct pt_regs *regs, __u64 cookie, __u32 number)
{
	__u64 word = 0;

	switch (number) { /* a constant wherever this is used */
	case 0:
		word = regs->REG_GO_ARGUMENT0;
		break;
	case 1:
		word = regs->REG_GO_ARGUMENT1;
		break;
	case 2:
		word = regs->REG_GO_ARGUMENT2;
		break;
	case 3:
		word = regs->REG_GO_ARGUMENT3;
		break;
	case 4:
		word = regs->REG_GO_ARGUMENT4;
		break;
	case 6:
		word = regs->REG_GO_ARGUMENT6;
		break;
	case 7:
		word = regs->REG_GO_ARGUMENT7;
		break;
	}
	/* Loaded before the choice: the verifier refuses a chosen context offset. */
	barrier_var(word);
	if (COOKIE_STACK_ABI(cookie))
		bpf_probe_read_user(&word, sizeof(word), (void *)(regs->sp + 8 + 8 * number));
	return word;
}

static __always_inline __u64 go_conn(struct pt_regs *regs, __u64 cookie)
{
	__u64 conn = go_argument(regs, cookie, 0);

	return COOKIE_INDIRECT(cookie) ? user_pointer(conn, 0) : conn;
}

/* A register by its number in instructions; on arm64 no count is elsewhere than in the first result's. */
static __always_inline __u64 register_value(struct pt_regs *regs, __u8 number)
{
#ifdef __TARGET_ARCH_x86
	__u64 values[REGISTERS] = {
		regs->ax,  regs->cx,  regs->dx,	 regs->bx,  regs->sp,  regs->bp,
		regs->si,  regs->di,  regs->r8,	 regs->r9,  regs->r10, regs->r11,
		regs->r12, regs->r13, regs->r14, regs->r15,
	};

	return values[number & (REGISTERS - 1)];
#else
	return (number & ~PLACE_REGISTER) ? 0 : regs->REG_GO_RESULT;
#endif
}

/* 0: the first result's register; up to 127: a word of the stack, from 1; behind that a register. */
static __always_inline __u64 place(struct pt_regs *regs, __u8 where)
{
	__u64 value = 0, first = regs->REG_GO_RESULT;

	barrier_var(first);
	if (!where)
		return first;
	if (where >= PLACE_REGISTER)
		return register_value(regs, where);
	bpf_probe_read_user(&value, sizeof(value), (void *)(regs->sp + 8 * (where - 1)));
	return value;
}

static __always_inline __u16 user_short(__u64 object, __u16 offset)
{
	__u16 number = 0;

	if (offset != PT_NO_FIELD)
		bpf_probe_read_user(&number, sizeof(number), (void *)(object + offset));
	return number;
}

#ifdef PT_CORE
/* The descriptor behind the interface net.Conn, when that is the net package's own; else -1. */
static __always_inline __s32 go_descriptor(const struct pt_go_layout *layout, __u64 conn,
					   __u64 bias)
{
	__u64 table, type, file;

	if (!layout || layout->conn == PT_NO_FIELD)
		return -1;
	table = user_pointer(conn, layout->conn);
	type = table ? user_pointer(table, 8) : 0; /* runtime.itab: the interface, the type */
	if (!type || (type - bias != layout->type_tcp && type - bias != layout->type_unix))
		return -1;
	file = user_pointer(user_pointer(conn, layout->conn + 8), layout->tcp_fd);
	return file ? (__s32)user_int(file, layout->sysfd) : -1;
}

static __always_inline void seek_go_socket(const struct goroutine_key *key, __u8 direction)
{
	struct go_sought fresh = {};

	fresh.direction = direction;
	expect(key->tgid, USER_GOROUTINES);
	if (bpf_map_update_elem(&pt_go_sought, key, &fresh, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

/* A handshake is a beginning as well: what the goroutine used before may have been another connection's. */
static __always_inline void forget_sought(const struct goroutine_key *key)
{
	struct go_sought *sought = bpf_map_lookup_elem(&pt_go_sought, key);

	if (!sought)
		return;
	sought->socket.id.sock = 0;
	sought->several = 0;
}

static __always_inline void attribute_go(void *context, struct session *session,
					 const struct pt_go_layout *layout, __u64 bias, __u64 conn,
					 __u64 g)
{
	struct goroutine_key key = {.g = g, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct used_socket found = {};
	struct go_sought *sought;
	struct sock *sk;
	__s32 fd;

	if (session->socket_id.sock && is_open(&session->socket_id))
		return;
	fd = go_descriptor(layout, conn, bias);
	sk = fd < 0 ? 0 : socket_of(fd);
	if (sk) {
		fill_used(&found, sk, PT_SOCKET_DESCRIPTOR);
		found.socket.fd = fd;
	} else {
		sought = bpf_map_lookup_elem(&pt_go_sought, &key);
		if (fd >= 0 || !sought || !sought->socket.id.sock || sought->several)
			return;
		found = sought->socket;
	}
	/* What came before a reset can be read after it. */
	if (!same_socket(&found.id, &session->socket_id))
		set_socket(context, session, conn, &found);
}

static __always_inline struct go_sought *sought_by(__u64 g, __u32 tgid)
{
	struct goroutine_key key = {.g = g, .tgid = tgid};

	return bpf_map_lookup_elem(&pt_go_sought, &key);
}

/* A socket used by a thread of a process whose goroutines look for theirs. */
static __always_inline void note_goroutine(struct sock *sk, __u8 direction, __u32 tgid)
{
	struct pt_regs *regs = user_registers();
	struct go_sought *sought = sought_by(BPF_CORE_READ(regs, REG_GOROUTINE), tgid);
	struct user_span span;
	struct socket_id id;

	/* Where Go before 1.17 keeps it, but for some programs with cgo. */
	if (!sought && GOROUTINE_BY_THREAD)
		sought = sought_by(user_pointer(thread_pointer() - 8, 0), tgid);
	if (!sought || sought->direction != direction || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return;
	read_socket_id(&id, sk);
	if (sought->socket.id.sock) {
		sought->several |= !same_socket(&id, &sought->socket.id);
		return;
	}
	fill_used(&sought->socket, sk, PT_SOCKET_NESTED_CALL);
	if (syscall_span(&span))
		sought->socket.socket.fd = span.fd;
}
#endif

/* Where the files of Go programs lie in their processes, by library, as the last entry found. */
struct go_file_key {
	__u32 tgid;
	__u32 library;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct go_file_key);
	__type(value, __u64);
} pt_go_biases SEC(".maps");

static __always_inline void remember_bias(__u32 tgid, __u32 library, __u64 bias)
{
	struct go_file_key key = {.tgid = tgid, .library = library};
	__u64 *known = bpf_map_lookup_elem(&pt_go_biases, &key);

	if ((!known || *known != bias) && bpf_map_update_elem(&pt_go_biases, &key, &bias, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void enter_go_call(struct pt_regs *regs, __u64 cookie)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct goroutine goroutine;
	struct go_call_key key = {};
	struct go_call call = {.active = 1}, *before;

	if (!wanted(tgid) || !find_goroutine(regs, cookie, &goroutine))
		return;
	key.g = goroutine.g;
	key.tgid = tgid;
	key.depth = goroutine.high - regs->sp;
	call.conn = go_conn(regs, cookie);
	call.buffer = go_argument(regs, cookie, 1);
	call.size = go_argument(regs, cookie, 2);
	call.bias = regs->REG_IP - COOKIE_VADDR(cookie);
	if (call.buffer >= goroutine.low && call.buffer < goroutine.high) {
		call.on_stack = 1;
		call.buffer = goroutine.high - call.buffer;
	}
	before = bpf_map_lookup_elem(&pt_go_calls, &key);
	if (before) {
		call.settled = before->settled && before->conn == call.conn;
		*before = call;
		if (call.settled)
			return;
	} else if (bpf_map_update_elem(&pt_go_calls, &key, &call, BPF_ANY)) {
		count(PT_MAP_FULL, 1);
	}
	if (call.bias)
		remember_bias(tgid, COOKIE_LIBRARY(cookie), call.bias);
#ifdef PT_CORE
	struct session *session = known_session(call.conn);

	if ((!session || !session->socket_id.sock) &&
	    go_descriptor(find_go_layout(COOKIE_LIBRARY(cookie)), call.conn, call.bias) < 0) {
		struct goroutine_key g = {.g = goroutine.g, .tgid = tgid};

		seek_go_socket(&g, COOKIE_WRITE(cookie));
	}
#endif
}

/* A Go string: where it lies, how long it is. */
static __always_inline __u64 read_go_string(__u64 object, __u16 offset, void *into, __u64 room)
{
	__u64 text = user_pointer(object, offset);
	__u64 length = text ? user_pointer(object, offset + 8) : 0;

	if (!length || length > room)
		return 0;
	barrier_var(length);
	if (length > room)
		length = room;
	return bpf_probe_read_user(into, length, (void *)text) ? 0 : length;
}

/* As send_tls of tls.h, but for where it is kept. */
static __always_inline void send_go_tls(void *context, struct session *session, __u64 conn,
					__u64 cookie)
{
	const struct pt_go_layout *layout = find_go_layout(COOKIE_LIBRARY(cookie));
	struct pt_tls *record;

	if (session->tls & TLS_DONE)
		return;
	if (!layout || COOKIE_FOREIGN(cookie) || layout->vers == PT_NO_FIELD ||
	    ++session->tls_tries >= TLS_TRIES) {
		session->tls |= TLS_DONE;
		return;
	}
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	fill_header(&record->header, PT_TLS, sizeof(*record));
	record->session = session->id;
	record->version = user_short(conn, layout->vers);
	record->cipher = user_short(conn, layout->cipher_suite);
	if (record->version < SSL3_VERSION || record->version > TLS1_3 || !record->cipher) {
		drop_record(record);
		return;
	}
	if (layout->client_protocol != PT_NO_FIELD)
		record->alpn_length =
			read_go_string(conn, layout->client_protocol, record->alpn, PT_ALPN_SIZE);
	if (layout->server_name != PT_NO_FIELD)
		read_go_string(conn, layout->server_name, record->sni, PT_SNI_SIZE - 1);
	session->tls |= TLS_DONE;
	send_record(context, record, sizeof(*record));
}

/* A call that was entered before there was a probe: a server is inside a read all the time. */
static __always_inline bool recover_go_call(struct pt_regs *regs, __u64 cookie,
					    struct go_call *call)
{
	__u64 words[3] = {}, above = regs->sp + 8 * (COOKIE_SP_WORDS(cookie) + 1);
	struct go_file_key key = {
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.library = COOKIE_LIBRARY(cookie),
	};
	__u64 *bias;

	if (!COOKIE_SPILLED(cookie) || !wanted(key.tgid) ||
	    bpf_probe_read_user(words, sizeof(words), (void *)above))
		return false;
	call->conn = COOKIE_INDIRECT(cookie) ? user_pointer(words[0], 0) : words[0];
	call->buffer = words[1];
	call->size = words[2];
	bias = bpf_map_lookup_elem(&pt_go_biases, &key);
	call->bias = bias ? *bias : 0;
	return call->conn;
}

/* The call that returns here, as it was, and where what is kept of it is. */
static __always_inline struct go_call *leave_go_call(struct pt_regs *regs, __u64 cookie,
						     const struct goroutine *goroutine,
						     struct go_call *left, bool moved)
{
	struct go_call_key key = {.g = goroutine->g, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct go_call *call;

	key.depth = goroutine->high - (regs->sp + 8 * COOKIE_SP_WORDS(cookie));
	call = bpf_map_lookup_elem(&pt_go_calls, &key);
	if (!call) { /* entered before there was a probe, or evicted */
		if (recover_go_call(regs, cookie, left))
			return left;
		if (moved && is_running() && wanted(key.tgid))
			count_unmatched(cookie);
		return 0;
	}
	if (!call->active) /* it was sent where it was sure to return, and a panic has led here */
		return 0;
	*left = *call;
	if (left->on_stack)
		left->buffer = goroutine->high - left->buffer;
	call->active = 0;
	return call;
}

static __always_inline void return_go_call(struct pt_regs *regs, __u64 cookie)
{
	__u64 id = bpf_get_current_pid_tgid(), done = place(regs, COOKIE_COUNT(cookie));
	struct session_key session_key = {.tgid = id >> 32};
	struct goroutine goroutine;
	struct go_call call = {}, *kept;
	struct frame frame = {};
	struct session *session;
	struct thread *thread;

	if (!find_goroutine(regs, cookie, &goroutine))
		return;
	if (COOKIE_PLUS(cookie))
		done += place(regs, COOKIE_PLUS(cookie));
	kept = leave_go_call(regs, cookie, &goroutine, &call, done);
	if (!kept)
		return;
	frame.ssl = call.conn;
	frame.buffer = call.buffer;
	frame.size = call.size;
	frame.library = COOKIE_LIBRARY(cookie);
	frame.direction = COOKIE_WRITE(cookie);
	if (!is_running() || !done) /* an error's count is 0, or what was done */
		return;
	if (done > frame.size) {
		count(PT_UNREAD_RECORDS, 1);
		return;
	}
	session_key.ssl = frame.ssl;
	session = find_session(regs, &session_key);
	thread = find_thread((__u32)id);
	if (!session || !thread)
		return;
#ifdef PT_CORE
	/* A Conn keeps its socket; that another one in its place begins is not seen of a copy. */
	if (!kept->settled || !session->socket_id.sock || COOKIE_FOREIGN(cookie)) {
		attribute_go(regs, session, find_go_layout(frame.library), call.bias, frame.ssl,
			     goroutine.g);
		kept->settled = session->socket_id.sock != 0;
	}
#endif
	if (SETTING(plaintext)) {
		send_go_tls(regs, session, frame.ssl, cookie);
		send_call(regs, thread, &frame, session, done);
	}
}

/* Whether no handshake of it has come as far as a version. */
static __always_inline bool is_new_conn(__u64 conn, __u64 cookie)
{
	const struct pt_go_layout *layout = find_go_layout(COOKIE_LIBRARY(cookie));

	return layout && !COOKIE_FOREIGN(cookie) && layout->vers != PT_NO_FIELD &&
	       !user_short(conn, layout->vers);
}

/* (*Conn).clientHandshake, .serverHandshake */
static __always_inline void begin_go_handshake(struct pt_regs *regs, __u64 cookie)
{
	struct session *session;
	struct goroutine_key key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct goroutine goroutine;
	bool renewed;
	__u64 conn;

	if (!wanted(key.tgid))
		return;
	conn = go_conn(regs, cookie);
	session = known_session(conn);
	renewed = session && (session->left || is_new_conn(conn, cookie));
	if (renewed) /* another Conn in the same place */
		end_session(regs, conn);
	if (!find_goroutine(regs, cookie, &goroutine))
		return;
	key.g = goroutine.g;
#ifdef PT_CORE
	forget_sought(&key);
	/* The call around it was taken for one of the Conn before, whose socket was known. */
	if (renewed && go_descriptor(find_go_layout(COOKIE_LIBRARY(cookie)), conn,
				     regs->REG_IP - COOKIE_VADDR(cookie)) < 0)
		seek_go_socket(&key, PT_WRITE);
#endif
	if (SETTING(secrets) && bpf_map_update_elem(&pt_go_handshakes, &key, &conn, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

/*
 * Other goroutines may be inside a read or a write, and return later with bytes. What has a socket of
 * TCP ends with that.
 */
static __always_inline void close_go_conn(struct pt_regs *regs, __u64 cookie)
{
	__u64 conn = go_conn(regs, cookie);
	struct session *session = known_session(conn);

	if (!session)
		return;
	if (session->socket.family == AF_INET || session->socket.family == AF_INET6)
		session->left = 1;
	else
		end_session(regs, conn);
}

/* The session whose handshake this goroutine makes. */
static __always_inline struct session *go_handshake_session(struct pt_regs *regs, __u64 cookie,
							    __u64 *conn)
{
	struct session_key session_key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct goroutine_key key = {.tgid = session_key.tgid};
	struct goroutine goroutine;
	struct session *session;
	__u64 *known;

	if (!find_goroutine(regs, cookie, &goroutine))
		return 0;
	key.g = goroutine.g;
	known = bpf_map_lookup_elem(&pt_go_handshakes, &key);
	if (!known)
		return 0;
	*conn = session_key.ssl = *known;
	session = find_session(regs, &session_key);
#ifdef PT_CORE
	if (session)
		attribute_go(regs, session, find_go_layout(COOKIE_LIBRARY(cookie)),
			     regs->REG_IP - COOKIE_VADDR(cookie), *conn, goroutine.g);
#endif
	return session;
}

/* (*Config).writeKeyLog(label string, clientRandom, secret []byte): called whether or not anybody logs */
static __always_inline void send_go_secret(struct pt_regs *regs, __u64 cookie)
{
	__u64 label = go_argument(regs, cookie, 1), label_length = go_argument(regs, cookie, 2);
	__u64 random = go_argument(regs, cookie, 3), random_length = go_argument(regs, cookie, 4);
	__u64 secret = go_argument(regs, cookie, 6), length = go_argument(regs, cookie, 7);
	__u64 conn = 0;
	struct pt_secret *record;
	struct session *session;

	if (!SETTING(secrets) || !is_running() || !wanted(bpf_get_current_pid_tgid() >> 32) ||
	    random_length != PT_RANDOM_SIZE || !length || length > PT_SECRET_MAX || !label_length ||
	    label_length >= PT_LABEL_SIZE)
		return;
	session = go_handshake_session(regs, cookie, &conn);
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	fill_header(&record->header, PT_SECRET, sizeof(*record));
	if (session) {
		fill_owner(&record->owner, session, conn, COOKIE_LIBRARY(cookie),
			   PT_HANDSHAKE_SEEN);
		session->secrets |= SECRETS_LOGGED;
	} else {
		record->owner.uid = bpf_get_current_uid_gid();
		record->owner.library = COOKIE_LIBRARY(cookie);
		record->owner.socket.fd = -1;
		process_comm(record->owner.comm);
	}
	record->length = length;
	barrier_var(label_length);
	if (label_length > PT_LABEL_SIZE - 1)
		label_length = PT_LABEL_SIZE - 1;
	barrier_var(length);
	if (length > PT_SECRET_MAX)
		length = PT_SECRET_MAX;
	if (bpf_probe_read_user(record->label, label_length, (void *)label) ||
	    bpf_probe_read_user(record->owner.client_random, PT_RANDOM_SIZE, (void *)random) ||
	    bpf_probe_read_user(record->secret, length, (void *)secret)) {
		drop_record(record);
		count(PT_UNREAD_RECORDS, 1);
		return;
	}
	send_record(regs, record, sizeof(*record));
}

#endif
