/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A session's socket is gone: its process let go of it and TCP is done with it. What the library
 * does with its object is another matter; it may hand out what it holds of the connection even then.
 */
#ifndef PLAINTAP_CLOSING_H
#define PLAINTAP_CLOSING_H

static __always_inline void send_closed(void *context, const struct session *session,
					const struct session_key *key)
{
	/* Not built where others are: this runs in interrupts of theirs. */
	struct pt_socket_closed record = {};

	fill_header(&record.header, PT_SOCKET_CLOSED, sizeof(record));
	record.header.pid = key->tgid;
	record.header.tid = 0;
	record.session = session->id;
	record.total[PT_READ] = session->offset[PT_READ];
	record.total[PT_WRITE] = session->offset[PT_WRITE];
	send_small(context, &record, sizeof(record));
}

static __always_inline void forget_socket(void *context, __u64 sock)
{
	struct session_key *found = bpf_map_lookup_elem(&pt_session_of, &sock);
	struct session_key key;
	struct session *session;

	if (!found)
		return;
	key = *found;
	bpf_map_delete_elem(&pt_session_of, &sock);
	session = bpf_map_lookup_elem(&pt_sessions, &key);
	if (is_running() && session && session->socket_id.sock == sock)
		send_closed(context, session, &key);
}

/* (const struct sock *, int before, int after), since Linux 4.16 (563e0bb0dc74) */
SEC("raw_tp/inet_sock_set_state")
int pt_socket_state(struct bpf_raw_tracepoint_args *context)
{
	__u64 sock = context->args[0];
	__s32 after = context->args[2];

	/* With these two the process's close has gone out and was answered, unless it only shut it down. */
	if ((after != TCP_FIN_WAIT2 && after != TCP_CLOSE) ||
	    !bpf_map_lookup_elem(&pt_session_of, &sock) ||
	    BPF_CORE_READ((struct sock *)sock, sk_socket))
		return 0;
	forget_socket(context, sock);
	return 0;
}

/* (struct sock *), since Linux 4.16 (e1a4aa50f4d0): for what was reset before the process closed it */
SEC("raw_tp/tcp_destroy_sock")
int pt_socket_destroy(struct bpf_raw_tracepoint_args *context)
{
	forget_socket(context, context->args[0]);
	return 0;
}

#endif
