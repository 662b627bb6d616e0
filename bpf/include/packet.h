/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A packet on its way from the kernel to the file, and whose it is. native/packets.c reads the same
 * structs, src/plaintap/runtime/packet_owners.py packs owners and flows.
 */
#ifndef PLAINTAP_PACKET_H
#define PLAINTAP_PACKET_H

/*
 * What a socket hands over as one: two segments of a loopback device's are 131 KB, and BIG TCP may be
 * set to more. Beyond it packets are cut, as by tcpdump.
 */
#define PT_PACKET_MAX 262144
#define PT_PACKET_COMM 16

enum pt_wanted {
	PT_NOT_WANTED = 0,
	PT_WANTED = 1,
	PT_UNDECIDED = 2, /* the hook that saw the process cannot tell */
};

/* A process that uses a socket; pid 0 is nobody known. */
struct pt_process {
	__u32 pid;
	__u32 uid;
	__u8 wanted; /* enum pt_wanted */
	__u8 pad[3];
	__u32 noted; /* of a socket: the flow under which it was noted last, in short */
	char comm[PT_PACKET_COMM];
};

/*
 * One end of a connection as its own packets show it; IPv4 addresses as ::ffff:0:0/96. With only
 * protocol and local port set it stands for whoever listens there.
 */
struct pt_flow {
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port; /* host order */
	__u16 remote_port;
	__u8 protocol; /* IPPROTO_TCP, IPPROTO_UDP; 0 is none that has ports */
	__u8 pad[3];
};

enum pt_packet_flags {
	PT_PACKET_OUT = 1,
	PT_PACKET_VLAN = 2,	   /* the tag is not in the data */
	PT_PACKET_PROVISIONAL = 4, /* an end may be known better by the time it is written */
};

struct pt_packet {
	__u64 ts_ns; /* CLOCK_MONOTONIC */
	__u32 ifindex;
	__u32 length; /* without the tag */
	__u32 captured;
	__u16 vlan_tci;
	__u16 vlan_proto; /* host order */
	__u8 flags;
	__u8 network_at; /* where the header of IP begins, and behind it that of TCP or UDP */
	__u16 transport_at;
	__u16 datagram_size; /* of UDP: it is several datagrams of that size, the last may be shorter; 0: it is one */
	__u8 pad[2];
	struct pt_process sender;
	struct pt_process receiver;
	struct pt_flow flow; /* the sender's */
	__u8 data[];
};

/* Per interface, of each CPU. */
struct pt_packet_counts {
	__u64 captured;
	__u64 dropped; /* the ring was full */
};

#endif
