/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where the fields lie in a library's structs: data given by user space for each attached library,
 * so that one program serves every version. src/plaintap/runtime/kernel_layout.py packs the same
 * bytes; src/plaintap/targets/layouts/model.py says what each field is.
 */
#ifndef PLAINTAP_LAYOUT_H
#define PLAINTAP_LAYOUT_H

#define PT_LIBRARIES 4096
#define PT_NO_FIELD 0xffff
#define BIO_DESCRIPTOR 0x0500 /* BIO_TYPE_SOURCE_SINK | BIO_TYPE_DESCRIPTOR, openssl/bio.h */
#define TLS1_3 0x0304

struct pt_layout {
	__u8 known;
	__u8 has_type; /* SSL begins with its type, 0 for TCP */
	__u16 version;
	__u16 references;
	__u16 version_in; /* of a pointer to what has the version; none: the object has it itself */
	__u16 server;	  /* int, odd at the server's end */
	__u16 s3;
	__u16 client_random;
	__u16 rbio;
	__u16 wbio;
	__u16 bio_method;
	__u16 bio_num;
	__u16 session; /* of a pointer to what has master key and suite; none: as with the version */
	__u16 master_key;
	__u16 session_cipher;
	__u16 cipher_id;
	__u16 secrets; /* of the block with all TLS 1.3 secrets */
	__u16 secrets_length;
	__u16 client_traffic; /* these three within the block */
	__u16 server_traffic;
	__u16 exporter;
	__u16 alpn; /* of a pointer, its length behind it; where the client random is */
};

#define PT_LAYOUTS 4096

/* Written once each, before a library is told to be so: who reads one never finds half of another. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PT_LAYOUTS);
	__type(key, __u32);
	__type(value, struct pt_layout);
} pt_layouts SEC(".maps");

/* The number of a library's layout; 0 is the one of those that have none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PT_LIBRARIES);
	__type(key, __u32);
	__type(value, __u32);
} pt_layout_of SEC(".maps");

static __always_inline const struct pt_layout *find_layout(__u32 library)
{
	__u32 *number = bpf_map_lookup_elem(&pt_layout_of, &library);
	const struct pt_layout *layout = number ? bpf_map_lookup_elem(&pt_layouts, number) : 0;

	return layout && layout->known ? layout : 0;
}

/* A pointer field; 0 when there is none or its memory cannot be read. */
static __always_inline __u64 user_pointer(__u64 object, __u16 offset)
{
	__u64 pointer = 0;

	if (offset == PT_NO_FIELD ||
	    bpf_probe_read_user(&pointer, sizeof(pointer), (void *)(object + offset)))
		return 0;
	return pointer;
}

static __always_inline __u32 user_int(__u64 object, __u16 offset)
{
	__u32 number = 0;

	if (offset == PT_NO_FIELD ||
	    bpf_probe_read_user(&number, sizeof(number), (void *)(object + offset)))
		return 0;
	return number;
}

/* QUIC objects (OpenSSL 3.2) share the functions but not the struct. */
static __always_inline bool is_tcp_object(const struct pt_layout *layout, __u64 ssl)
{
	return !layout->has_type || !user_int(ssl, 0);
}

/*
 * The protocol version as on the wire. GnuTLS has the bytes of the wire, of versions and of suites, in
 * tables of its own.
 */
static __always_inline __u32 protocol_version(const struct pt_layout *layout, __u64 ssl)
{
	__u64 entry;

	if (layout->version_in == PT_NO_FIELD)
		return user_int(ssl, layout->version);
	entry = user_pointer(ssl, layout->version_in);
	return entry ? __builtin_bswap16(user_int(entry, layout->version)) : 0;
}

/* What has the master key and the suite. */
static __always_inline __u64 tls_session_of(const struct pt_layout *layout, __u64 ssl)
{
	return layout->session == PT_NO_FIELD ? ssl : user_pointer(ssl, layout->session);
}

/* The suite's number on the wire; OpenSSL's has more above it. */
static __always_inline __u32 cipher_suite(const struct pt_layout *layout, __u64 ssl)
{
	__u64 tls_session = tls_session_of(layout, ssl);
	__u64 cipher = tls_session ? user_pointer(tls_session, layout->session_cipher) : 0;
	__u32 suite = cipher ? user_int(cipher, layout->cipher_id) : 0;

	return layout->version_in == PT_NO_FIELD ? suite : __builtin_bswap16(suite);
}

/* The descriptor that a BIO keeps; -1 when it is of a kind that has none. */
static __always_inline __s32 bio_descriptor(const struct pt_layout *layout, __u64 bio)
{
	__u64 method = bio ? user_pointer(bio, layout->bio_method) : 0;

	if (!method || (user_int(method, 0) & BIO_DESCRIPTOR) != BIO_DESCRIPTOR)
		return -1;
	return user_int(bio, layout->bio_num);
}

/* The descriptor the library keeps for this session; -1 when it keeps none. */
static __always_inline __s32 session_descriptor(const struct pt_layout *layout, __u64 ssl)
{
	__s32 fd = bio_descriptor(layout, user_pointer(ssl, layout->rbio));

	return fd < 0 ? bio_descriptor(layout, user_pointer(ssl, layout->wbio)) : fd;
}

static __always_inline bool read_client_random(const struct pt_layout *layout, __u64 ssl,
					       __u8 *random, __u32 size)
{
	__u64 holder = ssl;

	if (layout->client_random == PT_NO_FIELD)
		return false;
	if (layout->s3 != PT_NO_FIELD)
		holder = user_pointer(ssl, layout->s3);
	return holder &&
	       !bpf_probe_read_user(random, size, (void *)(holder + layout->client_random)) &&
	       *(__u64 *)random;
}

#endif
