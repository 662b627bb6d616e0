/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A kernel socket as a struct pt_socket. */
#ifndef PLAINTAP_SOCKET_H
#define PLAINTAP_SOCKET_H

/* Cheap identity of a socket in use: pointer and tuple, since pointers are reused. */
struct socket_id {
	__u64 sock;
	__u32 remote; /* IPv4 address, or the end of the IPv6 one, or a Unix socket's inode number */
	__u16 remote_port;
	__u16 local_port;
};

/* A socket some call in progress used. */
struct used_socket {
	struct socket_id id;
	struct pt_socket socket;
};

#ifdef PT_CORE
/* CONFIG_IPV6 and CONFIG_NET_NS are choices: without them these fields are not there. */
static __always_inline __u32 ipv6_end(struct sock *sk)
{
	if (!bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return 0;
	return BPF_CORE_READ(sk, __sk_common.skc_v6_daddr.in6_u.u6_addr32[3]);
}

static __always_inline void read_ipv6(struct pt_socket *out, struct sock *sk)
{
	if (!bpf_core_field_exists(sk->__sk_common.skc_v6_daddr))
		return;
	BPF_CORE_READ_INTO(&out->local_address, sk, __sk_common.skc_v6_rcv_saddr);
	BPF_CORE_READ_INTO(&out->remote_address, sk, __sk_common.skc_v6_daddr);
}

static __always_inline __u32 read_netns(struct sock *sk)
{
	if (!bpf_core_field_exists(sk->__sk_common.skc_net.net))
		return 0;
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline void read_socket_id(struct socket_id *id, struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	id->sock = (__u64)sk;
	if (family == AF_UNIX) {
		id->remote = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
		id->remote_port = 0;
		id->local_port = 0;
		return;
	}
	if (family == AF_INET6)
		id->remote = ipv6_end(sk);
	else
		id->remote = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	id->remote_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
	id->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
}

/* A socket that was closed or reset has given its port back, but it is still the same one. */
static __always_inline bool same_socket(const struct socket_id *now, const struct socket_id *known)
{
	if (now->sock != known->sock)
		return false;
	if (!known->local_port) /* a Unix socket */
		return now->remote == known->remote;
	if (!now->local_port)
		return true;
	return now->remote == known->remote && now->remote_port == known->remote_port &&
	       now->local_port == known->local_port;
}

/* Whether a socket seen earlier is still connected; its memory may be another one's by now. */
static __always_inline bool is_open(const struct socket_id *known)
{
	struct sock *sk = (struct sock *)known->sock;
	struct socket_id now;
	__u8 state;

	if (!sk)
		return false;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT)
		return false;
	read_socket_id(&now, sk);
	return (now.local_port || !known->local_port) && same_socket(&now, known);
}

static __always_inline void read_socket(struct pt_socket *out, struct sock *sk, __u8 source)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);

	__builtin_memset(out, 0, sizeof(*out));
	out->family = family;
	out->source = source;
	out->fd = -1;
	out->cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	out->netns = read_netns(sk);
	if (family == AF_INET) {
		*(__u32 *)out->local_address = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
		*(__u32 *)out->remote_address = BPF_CORE_READ(sk, __sk_common.skc_daddr);
	} else if (family == AF_INET6) {
		read_ipv6(out, sk);
	} else {
		return;
	}
	out->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	out->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
}
#endif

#endif
