/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Which process uses which socket: by the socket's cookie, which its outgoing packets tell, and by
 * flow, for packets that come in and for sockets that have no cookie yet.
 */
#ifndef PLAINTAP_OWNERS_H
#define PLAINTAP_OWNERS_H

struct pt_packet_config {
	__u32 netns; /* ours; flows of other network namespaces may have the same addresses */
	__u32 snaplen;
	__u32 wake_bytes; /* a power of two */
	__u8 filtering;	  /* only packets of processes that are wanted */
	__u8 pad[3];
};

const volatile struct pt_packet_config packets SEC(".rodata.packets") = {};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct pt_process);
} pt_owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 131072);
	__type(key, struct pt_flow);
	__type(value, struct pt_process);
} pt_flows SEC(".maps");

/* The current process; `wanted` as far as the program can tell. */
static __always_inline void current_owner(struct pt_process *owner, bool sees_cgroup)
{
	__builtin_memset(owner, 0, sizeof(*owner));
	owner->pid = bpf_get_current_pid_tgid() >> 32;
	owner->uid = (__u32)bpf_get_current_uid_gid();
	if (!packets.filtering)
		owner->wanted = PT_WANTED;
	else if (config.filter_cgroup && !sees_cgroup)
		owner->wanted = PT_UNDECIDED;
	else
		owner->wanted = wanted(owner->pid) ? PT_WANTED : PT_NOT_WANTED;
	process_comm(owner->comm);
}

static __always_inline void set_owner(__u64 cookie, const struct pt_process *owner)
{
	if (bpf_map_update_elem(&pt_owners, &cookie, owner, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void set_flow(const struct pt_flow *flow, const struct pt_process *owner)
{
	if (bpf_map_update_elem(&pt_flows, flow, owner, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

static __always_inline void set_ipv4(__u8 address[16], __u32 value)
{
	*(__u64 *)address = 0;
	*(__u32 *)(address + 8) = 0xffff0000; /* in memory: 00 00 ff ff */
	*(__u32 *)(address + 12) = value;
}

static __always_inline bool is_same_process(const struct pt_process *known)
{
	return known && known->pid == bpf_get_current_pid_tgid() >> 32 &&
	       known->wanted != PT_UNDECIDED;
}

static __always_inline bool read_flow(struct pt_flow *flow, struct sock *sk)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	__u16 type = BPF_CORE_READ(sk, sk_type);

	__builtin_memset(flow, 0, sizeof(*flow));
	if (family == AF_INET) {
		set_ipv4(flow->local, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
		set_ipv4(flow->remote, BPF_CORE_READ(sk, __sk_common.skc_daddr));
	} else if (family == AF_INET6 && bpf_core_field_exists(sk->__sk_common.skc_v6_daddr)) {
		BPF_CORE_READ_INTO(&flow->local, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&flow->remote, sk, __sk_common.skc_v6_daddr);
	} else {
		return false;
	}
	if (type != SOCK_STREAM && type != SOCK_DGRAM)
		return false;
	flow->protocol = type == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
	flow->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	flow->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	return flow->local_port != 0;
}

/* The current process uses this socket now, wherever it got it from. */
static __always_inline void note_user(struct sock *sk, bool listens)
{
	__u64 cookie = BPF_CORE_READ(sk, __sk_common.skc_cookie.counter);
	bool connected = BPF_CORE_READ(sk, __sk_common.skc_dport) != 0;
	struct pt_process owner;
	struct pt_flow flow;

	if (!listens && connected && cookie &&
	    is_same_process(bpf_map_lookup_elem(&pt_owners, &cookie)))
		return;
	if (!read_flow(&flow, sk))
		return;
	if (!connected) {
		__builtin_memset(flow.local, 0, sizeof(flow.local));
		__builtin_memset(flow.remote, 0, sizeof(flow.remote));
	}
	if ((!cookie || !connected) && is_same_process(bpf_map_lookup_elem(&pt_flows, &flow)))
		return;
	current_owner(&owner, true);
	if (cookie)
		set_owner(cookie, &owner);
	if (read_netns(sk) == packets.netns)
		set_flow(&flow, &owner);
}

static __always_inline int note_created(void *context)
{
	struct pt_process owner;

	current_owner(&owner, false);
	set_owner(bpf_get_socket_cookie(context), &owner);
	return 1; /* the call goes on */
}

SEC("cgroup/sock_create")
int pt_created(void *socket)
{
	return note_created(socket);
}

SEC("cgroup/connect4")
int pt_connect4(void *address)
{
	return note_created(address);
}

SEC("cgroup/connect6")
int pt_connect6(void *address)
{
	return note_created(address);
}

/* (struct sock *, int old_state, int new_state), since Linux 4.16 (563e0bb0dc74) */
SEC("raw_tp/inet_sock_set_state")
int pt_listen(struct bpf_raw_tracepoint_args *context)
{
	if ((__u32)context->args[2] == TCP_LISTEN)
		note_user((struct sock *)context->args[0], true);
	return 0;
}

/* (struct sock *, int length, int flags), since Linux 6.3 (6e6eda44b939) */
SEC("raw_tp/sock_send_length")
int pt_sent(struct bpf_raw_tracepoint_args *context)
{
	note_user((struct sock *)context->args[0], false);
	return 0;
}

SEC("raw_tp/sock_recv_length")
int pt_received(struct bpf_raw_tracepoint_args *context)
{
	note_user((struct sock *)context->args[0], false);
	return 0;
}

/* At functions that send or receive, whose first argument is the socket: instead of the two above. */
SEC("kprobe")
int pt_used(struct pt_regs *regs)
{
	note_user((struct sock *)regs->REG_ARGUMENT1, false);
	return 0;
}

#endif
