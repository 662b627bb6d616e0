/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The record format: the only cut between a source of records (kernel, recording) and the rest.
 * Fixed width, explicit padding, version first, little endian. src/plaintap/events.py decodes the
 * same bytes; tests/unit/test_wire.py compares every offset. docs/recording.md is its prose.
 */
#ifndef PLAINTAP_WIRE_H
#define PLAINTAP_WIRE_H

#define PT_WIRE_VERSION 1

#define PT_COMM_SIZE 16
#define PT_CHUNK_MAX 16384
#define PT_RANDOM_SIZE 32
#define PT_MASTER_SIZE 48
#define PT_SECRET_MAX 64
#define PT_LABEL_SIZE 48
#define PT_SECRETS_BLOCK 1024
#define PT_PATH_SIZE 108
#define PT_ALPN_SIZE 64
#define PT_SNI_SIZE 256

enum pt_kind {
	PT_DATA = 1,	      /* plaintext of one direction of one TLS session */
	PT_SESSION_END = 2,   /* the library freed the session, or its socket changed */
	PT_PROCESS_EXIT = 3,  /* a process that had sessions is gone */
	PT_HELD = 4,	      /* a followed process mapped a file not seen before and was stopped */
	PT_SECRETS = 5,	      /* what the library keeps of one handshake */
	PT_SECRET = 6,	      /* one line of a key log, as the library would write it */
	PT_UNIX_SOCKET = 7,   /* the path of a session's socket */
	PT_TLS = 8,	      /* what a session's handshake agreed on */
	PT_SOCKET_CLOSED = 9, /* a socket is gone; its library may still have bytes of it */
	PT_META = 128,	      /* written by user space into recordings: one JSON object */
};

enum pt_direction {
	PT_READ = 0,  /* the process received it */
	PT_WRITE = 1, /* the process sent it */
};

enum pt_socket_source {
	PT_SOCKET_UNKNOWN = 0,
	PT_SOCKET_NESTED_CALL = 1, /* the socket this thread used inside the TLS call */
	PT_SOCKET_DESCRIPTOR = 2,  /* the descriptor the library keeps for the session */
	PT_SOCKET_HELLO = 3,	   /* carried the ClientHello with the session's client random */
	PT_SOCKET_RECORD = 4,	   /* carried a TLS record that the session made or took */
	PT_SOCKET_CONNECT = 5,	   /* what connect or accept said; this end is unknown */
};

/* Every record starts with this. */
struct pt_header {
	__u8 version;
	__u8 kind;
	__u16 flags;
	__u32 size; /* of the whole record in bytes, this header included; what follows is padding */
	__u64 ts_ns; /* CLOCK_MONOTONIC */
	__u32 pid;
	__u32 tid;
};

/* Ports in host order, addresses in network order; IPv4 in the first four bytes. */
struct pt_socket {
	__u64 cookie; /* 0 when the kernel had not made one */
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port;
	__u16 remote_port;
	__u16 family; /* AF_*, 0 when the socket is unknown */
	__u8 source;  /* enum pt_socket_source */
	__u8 pad;
	__u32 netns; /* inode number of the network namespace */
	__s32 fd;    /* -1 when unknown */
};

struct pt_data { /* the payload follows */
	struct pt_header header;
	__u64 session; /* unique for this boot: one (pid, SSL pointer, generation) */
	__u64 offset; /* of the first byte in its direction of the session; advances over losses too */
	__u64 ssl;    /* the SSL pointer in the process */
	__u32 length; /* of the payload in bytes, at most PT_CHUNK_MAX */
	__u32 uid;
	__u16 library;	/* which target, as told at attach time */
	__u8 direction; /* enum pt_direction */
	__u8 pad[5];
	char comm[PT_COMM_SIZE]; /* of the process, not of the thread */
	struct pt_socket socket;
};

struct pt_session_end {
	struct pt_header header;
	__u64 session;
	__u64 total[2]; /* bytes that passed, by direction, lost ones included */
};

struct pt_process_exit {
	struct pt_header header;
};

struct pt_held {
	struct pt_header header;
	__u64 inode;
	__u64 address; /* of the mapping, 0 for the executable itself */
	__u32 device;  /* kernel encoding: major << 20 | minor */
	__u32 generation;
};

enum pt_secret_flags {
	PT_HELLO_MATCHED = 1,  /* the client random was in a ClientHello of this process */
	PT_HANDSHAKE_SEEN = 2, /* read as the handshake ended, not later */
};

/* Who a secret belongs to. */
struct pt_owner {
	__u64 session;
	__u64 ssl;
	__u32 uid;
	__u16 library;
	__u8 flags; /* enum pt_secret_flags */
	__u8 pad;
	char comm[PT_COMM_SIZE];
	struct pt_socket socket;
	__u8 client_random[PT_RANDOM_SIZE];
};

struct pt_secrets {
	struct pt_header header;
	struct pt_owner owner;
	__u32 cipher;  /* 0x0300xxxx, xxxx being the suite's number on the wire; 0 unknown */
	__u16 version; /* as on the wire, 0x0303 for TLS 1.2 */
	__u16 length;  /* of what follows the master key */
	__u8 master_key[PT_MASTER_SIZE]; /* TLS 1.2 and earlier */
	__u8 block[PT_SECRETS_BLOCK]; /* from the first to the last TLS 1.3 secret, as they lie */
};

struct pt_secret {
	struct pt_header header;
	struct pt_owner owner;
	__u16 length;
	__u8 pad[6];
	char label[PT_LABEL_SIZE];
	__u8 secret[PT_SECRET_MAX];
};

struct pt_unix_socket {
	struct pt_header header;
	__u64 session;
	__u32 peer_pid;
	__u16 length; /* of the path; an abstract one begins with NUL */
	__u8 pad[2];
	char path[PT_PATH_SIZE];
	__u8 pad2[4];
};

struct pt_tls { /* each field as far as it is known; more may follow */
	struct pt_header header;
	__u64 session;
	__u16 version; /* as on the wire, 0x0304 for TLS 1.3; 0 unknown */
	__u16 cipher;  /* the suite's number on the wire, 0 unknown */
	__u8 alpn_length;
	__u8 pad[3];
	char alpn[PT_ALPN_SIZE];
	char sni[PT_SNI_SIZE]; /* NUL-padded */
};

struct pt_socket_closed {
	struct pt_header header;
	__u64 session;
	__u64 total[2]; /* as in struct pt_session_end */
};

#endif
