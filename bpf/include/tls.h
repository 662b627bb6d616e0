/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a session's handshake agreed on: version and cipher suite, the protocol above (ALPN), and the
 * name of the server as the program set it. Sent before the session's first data, and again as long
 * as more of it becomes known within its first calls.
 */
#ifndef PLAINTAP_TLS_H
#define PLAINTAP_TLS_H

#define TLS_TRIES 8 /* calls of a session after which what is unknown stays so */

#define TLS_VERSION 1 /* bits of session.tls: what was sent */
#define TLS_CIPHER 2
#define TLS_ALPN 4
#define TLS_NAME 8
#define TLS_DONE 16

#define CTRL_SET_HOSTNAME 55 /* SSL_CTRL_SET_TLSEXT_HOSTNAME, openssl/tls1.h */
#define SSL3_VERSION 0x0300

struct server_name {
	__u64 image; /* as in struct session */
	char name[PT_SNI_SIZE];
};

/* By the SSL it was set for, until that is freed. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct session_key);
	__type(value, struct server_name);
} pt_names SEC(".maps");

/* Zeroes: what a new name begins with, too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct server_name);
} pt_no_name SEC(".maps");

static __always_inline void forget_name(__u64 ssl)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};

	if (SETTING(plaintext))
		bpf_map_delete_elem(&pt_names, &key);
}

/* No name takes back the one before. */
static __always_inline void remember_name(__u64 ssl, __u64 name)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct server_name *kept;
	__u32 zero = 0;
	void *fresh;

	if (!SETTING(plaintext) || !wanted(key.tgid))
		return;
	if (!name) {
		bpf_map_delete_elem(&pt_names, &key);
		return;
	}
	fresh = bpf_map_lookup_elem(&pt_no_name, &zero);
	if (!fresh || bpf_map_update_elem(&pt_names, &key, fresh, BPF_ANY))
		count(PT_MAP_FULL, 1);
	kept = bpf_map_lookup_elem(&pt_names, &key);
	if (!kept)
		return;
	kept->image = current_image();
	if (bpf_probe_read_user_str(kept->name, sizeof(kept->name), (void *)name) < 0)
		kept->name[0] = 0;
}

/* The name, or zeroes. */
static __always_inline void read_name(struct pt_tls *record, __u64 ssl, __u64 image)
{
	struct session_key key = {.ssl = ssl, .tgid = bpf_get_current_pid_tgid() >> 32};
	struct server_name *kept = bpf_map_lookup_elem(&pt_names, &key);
	__u32 zero = 0;

	if (!kept || kept->image != image)
		kept = bpf_map_lookup_elem(&pt_no_name, &zero);
	if (kept)
		bpf_probe_read_kernel(record->sni, sizeof(record->sni), kept->name);
}

/* Where a library moved its version away something else is read, which is none. */
static __always_inline __u16 read_version(const struct pt_layout *layout, __u64 ssl)
{
	__u16 version = protocol_version(layout, ssl);

	return version >= SSL3_VERSION && version <= TLS1_3 ? version : 0;
}

/* A pointer and, right behind it, how many bytes it points to. */
static __always_inline void read_alpn(const struct pt_layout *layout, __u64 ssl,
				      struct pt_tls *record)
{
	__u64 holder = layout->s3 == PT_NO_FIELD ? ssl : user_pointer(ssl, layout->s3);
	__u64 name = holder ? user_pointer(holder, layout->alpn) : 0;
	__u64 length = name ? user_int(holder, layout->alpn + sizeof(name)) : 0;

	if (!length || length > PT_ALPN_SIZE)
		return;
	record->alpn_length = length;
	barrier_var(length);
	if (length > PT_ALPN_SIZE)
		length = PT_ALPN_SIZE;
	if (bpf_probe_read_user(record->alpn, length, (void *)name))
		record->alpn_length = 0;
}

static __always_inline void send_tls(void *context, struct session *session, __u64 ssl,
				     __u16 library)
{
	const struct pt_layout *layout;
	struct pt_tls *record;
	__u8 known = 0;

	if (session->tls & TLS_DONE)
		return;
	layout = find_layout(library);
	if (++session->tls_tries >= TLS_TRIES || (layout && !is_tcp_object(layout, ssl))) {
		session->tls |= TLS_DONE;
		layout = 0;
	}
	record = begin_record(sizeof(*record));
	if (!record)
		return;
	__builtin_memset(record, 0, __builtin_offsetof(struct pt_tls, sni));
	fill_header(&record->header, PT_TLS, sizeof(*record));
	record->session = session->id;
	read_name(record, ssl, session->image);
	if (layout) {
		record->version = read_version(layout, ssl);
		record->cipher = cipher_suite(layout, ssl);
		if (layout->alpn != PT_NO_FIELD)
			read_alpn(layout, ssl, record);
	}
	known = (record->version ? TLS_VERSION : 0) | (record->cipher ? TLS_CIPHER : 0) |
		(record->alpn_length ? TLS_ALPN : 0) | (record->sni[0] ? TLS_NAME : 0);
	if (record->version && record->cipher)
		session->tls |= TLS_DONE;
	if (!(known & ~session->tls)) {
		drop_record(record);
		return;
	}
	session->tls |= known;
	send_record(context, record, sizeof(*record));
}

#endif
