// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* Plaintext and secrets of TLS libraries: of OpenSSL's kind at SSL_read and SSL_write in all their forms, and Go's. */
#include "kernel.h"
#include <bpf/bpf_helpers.h>
#include "compat.h"
#include "wire.h"
#include "config.h"
#include "counters.h"
#include "filter.h"
#include "ring.h"
#include "socket.h"
#ifdef PT_CORE
#include "users.h"
#endif
#include "session.h"
#include "layout.h"
#include "calls.h"
#ifdef PT_CORE
#include "memory.h"
#include "attribution.h"
#else
#include "connects.h"
#endif
#include "secrets.h"
#include "tls.h"
#include "sending.h"
#include "returns.h"
#include "golang.h"
#include "follow.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* (SSL *, void *buffer, size_t or int, [size_t *done]) */
SEC("uprobe")
int pt_call_enter(struct pt_regs *regs)
{
	__u64 cookie = attach_cookie(regs);

	enter_call(regs, cookie, COOKIE_WRITE(cookie));
	return 0;
}

SEC("uprobe")
int pt_call_return(struct pt_regs *regs)
{
	return_call(regs, attach_cookie(regs));
	return 0;
}

/* SSL_do_handshake(SSL *) */
SEC("uprobe")
int pt_handshake_enter(struct pt_regs *regs)
{
	enter_call(regs, attach_cookie(regs), PT_HANDSHAKE);
	return 0;
}

SEC("uprobe")
int pt_handshake_return(struct pt_regs *regs)
{
	return_handshake(regs, attach_cookie(regs));
	return 0;
}

/* SSL_new(SSL_CTX *) */
SEC("uprobe")
int pt_session_new(struct pt_regs *regs)
{
	(void)regs;
#ifdef PT_CORE
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	if (wanted(tgid))
		expect_session(tgid);
#endif
	return 0;
}

/* SSL_free(SSL *) */
SEC("uprobe")
int pt_session_free(struct pt_regs *regs)
{
	release_session(regs, regs->REG_ARGUMENT1, COOKIE_LIBRARY(attach_cookie(regs)));
	return 0;
}

/* SSL_clear(SSL *): the same object for another connection */
SEC("uprobe")
int pt_session_clear(struct pt_regs *regs)
{
	remember_cleared(regs->REG_ARGUMENT1, COOKIE_LIBRARY(attach_cookie(regs)));
	end_session(regs, regs->REG_ARGUMENT1);
	return 0;
}

/* SSL_ctrl(SSL *, int command, long number, void *pointer); all but one of its commands are others' */
SEC("uprobe")
int pt_ctrl(struct pt_regs *regs)
{
	if ((__u32)regs->REG_ARGUMENT2 == CTRL_SET_HOSTNAME &&
	    !regs->REG_ARGUMENT3) /* TLSEXT_NAMETYPE_host_name */
		remember_name(regs->REG_ARGUMENT1, regs->REG_ARGUMENT4);
	return 0;
}

/* SSL_set_tlsext_host_name(SSL *, const char *) */
SEC("uprobe")
int pt_server_name(struct pt_regs *regs)
{
	remember_name(regs->REG_ARGUMENT1, regs->REG_ARGUMENT2);
	return 0;
}

SEC("uprobe")
int pt_secret_log(struct pt_regs *regs)
{
	if (is_running())
		send_secret(regs, regs, COOKIE_LIBRARY(attach_cookie(regs)));
	return 0;
}

/* gnutls_record_uncork(gnutls_session_t, unsigned): writes inside it are of what was given before */
SEC("uprobe")
int pt_uncork_enter(struct pt_regs *regs)
{
	enter_call(regs, attach_cookie(regs), PT_UNCORK);
	return 0;
}

SEC("uprobe")
int pt_uncork_return(struct pt_regs *regs)
{
	finish_call(regs, attach_cookie(regs), current_thread());
	return 0;
}

/* (*Conn).Read(buffer []byte), .Write, behind what checks the goroutine's stack */
SEC("uprobe")
int pt_go_enter(struct pt_regs *regs)
{
	enter_go_call(regs, attach_cookie(regs));
	return 0;
}

/* Where they return (count int, error), or are sure to; return probes break stacks that move */
SEC("uprobe")
int pt_go_return(struct pt_regs *regs)
{
	return_go_call(regs, attach_cookie(regs));
	return 0;
}

/* (*Conn).clientHandshake, .serverHandshake */
SEC("uprobe")
int pt_go_handshake(struct pt_regs *regs)
{
	begin_go_handshake(regs, attach_cookie(regs));
	return 0;
}

/* (*Config).writeKeyLog(label string, clientRandom, secret []byte) */
SEC("uprobe")
int pt_go_keylog(struct pt_regs *regs)
{
	send_go_secret(regs, attach_cookie(regs));
	return 0;
}

/* (*Conn).Close */
SEC("uprobe")
int pt_go_close(struct pt_regs *regs)
{
	close_go_conn(regs, attach_cookie(regs));
	return 0;
}

#include "lifecycle.h"
#ifdef PT_CORE
#include "sockets.h"
#include "closing.h"
#endif
