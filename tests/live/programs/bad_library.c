/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A library with the names of libssl that does, when it is loaded or used, what no library should.
 * Built as shared object with -DWAY=one of the ways below.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	CRASH,
	HANG,
	SLEEP,
	FORK,
	SOCKET,
	WRITE,
	EXECUTE,
	KILL,
	EXIT,
	GARBAGE,
	FLOOD,
	ESCAPE,
	SNOOP,
	OWNER,
	MUTE,
	NONSENSE
};

#define FDS 1024

static char block[16384] = "nonsense";

static void say_everywhere(const char *bytes, size_t size)
{
	for (int fd = 0; fd < FDS; fd++)
		if (write(fd, bytes, size) < 0)
			continue;
}

/* Whatever of this works, the way out is a status of its own. */
static void snoop(void)
{
	struct rlimit processes = {10, 10};

	if (getuid() == 0 || geteuid() == 0 || getgid() == 0 || getegid() == 0)
		_exit(70);
	if (open("/etc/shadow", O_RDONLY) >= 0 || open("/proc/1/environ", O_RDONLY) >= 0)
		_exit(71);
	if (!setuid(0) || !setgid(0) || !setreuid(0, 0))
		_exit(72);
	if (!unlink(VICTIM) || !chmod(VICTIM, 0777) || !truncate(VICTIM, 0) ||
	    !rename(VICTIM, VICTIM ".moved"))
		_exit(73);
	if (!mkdir(VICTIM ".folder", 0700) || !symlink(VICTIM, VICTIM ".link"))
		_exit(74);
	if (!prctl(PR_SET_PDEATHSIG, 0) || !setrlimit(RLIMIT_NPROC, &processes))
		_exit(75);
	for (int fd = 3; fd < FDS; fd++)
		if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR && pwrite(fd, "evil", 4, 0) > 0)
			_exit(76);
	abort();
}

/* A descriptor that may be read from signals its owner: that must not be another process. */
static void own(void)
{
	int owner = getppid(), on = 1;
	struct f_owner_ex process = {F_OWNER_PID, owner};

	for (int fd = 0; fd < FDS; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		if (!fcntl(fd, F_SETOWN, owner) || !fcntl(fd, F_SETOWN_EX, &process))
			_exit(80);
		if (!fcntl(fd, F_SETSIG, SIGKILL) || !fcntl(fd, F_SETFL, O_ASYNC))
			_exit(81);
		if (!ioctl(fd, FIOSETOWN, &owner) || !ioctl(fd, SIOCSPGRP, &owner) ||
		    !ioctl(fd, FIOASYNC, &on))
			_exit(82);
	}
	if (fcntl(0, F_DUPFD, 0) < 0 || fcntl(0, F_DUPFD_CLOEXEC, 0) < 0 || fcntl(0, F_GETFL) < 0)
		_exit(83);
	abort();
}

__attribute__((constructor)) static void loaded(void)
{
	static const char escape[] = "{\"error\": \"\\u001b]0;mine\\u0007\"}";
	volatile int *volatile nowhere = NULL;
	char *words[] = {"/bin/true", NULL};

	switch (WAY) {
	case CRASH:
		*nowhere = 1;
		break;
	case HANG:
		for (;;)
			*(volatile char *)block;
	case SLEEP:
		for (;;)
			sleep(1000);
	case FORK:
		if (!fork())
			for (;;)
				sleep(1000);
		break;
	case SOCKET:
		socket(AF_INET, SOCK_STREAM, 0);
		break;
	case WRITE:
		open(VICTIM, O_WRONLY | O_CREAT, 0600);
		break;
	case EXECUTE:
		execv(words[0], words);
		break;
	case KILL:
		kill(getppid(), SIGKILL);
		break;
	case EXIT:
		_exit(0);
	case GARBAGE:
		say_everywhere("garbage\n", 8);
		_exit(0);
	case FLOOD:
		for (;;)
			say_everywhere(block, sizeof(block));
	case ESCAPE:
		say_everywhere(escape, sizeof(escape) - 1);
		_exit(0);
	case SNOOP:
		snoop();
		break;
	case OWNER:
		own();
		break;
	case MUTE:
		for (int fd = 0; fd < FDS; fd++)
			close(fd);
		for (;;)
			sleep(1000);
	case NONSENSE:
		break;
	}
}

/* Functions that give the same to everybody and claim success. */
#define POINTER(name)                                                                              \
	void *name(void);                                                                          \
	void *name(void)                                                                           \
	{                                                                                          \
		return block;                                                                      \
	}
#define NUMBER(name)                                                                               \
	long name(void);                                                                           \
	long name(void)                                                                            \
	{                                                                                          \
		return 1;                                                                          \
	}

POINTER(SSL_new)
POINTER(TLS_method)
POINTER(SSL_CTX_new)
POINTER(BIO_new)
POINTER(BIO_new_socket)
POINTER(BIO_s_mem)
POINTER(BIO_s_socket)
POINTER(SSL_get_session)
POINTER(SSL_get_current_cipher)
NUMBER(SSL_CTX_set_options)
NUMBER(SSL_CTX_set_cipher_list)
NUMBER(SSL_CTX_set_psk_client_callback)
NUMBER(SSL_CTX_set_psk_server_callback)
NUMBER(SSL_set_bio)
NUMBER(SSL_set_connect_state)
NUMBER(SSL_set_accept_state)
NUMBER(SSL_do_handshake)
NUMBER(SSL_version)
NUMBER(SSL_CIPHER_get_id)
NUMBER(SSL_SESSION_get_master_key)
NUMBER(SSL_up_ref)
NUMBER(SSL_free)
NUMBER(BIO_write)

int BIO_read(void *bio, char *buffer, int size);
int BIO_read(void *bio, char *buffer, int size)
{
	(void)bio;
	memset(buffer, 1, size);
	return size;
}
