/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What a call moved goes out in chunks, each a record about as long as its data. */
#ifndef PLAINTAP_SENDING_H
#define PLAINTAP_SENDING_H

#ifdef PT_LESS52
#define PT_CEILING_CHUNKS 16 /* 256 KiB a call */

static __always_inline void send_payload(void *context, struct outgoing *outgoing, __u64 length)
{
	struct pt_data *data = begin_record(0);
	__u64 bounded = length;

	if (!data)
		return;
	__builtin_memcpy(data, &outgoing->data, sizeof(*data));
	barrier_var(bounded);
	if (bounded > PT_CHUNK_MAX)
		bounded = PT_CHUNK_MAX;
	if (bpf_probe_read_user(data + 1, bounded, (void *)outgoing->source)) {
		count(PT_UNREAD_RECORDS, 1);
		count(PT_UNREAD_BYTES, length);
		return;
	}
	bounded += sizeof(*data);
	if (bpf_perf_event_output(context, &pt_ring, BPF_F_CURRENT_CPU, data, bounded)) {
		count(PT_RING_FULL_RECORDS, 1);
		count(PT_RING_FULL_BYTES, length);
	}
}
#else
#define PT_CEILING_CHUNKS 1024 /* 16 MiB a call; config.ceiling_chunks lowers it */

/* A reservation's size must be a constant, so one try per size class. */
#define TRY_CLASS(bytes)                                                                           \
	if (length <= (bytes)) {                                                                   \
		struct pt_data *data = bpf_ringbuf_reserve(&pt_ring, sizeof(*data) + (bytes), 0);  \
		__u64 bounded = length;                                                            \
		if (!data) {                                                                       \
			count(PT_RING_FULL_RECORDS, 1);                                            \
			count(PT_RING_FULL_BYTES, length);                                         \
			return;                                                                    \
		}                                                                                  \
		__builtin_memcpy(data, &outgoing->data, sizeof(*data));                            \
		barrier_var(bounded);                                                              \
		if (bounded > (bytes))                                                             \
			bounded = (bytes);                                                         \
		if (bpf_probe_read_user(data + 1, bounded, (void *)outgoing->source)) {            \
			bpf_ringbuf_discard(data, BPF_RB_NO_WAKEUP);                               \
			count(PT_UNREAD_RECORDS, 1);                                               \
			count(PT_UNREAD_BYTES, length);                                            \
			return;                                                                    \
		}                                                                                  \
		bpf_ringbuf_submit(data, outgoing->wake ? BPF_RB_FORCE_WAKEUP :                    \
							  submit_flags(sizeof(*data) + (bytes)));  \
		return;                                                                            \
	}

static __always_inline void send_payload(void *context, struct outgoing *outgoing, __u64 length)
{
	(void)context;
	TRY_CLASS(128)
	TRY_CLASS(512)
	TRY_CLASS(1024)
	TRY_CLASS(1536)
	TRY_CLASS(2048)
	TRY_CLASS(4096)
	TRY_CLASS(8192)
	TRY_CLASS(PT_CHUNK_MAX)
}
#endif

static __always_inline int send_next(void *context, struct outgoing *outgoing)
{
	__u64 length;

	if (!outgoing || !outgoing->left)
		return 0;
	length = outgoing->left > PT_CHUNK_MAX ? PT_CHUNK_MAX : outgoing->left;
	outgoing->data.length = length;
	outgoing->data.header.size = sizeof(outgoing->data) + length;
	outgoing->data.header.ts_ns = bpf_ktime_get_ns();
	send_payload(context, outgoing, length);
	outgoing->data.offset += length;
	outgoing->source += length;
	outgoing->left -= length;
	return outgoing->left != 0;
}

/* Whether more is left. */
#ifdef PT_LESS52
static __noinline int send_chunk(void *context, struct outgoing *outgoing)
{
	return send_next(context, outgoing);
}
#else
/* Not static: verified once by itself, however often the loop calls it; so it takes no context. */
__noinline int send_chunk_alone(struct outgoing *outgoing)
{
	return send_next(0, outgoing);
}

static __always_inline int send_chunk(void *context, struct outgoing *outgoing)
{
	(void)context;
	return send_chunk_alone(outgoing);
}
#endif

static __always_inline void send_call(void *context, struct thread *thread,
				      const struct frame *frame, struct session *session,
				      __u64 done)
{
	struct outgoing *outgoing = &thread->outgoing;
	struct pt_data *data = &outgoing->data;

	fill_header(&data->header, PT_DATA, 0);
	data->session = session->id;
	data->ssl = frame->ssl;
	data->uid = session->uid;
	data->library = frame->library;
	data->direction = frame->direction;
	__builtin_memcpy(data->comm, session->comm, sizeof(data->comm));
	data->socket = session->socket;
	data->offset = session->offset[frame->direction & 1];
	session->offset[frame->direction & 1] += done;
	/* Who has no socket yet may be told apart by what is attached on demand. */
	outgoing->wake = !session->socket.family && !data->offset;
	outgoing->source = frame->buffer;
	outgoing->left = done;
	LOOP for (__u32 i = 0; i < PT_CEILING_CHUNKS && i < SETTING(ceiling_chunks);
		  i++) if (!send_chunk(context, outgoing)) break;
	if (outgoing->left)
		count(PT_BEYOND_CEILING_BYTES, outgoing->left);
}

#endif
