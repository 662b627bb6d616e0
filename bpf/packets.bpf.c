// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Packets as they pass interfaces, and the processes they belong to. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "compat.h"
#include "wire.h"
#include "config.h"
#include "counters.h"
#include "filter.h"
#include "socket.h"
#include "packet.h"
#include "owners.h"
#include "capture.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/*
 * Directions and link layers apart: with a link header of Ethernet's or none. A filter, if there is
 * one, runs before and calls one of them by its place in pt_entries.
 */
SEC("tc")
int pt_in_ethernet(struct __sk_buff *skb)
{
	return capture_packet(skb, 0, true);
}

SEC("tc")
int pt_out_ethernet(struct __sk_buff *skb)
{
	return capture_packet(skb, PT_PACKET_OUT, true);
}

SEC("tc")
int pt_in_raw(struct __sk_buff *skb)
{
	return capture_packet(skb, 0, false);
}

SEC("tc")
int pt_out_raw(struct __sk_buff *skb)
{
	return capture_packet(skb, PT_PACKET_OUT, false);
}

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u32);
} pt_entries SEC(".maps");
