/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What follows from a call that returned: its socket, its secrets, its bytes. */
#ifndef PLAINTAP_RETURNS_H
#define PLAINTAP_RETURNS_H

/* The frame of the call that returned, when there is anything to say of it. */
static __always_inline struct frame *finish_call(struct pt_regs *regs, __u64 cookie,
						 struct thread *thread)
{
	struct frame *frame = thread ? leave_call(thread, regs->sp) : 0;

	if (!is_running())
		return 0;
	/* A thread never seen may have been inside since before, and be told of for another tool's sake. */
	if (!frame && thread && wanted(bpf_get_current_pid_tgid() >> 32))
		count_unmatched(cookie);
	return frame;
}

/* gnutls.h; a record's plaintext, RFC 8446, 5.1 */
#define GNUTLS_E_AGAIN -28
#define GNUTLS_E_INTERRUPTED -52
#define RECORD_MAX 16384

static __always_inline bool has_to_wait(struct pt_regs *regs)
{
	__s32 result = (__s32)regs->REG_RESULT;

	return result == GNUTLS_E_AGAIN || result == GNUTLS_E_INTERRUPTED;
}

/* Inside gnutls_record_uncork: its bytes were sent when they were handed over. */
static __always_inline bool uncorks(const struct thread *thread, const struct frame *frame)
{
	const struct frame *outer;

	if (!thread || !thread->depth)
		return false;
	outer = &thread->frames[(thread->depth - 1) & (PT_DEPTH - 1)];
	return outer->direction == PT_UNCORK && outer->ssl == frame->ssl;
}

/*
 * A write of GnuTLS that has to wait has taken its bytes all the same. Whoever calls again may have
 * given them up by then, and gives the same ones or none: both succeed with their number.
 */
static __always_inline bool repeats_kept(struct pt_regs *regs, const struct frame *frame)
{
	struct session *session = known_session(frame->ssl);

	if (!session || !session->kept)
		return false;
	session->kept = has_to_wait(regs);
	return true;
}

static __always_inline void return_call(struct pt_regs *regs, __u64 cookie)
{
	struct session_key key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct thread *thread = current_thread();
	struct frame *frame = finish_call(regs, cookie, thread);
	struct session *session;
	bool keeps = COOKIE_GNUTLS(cookie) && COOKIE_WRITE(cookie);
	bool waits = keeps && has_to_wait(regs);
	__u64 done;

	if (!frame || frame->inner_sent ||
	    (keeps && (uncorks(thread, frame) || repeats_kept(regs, frame))))
		return;
	done = bytes_done(regs, frame);
	if (waits)
		done = frame->size < RECORD_MAX ? frame->size : RECORD_MAX;
	if (!done) {
		if (!frame->used)
			suspect_memory(frame);
		return;
	}
	key.ssl = frame->ssl;
	session = find_session(regs, &key);
	if (!session)
		return;
	session->kept = waits;
	attribute(regs, session, thread, frame);
	tell_outer(thread, frame);
	send_secrets(regs, session, frame->ssl, frame->library, 0);
	if (SETTING(plaintext)) {
		send_tls(regs, session, frame->ssl, frame->library);
		send_call(regs, thread, frame, session, done);
	}
}

/* 1, of GnuTLS 0: the handshake is over; anything else: not yet, or it failed. */
static __always_inline void return_handshake(struct pt_regs *regs, __u64 cookie)
{
	struct session_key key = {.tgid = bpf_get_current_pid_tgid() >> 32};
	struct thread *thread = current_thread();
	struct frame *frame = finish_call(regs, cookie, thread);
	struct session *session;

	if (!frame)
		return;
	if ((__s32)regs->REG_RESULT != (COOKIE_GNUTLS(cookie) ? 0 : 1)) {
		if (!frame->used)
			suspect_memory(frame);
		return;
	}
	key.ssl = frame->ssl;
	session = find_session(regs, &key);
	if (!session)
		return;
	attribute(regs, session, thread, frame);
	send_secrets(regs, session, frame->ssl, frame->library, PT_HANDSHAKE_SEEN);
}

/* SSL_free gives up a reference; the last one ends the session. */
static __always_inline void release_session(void *context, __u64 ssl, __u16 library)
{
	const struct pt_layout *layout = find_layout(library);

	if (layout && user_int(ssl, layout->references) > 1)
		return;
	forget_name(ssl);
	end_session(context, ssl);
}

#endif
