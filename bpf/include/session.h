/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* TLS sessions: identity (process, SSL pointer, generation), byte offsets, the socket they use. */
#ifndef PLAINTAP_SESSION_H
#define PLAINTAP_SESSION_H

struct session_key {
	__u64 ssl;
	__u32 tgid;
	__u32 pad;
};

struct session {
	__u64 id; /* unique for this boot: nanoseconds and CPU of its first call */
	__u64 offset[2];
	__u64 image; /* of current_image(); another one: the process executed another program, or the pid was reused */
	__u32 uid;
	__u8 secrets; /* SECRETS_ */
	__u8 tries;
	__u8 seeks;   /* calls after which no socket was found */
	__u8 seeking; /* SEEKING_ */
	char comm[PT_COMM_SIZE];
	struct socket_id socket_id;
	struct pt_socket socket;
	__u32 handovers; /* calls of BIO_read and BIO_write that were looked at for its socket */
	__u8 tls;	 /* TLS_ */
	__u8 tls_tries;
	__u8 left; /* its program has closed it; calls of other threads may still return */
	__u8 kept; /* what the next write that succeeds reports was sent when it had to wait */
};

#define SEEKING 1	  /* counted in its process's `seekers` */
#define SEEKING_NO_MORE 2 /* in vain: only what is as good as certain still gives it a socket */

#define SECRETS_SENT 1
#define SECRETS_NONE 2	 /* there are none to be had */
#define SECRETS_HELLO 4	 /* the client random was seen in a ClientHello */
#define SECRETS_LOGGED 8 /* the library's own lines were sent */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct session_key);
	__type(value, struct session);
} pt_sessions SEC(".maps");

#ifdef PT_CORE
/* The session that uses a socket, the last one to begin with it, for who sees it close. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct session_key);
} pt_session_of SEC(".maps");
#endif

/* Processes that have had a session: the ones whose end is worth a record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} pt_speakers SEC(".maps");

/*
 * Tags of the sessions in pt_sessions, one place each of which a later one takes over: one that
 * begins with its tag already here was evicted there. Of the evictions the ones that mattered, and
 * rather fewer than there were.
 */
#define TAG_BITS 18

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1 << TAG_BITS);
	__type(key, __u32);
	__type(value, __u64);
} pt_tags SEC(".maps");

static __always_inline __u64 tag_of(const struct session_key *key, __u64 image)
{
	__u64 tag = (key->ssl + ((__u64)key->tgid << 32)) ^ image;

	tag *= 0x9e3779b97f4a7c15; /* 2^64 by the golden ratio: all bits have their part in the upper ones */
	tag ^= tag >> 32;
	return tag * 0x9e3779b97f4a7c15 | 1;
}

static __always_inline __u64 *place_of(__u64 tag)
{
	__u32 place = tag >> (64 - TAG_BITS);

	return bpf_map_lookup_elem(&pt_tags, &place);
}

#ifdef PT_CORE
/* 5.11: fields are read without a call. */
enum bpf_func_id___task {
	BPF_FUNC_get_current_task_btf___task = 158,
};
#endif

/* What a process executes: addresses are used again behind an exec, pids behind its end. */
static __always_inline __u64 current_image(void)
{
#ifdef PT_CORE
#ifndef PT_LESS52
	if (bpf_core_enum_value_exists(enum bpf_func_id___task,
				       BPF_FUNC_get_current_task_btf___task)) {
		struct task_struct *task = (void *)bpf_get_current_task_btf();

		return task->group_leader->start_time ^ (__u64)task->self_exec_id << 32;
	}
#endif
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, group_leader, start_time) ^
	       (__u64)BPF_CORE_READ(task, self_exec_id) << 32;
#else
	return 0;
#endif
}

static __always_inline __u64 new_session_id(void)
{
	return bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
}

#ifdef PT_CORE
/* A session without a socket: what its library hands over is looked at from now on. */
static __always_inline void begin_seeking(struct session *session)
{
	if (session->seeking)
		return;
	session->seeking = SEEKING;
	add_seeker(bpf_get_current_pid_tgid() >> 32);
}
#endif

static __always_inline void stop_seeking(struct session *session, __u8 state)
{
#ifdef PT_CORE
	if (session->seeking == SEEKING)
		remove_seeker(bpf_get_current_pid_tgid() >> 32, state == SEEKING_NO_MORE);
#endif
	session->seeking = state;
}

static __always_inline void send_session_end(void *context, const struct session *session)
{
	struct pt_session_end *end;

	if (SETTING(secrets) &&
	    !(session->secrets & (SECRETS_SENT | SECRETS_NONE | SECRETS_LOGGED)))
		count(PT_WITHOUT_SECRETS, 1);
	if (!SETTING(plaintext)) /* there is no stream that could have lost its end */
		return;
	end = begin_record(sizeof(*end));
	if (!end)
		return;
	fill_header(&end->header, PT_SESSION_END, sizeof(*end));
	end->session = session->id;
	end->total[PT_READ] = session->offset[PT_READ];
	end->total[PT_WRITE] = session->offset[PT_WRITE];
	send_record(context, end, sizeof(*end));
}

static __always_inline void note_new(const struct session_key *key, __u64 image)
{
	__u64 tag = tag_of(key, image), *place = place_of(tag);

	if (!place)
		return;
	if (*place == tag)
		count(PT_EVICTED, 1);
	*place = tag;
}

static __always_inline void forget_session(struct session *session, const struct session_key *key)
{
	__u64 tag = tag_of(key, session->image), *place = place_of(tag);

	stop_seeking(session, 0);
	if (place && *place == tag)
		*place = 0;
	bpf_map_delete_elem(&pt_sessions, key);
}

static __always_inline struct session *new_session(const struct session_key *key, __u64 image)
{
	__u32 one = 1;
	struct session fresh = {};
	long failed;

	fresh.id = new_session_id();
	fresh.image = image;
	fresh.uid = bpf_get_current_uid_gid();
	fresh.socket.fd = -1;
	process_comm(fresh.comm);
	/* Of two threads that are first at once, one makes it. */
	failed = bpf_map_update_elem(&pt_sessions, key, &fresh, BPF_NOEXIST);
	if (!failed)
		note_new(key, image);
	else if (failed == -ENOMEM)
		count(PT_MAP_FULL, 1);
	if (bpf_map_update_elem(&pt_speakers, &key->tgid, &one, BPF_ANY))
		count(PT_MAP_FULL, 1);
	return bpf_map_lookup_elem(&pt_sessions, key);
}

static __always_inline struct session *known_session(__u64 ssl)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};

	return bpf_map_lookup_elem(&pt_sessions, &key);
}

static __always_inline struct session *find_session(void *context, const struct session_key *key)
{
	struct session *session = bpf_map_lookup_elem(&pt_sessions, key);
	__u64 image = current_image();

	if (session && session->image == image)
		return session;
	if (session) {
		send_session_end(context, session);
		forget_session(session, key);
	}
	return new_session(key, image);
}

#ifdef PT_CORE
static __always_inline void send_unix_socket(void *context, const struct session *session)
{
	struct unix_sock *sk = (struct unix_sock *)session->socket_id.sock;
	struct pt_unix_socket *record;
	struct unix_address *address;
	struct unix_sock *other;
	struct pid *peer;
	int length;

	if (session->socket.family != AF_UNIX || !bpf_core_type_exists(struct unix_sock))
		return;
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	__builtin_memset(record, 0, sizeof(*record));
	fill_header(&record->header, PT_UNIX_SOCKET, sizeof(*record));
	record->session = session->id;
	peer = BPF_CORE_READ((struct sock *)sk, sk_peer_pid);
	record->peer_pid = peer ? BPF_CORE_READ(peer, numbers[0].nr) : 0;
	address = BPF_CORE_READ(sk, addr);
	other = (struct unix_sock *)BPF_CORE_READ(sk, peer);
	if (!address && other) /* the one that connected has none; the one it connected to has */
		address = BPF_CORE_READ(other, addr);
	length = address ? BPF_CORE_READ(address, len) - (int)sizeof(__u16) : 0;
	if (length > 0 && length <= PT_PATH_SIZE) {
		record->length = length;
		bpf_probe_read_kernel(record->path, sizeof(record->path),
				      &address->name[0].sun_path);
	}
	send_record(context, record, sizeof(*record));
}
#endif

#ifdef PT_CORE
static __always_inline void watch_socket(const struct session *session, __u64 ssl)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};

	if (!SETTING(plaintext) || session->socket.family == AF_UNIX)
		return;
	if (bpf_map_update_elem(&pt_session_of, &session->socket_id.sock, &key, BPF_ANY))
		count(PT_MAP_FULL, 1);
}
#endif

/* A library that reuses the SSL for another connection starts a new session of ours. */
static ONCE void set_socket(void *context, struct session *session, __u64 ssl,
			    const struct used_socket *used)
{
	/* Of two threads that find it at once, one was first. */
	if (session->socket_id.sock == used->id.sock &&
	    session->socket_id.remote == used->id.remote &&
	    session->socket_id.remote_port == used->id.remote_port &&
	    session->socket_id.local_port == used->id.local_port)
		return;
	if (session->socket_id.sock) {
		send_session_end(context, session);
		session->id = new_session_id();
		session->offset[PT_READ] = 0;
		session->offset[PT_WRITE] = 0;
		session->secrets = 0;
		session->tries = 0;
		session->tls = 0;
		session->tls_tries = 0;
		session->left = 0;
	}
	stop_seeking(session, 0);
	session->seeks = 0;
	session->handovers = 0;
	session->socket_id = used->id;
	session->socket = used->socket;
#ifdef PT_CORE
	send_unix_socket(context, session);
	watch_socket(session, ssl);
#else
	(void)ssl;
#endif
}

static __always_inline void end_session(void *context, __u64 ssl)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct session *session = bpf_map_lookup_elem(&pt_sessions, &key);

	if (!session)
		return;
	send_session_end(context, session);
	forget_session(session, &key);
}

#endif
