/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Without type information no kernel socket can be read: the address of the other end is what
 * connect and accept said of the descriptor that the library keeps. This end stays unknown.
 */
#ifndef PLAINTAP_CONNECTS_H
#define PLAINTAP_CONNECTS_H

#define F_DUPFD 0
#define F_DUPFD_CLOEXEC 1030
#define EINPROGRESS 115

struct descriptor {
	__u32 tgid;
	__s32 fd;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct descriptor);
	__type(value, struct used_socket);
} pt_connects SEC(".maps");

/*
 * How often a process has closed descriptors that cannot be told one by one: what was said of them
 * before is not believed any more.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} pt_ages SEC(".maps");

static __always_inline __u32 age_of(__u32 tgid)
{
	__u32 *age = bpf_map_lookup_elem(&pt_ages, &tgid);

	return age ? *age : 0;
}

static __always_inline void forget_descriptors(__u32 tgid)
{
	__u32 age = age_of(tgid) + 1;

	if (bpf_map_update_elem(&pt_ages, &tgid, &age, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

/* struct sockaddr_in, or struct sockaddr_in6 up to its scope */
struct address {
	__u16 family;
	__be16 port;
	__u8 ipv4[4]; /* or the flow of IPv6 */
	__u8 ipv6[16];
};

static __always_inline void note_peer(__s32 fd, __u64 user_address)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = fd};
	struct used_socket used = {};
	struct address address = {};

	if (!user_address || bpf_probe_read_user(&address, sizeof(address), (void *)user_address) ||
	    (address.family != AF_INET && address.family != AF_INET6)) {
		bpf_map_delete_elem(&pt_connects, &key);
		return;
	}
	used.id.sock = bpf_ktime_get_ns(); /* no other connection of this process began now */
	used.id.remote = age_of(key.tgid);
	used.socket.family = address.family;
	used.socket.source = PT_SOCKET_CONNECT;
	used.socket.fd = fd;
	used.socket.remote_port = __builtin_bswap16(address.port);
	if (address.family == AF_INET)
		__builtin_memcpy(used.socket.remote_address, address.ipv4, sizeof(address.ipv4));
	else
		__builtin_memcpy(used.socket.remote_address, address.ipv6, sizeof(address.ipv6));
	if (bpf_map_update_elem(&pt_connects, &key, &used, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void forget_peer(__s32 fd)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = fd};

	if (bpf_map_lookup_elem(&pt_connects, &key))
		bpf_map_delete_elem(&pt_connects, &key);
}

/* Another descriptor of the same socket, or of something else than before. */
static __always_inline void note_duplicate(__s32 of, __s32 fd)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = of};
	struct used_socket *known = bpf_map_lookup_elem(&pt_connects, &key);
	struct used_socket copy;

	if (of == fd)
		return;
	if (!known) {
		forget_peer(fd);
		return;
	}
	copy = *known;
	copy.socket.fd = fd;
	key.fd = fd;
	if (bpf_map_update_elem(&pt_connects, &key, &copy, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void note_system_call(const struct pt_regs *regs, __s64 result)
{
	__u64 number = 0, first = 0, second = 0;

	bpf_probe_read_kernel(&number, sizeof(regs->SYSCALL_NUMBER), &regs->SYSCALL_NUMBER);
	if (number != NR_CLOSE && number != NR_CONNECT && number != NR_ACCEPT &&
	    number != NR_ACCEPT4 && number != NR_DUP && number != NR_DUP2 && number != NR_DUP3 &&
	    number != NR_FCNTL && number != NR_SOCKET && number != NR_CLOSE_RANGE)
		return;
	if (result < 0 && !(number == NR_CONNECT && result == -EINPROGRESS))
		return;
	bpf_probe_read_kernel(&first, sizeof(first), &regs->SYSCALL_ARGUMENT1);
	bpf_probe_read_kernel(&second, sizeof(second), &regs->SYSCALL_ARGUMENT2);
	if (number == NR_CLOSE)
		forget_peer(first);
	else if (number == NR_SOCKET)
		forget_peer(result);
	else if (number == NR_CLOSE_RANGE)
		forget_descriptors(bpf_get_current_pid_tgid() >> 32);
	else if (number == NR_CONNECT)
		note_peer(first, second);
	else if (number == NR_ACCEPT || number == NR_ACCEPT4)
		note_peer(result, second);
	else if (number != NR_FCNTL || second == F_DUPFD || second == F_DUPFD_CLOEXEC)
		note_duplicate(first, result);
}

/* What was said of the descriptor the library keeps. */
static __always_inline struct used_socket *find_connect(__u32 library, __u64 ssl)
{
	struct descriptor key = {.tgid = bpf_get_current_pid_tgid() >> 32, .fd = -1};
	const struct pt_layout *layout = find_layout(library);
	struct used_socket *found;

	if (!layout || layout->bio_num == PT_NO_FIELD || !is_tcp_object(layout, ssl))
		return 0;
	key.fd = session_descriptor(layout, ssl);
	found = key.fd < 0 ? 0 : bpf_map_lookup_elem(&pt_connects, &key);
	return found && found->id.remote == age_of(key.tgid) ? found : 0;
}

static __always_inline void attribute(void *context, struct session *session,
				      const struct thread *thread, const struct frame *frame)
{
	struct used_socket *found = find_connect(frame->library, frame->ssl);

	(void)thread;
	if (found && found->id.sock != session->socket_id.sock)
		set_socket(context, session, frame->ssl, found);
}

static __always_inline void suspect_memory(const struct frame *frame)
{
	(void)frame;
}

/* (struct pt_regs *, long result) */
SEC("raw_tp/sys_exit")
int pt_system_call(struct bpf_raw_tracepoint_args *context)
{
	if (is_running())
		note_system_call((struct pt_regs *)context->args[0], context->args[1]);
	return 0;
}

#endif
