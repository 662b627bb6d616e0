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
	__u64 mm; /* another one: the process executed another program, or the pid was reused */
	__u32 uid;
	__u32 pad;
	char comm[PT_COMM_SIZE];
	struct socket_id socket_id;
	struct pt_socket socket;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct session_key);
	__type(value, struct session);
} pt_sessions SEC(".maps");

/* Processes that have had a session: the ones whose end is worth a record. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} pt_speakers SEC(".maps");

static __always_inline __u64 current_mm(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return (__u64)BPF_CORE_READ(task, mm);
}

static __always_inline __u64 new_session_id(void)
{
	return bpf_ktime_get_ns() << 8 | (bpf_get_smp_processor_id() & 0xff);
}

static __always_inline void send_session_end(const struct session *session)
{
	struct pt_session_end *end = bpf_ringbuf_reserve(&pt_ring, sizeof(*end), 0);

	if (!end) {
		count(PT_RING_FULL_RECORDS, 1);
		return;
	}
	fill_header(&end->header, PT_SESSION_END, sizeof(*end));
	end->session = session->id;
	end->total[PT_READ] = session->offset[PT_READ];
	end->total[PT_WRITE] = session->offset[PT_WRITE];
	bpf_ringbuf_submit(end, submit_flags(sizeof(*end)));
}

static __always_inline struct session *new_session(const struct session_key *key, __u64 mm)
{
	__u32 one = 1;
	struct session fresh = {};

	fresh.id = new_session_id();
	fresh.mm = mm;
	fresh.uid = bpf_get_current_uid_gid();
	fresh.socket.fd = -1;
	process_comm(fresh.comm);
	/* Of two threads that are first at once, one makes it. */
	if (bpf_map_update_elem(&pt_sessions, key, &fresh, BPF_NOEXIST) == -ENOMEM)
		count(PT_MAP_FULL, 1);
	if (bpf_map_update_elem(&pt_speakers, &key->tgid, &one, BPF_ANY))
		count(PT_MAP_FULL, 1);
	return bpf_map_lookup_elem(&pt_sessions, key);
}

static __always_inline struct session *find_session(const struct session_key *key)
{
	struct session *session = bpf_map_lookup_elem(&pt_sessions, key);
	__u64 mm = current_mm();

	if (session && session->mm == mm)
		return session;
	if (session) {
		send_session_end(session);
		bpf_map_delete_elem(&pt_sessions, key);
	}
	return new_session(key, mm);
}

/* A library that reuses the SSL for another connection starts a new session of ours. */
static __always_inline void set_socket(struct session *session, const struct used_socket *used)
{
	if (session->socket_id.sock) {
		send_session_end(session);
		session->id = new_session_id();
		session->offset[PT_READ] = 0;
		session->offset[PT_WRITE] = 0;
	}
	session->socket_id = used->id;
	session->socket = used->socket;
}

#endif
