/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* A packet at an interface: who sends it, who gets it, whether that is wanted, and its copy. */
#ifndef PLAINTAP_CAPTURE_H
#define PLAINTAP_CAPTURE_H

#define TC_ACT_UNSPEC -1 /* other programs go on as if this one were not there */
#define ETHER_HEADER 14
#define ETHERTYPE_AT 12
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_IPV6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define VLAN_TAG 4
#define VLAN_TAGS_MAX 2
#define IPV6_HEADER 40
#define FRAGMENT_OFFSET 0x1fff
#define LOOPBACK 1 /* in every namespace, include/net/net_namespace.h of the kernel */
#define TCP_SYN_ALONE(flags) (((flags) & 0x12) == 0x02)

/* include/uapi/linux/bpf.h */
struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto;
	__u32 priority, ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid, data, data_end;
	__u32 napi_id, family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4];
	__u32 remote_port, local_port, data_meta;
	__u64 flow_keys, tstamp;
	__u32 wire_len, gso_segs;
	struct bpf_sock *sk;
	__u32 gso_size;
};

struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority, src_ip4, src_ip6[4];
	__u32 src_port; /* host order */
};

struct ipv4_header {
	__u8 version_and_length, service;
	__u16 length, id, fragment;
	__u8 ttl, protocol;
	__u16 checksum;
	__u32 source, destination;
};

struct ipv6_header {
	__u32 flow;
	__u16 length;
	__u8 next, hops;
	__u8 source[16], destination[16];
};

struct port_header {
	__u16 source, destination;
	__u8 more[9];
	__u8 tcp_flags; /* of TCP */
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24); /* user space sets it */
} pt_packets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct pt_packet_counts);
} pt_packet_counts SEC(".maps");

/* Where the network header begins, and what it is; 0 for neither version of IP. */
static __always_inline __u32 network_header(struct __sk_buff *skb, bool ethernet, __u32 *offset)
{
	__u16 type = 0;
	__u8 first;

	*offset = 0;
	if (!ethernet) {
		if (bpf_skb_load_bytes(skb, 0, &first, 1))
			return 0;
		return first >> 4 == 4 ? ETHERTYPE_IPV4 : first >> 4 == 6 ? ETHERTYPE_IPV6 : 0;
	}
	if (bpf_skb_load_bytes(skb, ETHERTYPE_AT, &type, sizeof(type)))
		return 0;
	*offset = ETHER_HEADER;
	type = __builtin_bswap16(type);
	LOOP for (int i = 0; i < VLAN_TAGS_MAX; i++)
	{
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			break;
		if (bpf_skb_load_bytes(skb, *offset + 2, &type, sizeof(type)))
			return 0;
		type = __builtin_bswap16(type);
		*offset += VLAN_TAG;
	}
	return type;
}

/* Both ends as the sender sees them; false where there are no ports. */
static __always_inline bool read_ends(struct __sk_buff *skb, bool ethernet,
				      struct pt_packet *packet, bool *begins)
{
	struct pt_flow *flow = &packet->flow;
	struct port_header ports = {};
	struct ipv4_header ipv4;
	struct ipv6_header ipv6;
	__u32 offset, type = network_header(skb, ethernet, &offset), room;

	packet->network_at = offset;
	if (type == ETHERTYPE_IPV4) {
		if (bpf_skb_load_bytes(skb, offset, &ipv4, sizeof(ipv4)))
			return false;
		if (__builtin_bswap16(ipv4.fragment) & FRAGMENT_OFFSET)
			return false;
		flow->protocol = ipv4.protocol;
		set_ipv4(flow->local, ipv4.source);
		set_ipv4(flow->remote, ipv4.destination);
		offset += (ipv4.version_and_length & 15) * 4;
	} else if (type == ETHERTYPE_IPV6) {
		if (bpf_skb_load_bytes(skb, offset, &ipv6, sizeof(ipv6)))
			return false;
		flow->protocol = ipv6.next;
		__builtin_memcpy(flow->local, ipv6.source, 16);
		__builtin_memcpy(flow->remote, ipv6.destination, 16);
		offset += IPV6_HEADER;
	} else {
		return false;
	}
	packet->transport_at = offset;
	if (flow->protocol == IPPROTO_TCP)
		room = sizeof(ports);
	else if (flow->protocol == IPPROTO_UDP)
		room = 8;
	else
		return false;
	if (room == sizeof(ports)) {
		if (bpf_skb_load_bytes(skb, offset, &ports, sizeof(ports)))
			return false;
		*begins = TCP_SYN_ALONE(ports.tcp_flags);
	} else if (bpf_skb_load_bytes(skb, offset, &ports, 8)) {
		return false;
	}
	flow->local_port = __builtin_bswap16(ports.source);
	flow->remote_port = __builtin_bswap16(ports.destination);
	return true;
}

/*
 * Of datagrams that their sender handed over as one (UDP_SEGMENT) and that nothing has cut yet, else 0.
 * A tunnel's packet looks alike, but it is another socket that sent what is in it.
 */
static __always_inline __u16 datagram_size(struct __sk_buff *skb, const struct pt_flow *flow)
{
	struct bpf_sock *sk;

	if (flow->protocol != IPPROTO_UDP || skb->gso_segs < 2)
		return 0;
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk || sk->protocol != IPPROTO_UDP || sk->src_port != flow->local_port)
		return 0;
	return skb->gso_size;
}

static __always_inline void reverse(struct pt_flow *to, const struct pt_flow *from)
{
	__builtin_memcpy(to->local, from->remote, 16);
	__builtin_memcpy(to->remote, from->local, 16);
	to->local_port = from->remote_port;
	to->remote_port = from->local_port;
	to->protocol = from->protocol;
	__builtin_memset(to->pad, 0, sizeof(to->pad));
}

/*
 * Who has this end; where it is in this namespace, of TCP the one who listens there stands in until
 * the connection's is known.
 */
static __always_inline void find_end(struct pt_process *owner, const struct pt_flow *flow,
				     bool here, __u8 *flags)
{
	struct pt_process *known = bpf_map_lookup_elem(&pt_flows, flow);
	struct pt_flow listener = {.protocol = flow->protocol, .local_port = flow->local_port};

	if (!known && here) {
		known = bpf_map_lookup_elem(&pt_flows, &listener);
		if (known && flow->protocol == IPPROTO_TCP)
			*flags |= PT_PACKET_PROVISIONAL;
	}
	if (!known)
		return;
	*owner = *known;
	if (owner->wanted == PT_UNDECIDED)
		*flags |= PT_PACKET_PROVISIONAL;
}

/* To tell a socket's flows from each other: those of UDP may have many. */
static __always_inline __u32 flow_in_short(const struct pt_flow *flow)
{
	__u32 ports = (__u32)flow->local_port << 16 | flow->remote_port;

	return ports ^ *(__u32 *)(flow->remote + 12) ^ *(__u32 *)(flow->local + 12) ^ 1;
}

static __always_inline void find_sender(struct __sk_buff *skb, struct pt_packet *packet)
{
	__u64 cookie = bpf_get_socket_cookie(skb);
	struct pt_process *known = cookie ? bpf_map_lookup_elem(&pt_owners, &cookie) : 0;
	__u32 noted = flow_in_short(&packet->flow);

	if (!known) {
		if (packet->flow.protocol)
			find_end(&packet->sender, &packet->flow, packet->flags & PT_PACKET_OUT,
				 &packet->flags);
		if (cookie && !packet->sender.pid && packet->flow.protocol == IPPROTO_TCP)
			packet->flags |= PT_PACKET_PROVISIONAL;
		return;
	}
	packet->sender = *known;
	if (known->wanted == PT_UNDECIDED)
		packet->flags |= PT_PACKET_PROVISIONAL;
	if (!packet->flow.protocol || known->noted == noted)
		return;
	known->noted = noted;
	set_flow(&packet->flow, &packet->sender);
}

static __always_inline void find_receiver(struct pt_packet *packet, bool begins, bool here)
{
	struct pt_flow flow;

	reverse(&flow, &packet->flow);
	if (begins) /* another connection had these addresses before */
		bpf_map_delete_elem(&pt_flows, &flow);
	find_end(&packet->receiver, &flow, here, &packet->flags);
}

static __always_inline bool is_wanted(const struct pt_packet *packet)
{
	return !packets.filtering || packet->flags & PT_PACKET_PROVISIONAL ||
	       packet->sender.wanted == PT_WANTED || packet->receiver.wanted == PT_WANTED;
}

static __always_inline void count_packet(__u32 ifindex, bool captured)
{
	struct pt_packet_counts *counts = bpf_map_lookup_elem(&pt_packet_counts, &ifindex);

	if (!counts)
		return;
	if (captured)
		__sync_fetch_and_add(&counts->captured, 1);
	else
		__sync_fetch_and_add(&counts->dropped, 1);
}

/*
 * The reader polls on a timer, and is woken each time so many bytes more were produced: also when it
 * lets packets wait or is behind. Twice the size, for what another CPU reserved meanwhile.
 */
static __always_inline __u64 packet_submit_flags(__u32 size)
{
	__u64 produced = bpf_ringbuf_query(&pt_packets, BPF_RB_PROD_POS);

	return (produced & (packets.wake_bytes - 1)) < 2 * size ? BPF_RB_FORCE_WAKEUP :
								  BPF_RB_NO_WAKEUP;
}

/*
 * A reservation's size is a constant to the verifier: the smallest that holds the packet. From a number
 * that is not 0 verifiers before Linux 6.8 (d028f87517d6) do not conclude that it is at least 1.
 */
#define SEND_AS(size)                                                                              \
	if (packet->captured <= (size)) {                                                          \
		struct pt_packet *record =                                                         \
			bpf_ringbuf_reserve(&pt_packets, sizeof(*record) + (size), 0);             \
		__u64 last = packet->captured - 1ULL;                                              \
                                                                                                   \
		if (!record)                                                                       \
			return false;                                                              \
		barrier_var(last);                                                                 \
		if (last >= (size) || bpf_skb_load_bytes(skb, 0, record->data, last + 1)) {        \
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);                             \
			return false;                                                              \
		}                                                                                  \
		__builtin_memcpy(record, packet, sizeof(*packet));                                 \
		bpf_ringbuf_submit(record, packet_submit_flags(sizeof(*record) + (size)));         \
		return true;                                                                       \
	}

static __always_inline bool send_packet(struct __sk_buff *skb, const struct pt_packet *packet)
{
	SEND_AS(128)
	SEND_AS(256)
	SEND_AS(640)
	SEND_AS(1536)
	SEND_AS(3072)
	SEND_AS(6144)
	SEND_AS(12288)
	SEND_AS(24576)
	SEND_AS(49152)
	SEND_AS(66560)
	SEND_AS(132096)
	SEND_AS(PT_PACKET_MAX)
	return false;
}

static __always_inline int capture_packet(struct __sk_buff *skb, __u8 flags, bool ethernet)
{
	struct pt_packet packet = {.flags = flags};
	__u32 most = packets.snaplen < PT_PACKET_MAX ? packets.snaplen : PT_PACKET_MAX;
	bool begins = false;

	if (!is_running())
		return TC_ACT_UNSPEC;
	if (!read_ends(skb, ethernet, &packet, &begins))
		packet.flow.protocol = 0;
	find_sender(skb, &packet);
	if (packet.flow.protocol)
		find_receiver(&packet, begins,
			      !(flags & PT_PACKET_OUT) || skb->ifindex == LOOPBACK);
	if (!is_wanted(&packet))
		return TC_ACT_UNSPEC;
	packet.ts_ns = bpf_ktime_get_ns();
	packet.ifindex = skb->ifindex;
	packet.length = skb->len;
	packet.captured = packet.length < most ? packet.length : most;
	packet.datagram_size = datagram_size(skb, &packet.flow);
	if (skb->vlan_present) {
		packet.flags |= PT_PACKET_VLAN;
		packet.vlan_tci = skb->vlan_tci;
		packet.vlan_proto = __builtin_bswap16(skb->vlan_proto);
	}
	count_packet(packet.ifindex, send_packet(skb, &packet));
	return TC_ACT_UNSPEC;
}

#endif
