/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What decrypts a connection: read from the library's structs, or as the library would log it. */
#ifndef PLAINTAP_SECRETS_H
#define PLAINTAP_SECRETS_H

#define SECRETS_TRIES 64 /* calls that found no whole set before it is given up */

static __always_inline void fill_owner(struct pt_owner *owner, const struct session *session,
				       __u64 ssl, __u16 library, __u8 flags)
{
	__builtin_memset(owner, 0, sizeof(*owner));
	owner->session = session->id;
	owner->ssl = ssl;
	owner->uid = session->uid;
	owner->library = library;
	owner->flags = flags | (session->secrets & SECRETS_HELLO ? PT_HELLO_MATCHED : 0);
	__builtin_memcpy(owner->comm, session->comm, sizeof(owner->comm));
	owner->socket = session->socket;
}

/* Whether what is read as the client random went over a socket as one. */
static __always_inline void note_match(struct session *session, const struct pt_layout *layout,
				       __u64 ssl)
{
#ifdef PT_CORE
	if (!(session->secrets & SECRETS_HELLO) && find_hello(layout, ssl))
		session->secrets |= SECRETS_HELLO;
#else
	(void)session, (void)layout, (void)ssl;
#endif
}

/* In the middle of a call, where the socket it has used so far is not the session's yet. */
static __always_inline void name_connection(void *context, struct session *session,
					    const struct pt_layout *layout, __u64 ssl)
{
	struct thread *thread = current_thread();
	struct frame *frame = top_frame(thread);

	if (frame && frame->ssl == ssl && !session->socket_id.sock)
		attribute(context, session, thread, frame);
	note_match(session, layout, ssl);
}

/*
 * SSL_clear leaves the secrets of the connection before where they are: what they began with, by the
 * object, so that they are not taken for those of the next.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct session_key);
	__type(value, __u64);
} pt_cleared SEC(".maps");

static __always_inline void remember_cleared(__u64 ssl, __u32 library)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	const struct pt_layout *layout = find_layout(library);
	__u64 client = 0;

	if (!SETTING(secrets) || !layout || layout->secrets == PT_NO_FIELD ||
	    !is_tcp_object(layout, ssl))
		return;
	bpf_probe_read_user(&client, sizeof(client),
			    (void *)(ssl + layout->secrets + layout->client_traffic));
	if (client && bpf_map_update_elem(&pt_cleared, &key, &client, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline bool is_cleared(__u64 ssl, __u64 client)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	__u64 *before = bpf_map_lookup_elem(&pt_cleared, &key);

	return before && *before == client;
}

/* TLS 1.3: all that is read must be there; the connection is usable before the last of it is. */
static __always_inline bool read_block(const struct pt_layout *layout, __u64 ssl,
				       struct pt_secrets *record)
{
	__u64 block = ssl + layout->secrets, client = 0, server = 0, exporter = 0;
	__u64 length;

	if (layout->secrets == PT_NO_FIELD)
		return false;
	bpf_probe_read_user(&client, sizeof(client), (void *)(block + layout->client_traffic));
	bpf_probe_read_user(&server, sizeof(server), (void *)(block + layout->server_traffic));
	bpf_probe_read_user(&exporter, sizeof(exporter), (void *)(block + layout->exporter));
	if (!client || !server || !exporter || is_cleared(ssl, client))
		return false;
	length = layout->secrets_length;
	record->length = length;
	barrier_var(length);
	if (length > PT_SECRETS_BLOCK)
		length = PT_SECRETS_BLOCK;
	return !bpf_probe_read_user(record->block, length, (void *)block);
}

static __always_inline bool read_master_key(const struct pt_layout *layout, __u64 ssl,
					    struct pt_secrets *record)
{
	__u64 tls_session = tls_session_of(layout, ssl);

	return tls_session && layout->master_key != PT_NO_FIELD &&
	       !bpf_probe_read_user(record->master_key, sizeof(record->master_key),
				    (void *)(tls_session + layout->master_key)) &&
	       *(__u64 *)record->master_key;
}

static __always_inline bool read_handshake(const struct pt_layout *layout, __u64 ssl,
					   struct pt_secrets *record)
{
	record->version = protocol_version(layout, ssl);
	record->cipher = cipher_suite(layout, ssl);
	if (!read_client_random(layout, ssl, record->owner.client_random,
				sizeof(record->owner.client_random)))
		return false;
	if (record->version == TLS1_3)
		return read_block(layout, ssl, record);
	return read_master_key(layout, ssl, record);
}

/*
 * Once for each session: as its handshake ends, or later at the first call of a connection that was
 * up before. Never half a set.
 */
static __always_inline void send_secrets(void *context, struct session *session, __u64 ssl,
					 __u16 library, __u8 flags)
{
	const struct pt_layout *layout;
	struct pt_secrets *record;

	if (!SETTING(secrets) || session->secrets & (SECRETS_SENT | SECRETS_NONE))
		return;
	layout = find_layout(library);
	if (!layout || (layout->secrets == PT_NO_FIELD && layout->master_key == PT_NO_FIELD))
		return;
	if (!is_tcp_object(layout, ssl)) {
		session->secrets |= SECRETS_NONE;
		return;
	}
	if (session->tries >= SECRETS_TRIES)
		return;
	session->tries++;
	note_match(session, layout, ssl);
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	fill_owner(&record->owner, session, ssl, library, flags);
	record->length = 0;
	__builtin_memset(record->master_key, 0, sizeof(record->master_key));
	if (!read_handshake(layout, ssl, record)) {
		drop_record(record);
		return;
	}
	fill_header(&record->header, PT_SECRETS, sizeof(*record));
	session->secrets |= SECRETS_SENT;
	send_record(context, record, sizeof(*record));
}

/*
 * Read from the structs as the handshake ends, all at once: what is logged meanwhile would say it
 * again, record by record. Not kept are the secrets of early data, CLIENT_EARLY_TRAFFIC_SECRET and
 * EARLY_EXPORTER_SECRET.
 */
static __always_inline bool is_kept(const struct pt_layout *layout, __u64 ssl, __u64 label)
{
	char name[8] = {};

	if (layout->secrets == PT_NO_FIELD || !is_tcp_object(layout, ssl) ||
	    bpf_probe_read_user(name, sizeof(name), (void *)label))
		return false;
	return name[0] != 'E' && name[7] != 'E' ? true : name[0] == 'E' && name[1] == 'X';
}

/* ssl_log_secret(SSL *, const char *label, const uint8_t *secret, size_t length) */
static __always_inline void send_secret(void *context, struct pt_regs *regs, __u16 library)
{
	const struct pt_layout *layout = find_layout(library);
	struct session_key key = {.ssl = regs->REG_ARGUMENT1,
				  .tgid = bpf_get_current_pid_tgid() >> 32};
	__u64 label = regs->REG_ARGUMENT2, secret = regs->REG_ARGUMENT3,
	      length = regs->REG_ARGUMENT4;
	struct pt_secret *record;
	struct session *session;

	if (!SETTING(secrets) || !layout || !wanted(key.tgid) || length > PT_SECRET_MAX || !length)
		return;
	if (is_kept(layout, key.ssl, label))
		return;
	session = find_session(context, &key);
	if (!session)
		return;
	name_connection(context, session, layout, key.ssl);
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	fill_owner(&record->owner, session, key.ssl, library, PT_HANDSHAKE_SEEN);
	__builtin_memset(record->label, 0, sizeof(record->label) + sizeof(record->secret));
	record->length = length;
	bpf_probe_read_user_str(record->label, sizeof(record->label), (void *)label);
	if (!read_client_random(layout, key.ssl, record->owner.client_random,
				sizeof(record->owner.client_random)))
		goto unread;
	/* Right before its use: older verifiers forget what they knew of it. */
	barrier_var(length);
	if (length > PT_SECRET_MAX)
		length = PT_SECRET_MAX;
	if (bpf_probe_read_user(record->secret, length, (void *)secret))
		goto unread;
	fill_header(&record->header, PT_SECRET, sizeof(*record));
	session->secrets |= SECRETS_LOGGED;
	send_record(context, record, sizeof(*record));
	return;
unread:
	drop_record(record);
	count(PT_UNREAD_RECORDS, 1);
}

#endif
