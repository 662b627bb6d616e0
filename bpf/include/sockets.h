/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs that see sockets in use, three sets of which one is loaded: tracing programs at the
 * functions of TCP and Unix streams (their arguments as of 5.19, ec095263a965), kprobes there, or
 * tracepoints (6.3). And those that see what a library hands to its BIO.
 */
#ifndef PLAINTAP_SOCKETS_H
#define PLAINTAP_SOCKETS_H

/* BIO_write(BIO *, const void *, int) */
SEC("uprobe")
int pt_bio_write(struct pt_regs *regs)
{
	note_made(regs);
	return 0;
}

/* BIO_read(BIO *, void *, int) */
SEC("uprobe")
int pt_bio_read_enter(struct pt_regs *regs)
{
	begin_taking(regs, attach_cookie(regs));
	return 0;
}

SEC("uprobe")
int pt_bio_read_return(struct pt_regs *regs)
{
	end_taking(regs, regs->REG_RESULT);
	return 0;
}

/* What stays in the socket, or was not copied, is not there to be looked at. */
static __always_inline __s64 received(__s32 length, __u32 flags)
{
	return flags & (MSG_PEEK | MSG_TRUNC | MSG_ERRQUEUE) ? -1 : length;
}

/* (struct sock *, int length, int flags), since Linux 6.3 (6e6eda44b939) */
SEC("raw_tp/sock_send_length")
int pt_socket_send(struct bpf_raw_tracepoint_args *context)
{
	note_socket(context, (struct sock *)context->args[0], PT_WRITE, (__s32)context->args[1]);
	return 0;
}

SEC("raw_tp/sock_recv_length")
int pt_socket_receive(struct bpf_raw_tracepoint_args *context)
{
	note_socket(context, (struct sock *)context->args[0], PT_READ,
		    received(context->args[1], context->args[2]));
	return 0;
}

#ifndef PT_LESS52
/* (struct sock *, struct msghdr *, size_t size) -> int */
SEC("?fexit/tcp_sendmsg")
int pt_trace_tcp_send(struct bpf_raw_tracepoint_args *context)
{
	note_socket(context, (struct sock *)context->args[0], PT_WRITE, (__s32)context->args[3]);
	return 0;
}

/* (struct sock *, struct msghdr *, size_t, int flags, int *addr_len) -> int */
SEC("?fexit/tcp_recvmsg")
int pt_trace_tcp_receive(struct bpf_raw_tracepoint_args *context)
{
	note_socket(context, (struct sock *)context->args[0], PT_READ,
		    received(context->args[5], context->args[3]));
	return 0;
}

/* (struct socket *, struct msghdr *, size_t size) -> int */
SEC("?fexit/unix_stream_sendmsg")
int pt_trace_unix_send(struct bpf_raw_tracepoint_args *context)
{
	struct socket *socket = (struct socket *)context->args[0];

	note_socket(context, BPF_CORE_READ(socket, sk), PT_WRITE, (__s32)context->args[3]);
	return 0;
}

/* (struct socket *, struct msghdr *, size_t, int flags) -> int */
SEC("?fexit/unix_stream_recvmsg")
int pt_trace_unix_receive(struct bpf_raw_tracepoint_args *context)
{
	struct socket *socket = (struct socket *)context->args[0];

	note_socket(context, BPF_CORE_READ(socket, sk), PT_READ,
		    received(context->args[4], context->args[3]));
	return 0;
}
#endif

/* A return probe does not see the arguments: the socket each thread receives from. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u64);
} pt_receiving SEC(".maps");

/*
 * Which socket a call uses is told at the entry: the kernel keeps few return probes, and blocking
 * receives of the whole host hold them, unseen by any counter. So there is none at TCP: what it
 * received is told where it makes room for more, and only Unix sockets take one.
 */
static __always_inline void begin_receiving(void *context, struct sock *sk, __u32 flags)
{
	__u64 id = bpf_get_current_pid_tgid(), address = (__u64)sk;
	__u32 tgid = id >> 32, tid = id;

	note_socket(context, sk, PT_READ, -1);
	bpf_map_delete_elem(&pt_receiving, &tid);
	if (received(0, flags) || (!top_frame(current_thread()) && !find_user(tgid)))
		return;
	if (bpf_map_update_elem(&pt_receiving, &tid, &address, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

SEC("kprobe/tcp_sendmsg")
int pt_probe_tcp_send(struct pt_regs *regs)
{
	note_socket(regs, (struct sock *)regs->REG_ARGUMENT1, PT_WRITE, regs->REG_ARGUMENT3);
	return 0;
}

SEC("kprobe/tcp_recvmsg")
int pt_probe_tcp_receive(struct pt_regs *regs)
{
	begin_receiving(regs, (struct sock *)regs->REG_ARGUMENT1, regs->REG_ARGUMENT4);
	return 0;
}

SEC("kprobe/unix_stream_sendmsg")
int pt_probe_unix_send(struct pt_regs *regs)
{
	struct socket *socket = (struct socket *)regs->REG_ARGUMENT1;

	note_socket(regs, BPF_CORE_READ(socket, sk), PT_WRITE, regs->REG_ARGUMENT3);
	return 0;
}

SEC("kprobe/unix_stream_recvmsg")
int pt_probe_unix_receive(struct pt_regs *regs)
{
	struct socket *socket = (struct socket *)regs->REG_ARGUMENT1;

	begin_receiving(regs, BPF_CORE_READ(socket, sk), regs->REG_ARGUMENT4);
	return 0;
}

static __always_inline void end_receiving(void *context, __s64 moved)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *sk = bpf_map_lookup_elem(&pt_receiving, &tid);

	if (!sk)
		return;
	note_socket(context, (struct sock *)*sk, PT_READ, moved);
	bpf_map_delete_elem(&pt_receiving, &tid);
}

SEC("kretprobe/unix_stream_recvmsg")
int pt_probe_received(struct pt_regs *regs)
{
	end_receiving(regs, (__s32)regs->REG_RESULT);
	return 0;
}

/*
 * (struct sock *, int copied), in the middle of tcp_recvmsg too, before it waits for the rest; and
 * with nothing when there was nothing.
 */
SEC("kprobe/tcp_cleanup_rbuf")
int pt_probe_copied(struct pt_regs *regs)
{
	__u32 tid = bpf_get_current_pid_tgid();
	__u64 *sk = bpf_map_lookup_elem(&pt_receiving, &tid);

	if (sk && *sk == regs->REG_ARGUMENT1 &&
	    (__s32)regs->REG_ARGUMENT2 >= RECORD_HEADER + MARK_SIZE)
		end_receiving(regs, (__s32)regs->REG_ARGUMENT2);
	return 0;
}

#endif
