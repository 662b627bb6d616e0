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

enum pt_kind {
	PT_DATA = 1,	     /* plaintext of one direction of one TLS session */
	PT_SESSION_END = 2,  /* the library freed the session, or its socket changed */
	PT_PROCESS_EXIT = 3, /* a process that had sessions is gone */
	PT_HELD = 4,	     /* a followed process mapped a file not seen before and was stopped */
	PT_META = 128,	     /* written by user space into recordings: one JSON object */
};

enum pt_direction {
	PT_READ = 0,  /* the process received it */
	PT_WRITE = 1, /* the process sent it */
};

enum pt_socket_source {
	PT_SOCKET_UNKNOWN = 0,
	PT_SOCKET_NESTED_CALL = 1, /* the socket this thread used inside the TLS call */
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

#endif
