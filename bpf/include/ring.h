/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The ring of records and its wake-up rule: a wake-up costs more than a record, so almost never. */
#ifndef PLAINTAP_RING_H
#define PLAINTAP_RING_H

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24); /* user space sets it */
} pt_ring SEC(".maps");

/* The reader polls on a timer; it is woken once each time the ring fills past the mark. */
static __always_inline __u64 submit_flags(__u32 size)
{
	__u64 waiting = bpf_ringbuf_query(&pt_ring, BPF_RB_AVAIL_DATA);

	if (waiting >= config.wake_bytes && waiting - config.wake_bytes <= 2 * size)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_header(struct pt_header *header, __u8 kind, __u32 size)
{
	__u64 id = bpf_get_current_pid_tgid();

	header->version = PT_WIRE_VERSION;
	header->kind = kind;
	header->flags = 0;
	header->size = size;
	header->ts_ns = bpf_ktime_get_ns();
	header->pid = id >> 32;
	header->tid = (__u32)id;
}

#endif
