/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How records leave, and the wake-up rule: a wake-up costs more than a record, so almost never. */
#ifndef PLAINTAP_RING_H
#define PLAINTAP_RING_H

#ifdef PT_LESS52
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} pt_ring SEC(".maps");

/* The record being built; programs are not preempted where this variant is needed. */
struct scratch {
	__u8 bytes[sizeof(struct pt_data) + PT_CHUNK_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} pt_scratch SEC(".maps");

static __always_inline void *begin_record(__u32 size)
{
	__u32 zero = 0;

	(void)size;
	return bpf_map_lookup_elem(&pt_scratch, &zero);
}

static __always_inline void send_record(void *context, void *record, __u64 size)
{
	if (bpf_perf_event_output(context, &pt_ring, BPF_F_CURRENT_CPU, record, size))
		count(PT_RING_FULL_RECORDS, 1);
}

static __always_inline void drop_record(void *record)
{
	(void)record;
}
#else
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24); /* user space sets it */
} pt_ring SEC(".maps");

/* The reader polls on a timer; it is woken once each time the ring fills past the mark. */
static __always_inline __u64 submit_flags(__u32 size)
{
	__u64 waiting = bpf_ringbuf_query(&pt_ring, BPF_RB_AVAIL_DATA);

	if (waiting >= SETTING(wake_bytes) && waiting - SETTING(wake_bytes) <= 2 * size)
		return BPF_RB_FORCE_WAKEUP;
	return BPF_RB_NO_WAKEUP;
}

static __always_inline void *begin_record(__u32 size)
{
	void *record = bpf_ringbuf_reserve(&pt_ring, size, 0);

	if (!record)
		count(PT_RING_FULL_RECORDS, 1);
	return record;
}

static __always_inline void send_record(void *context, void *record, __u64 size)
{
	(void)context;
	bpf_ringbuf_submit(record, submit_flags(size));
}

static __always_inline void drop_record(void *record)
{
	bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
}
#endif

/* What was built on the stack. */
static __always_inline void send_small(void *context, void *record, __u64 size)
{
#ifdef PT_LESS52
	if (bpf_perf_event_output(context, &pt_ring, BPF_F_CURRENT_CPU, record, size))
		count(PT_RING_FULL_RECORDS, 1);
#else
	(void)context;
	if (bpf_ringbuf_output(&pt_ring, record, size, submit_flags(size)))
		count(PT_RING_FULL_RECORDS, 1);
#endif
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
