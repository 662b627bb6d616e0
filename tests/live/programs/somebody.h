/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else to talk to: a child that returns what it is sent over TCP, without any TLS. */
#ifndef SOMEBODY_H
#define SOMEBODY_H

#include "sockets.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

#define WORDS_SIZE 64
#define SOMEBODY_FDS 16

struct somebody {
	pid_t pid;
	int port;
};

static inline void answer_everyone(int listener)
{
	struct pollfd fds[SOMEBODY_FDS] = {{.fd = listener, .events = POLLIN}};
	char words[WORDS_SIZE];
	int count = 1;

	while (poll(fds, count, -1) > 0) {
		if (fds[0].revents && count < SOMEBODY_FDS)
			fds[count++] = (struct pollfd){.fd = accepted(listener), .events = POLLIN};
		for (int i = 1; i < count; i++) {
			if (!fds[i].revents)
				continue;
			if (recv(fds[i].fd, words, WORDS_SIZE, MSG_WAITALL) != WORDS_SIZE)
				fds[i].fd = -1;
			else if (send(fds[i].fd, words, WORDS_SIZE, 0) != WORDS_SIZE)
				die("answer");
		}
	}
}

static inline struct somebody start_somebody(void)
{
	struct somebody somebody = {};
	int listener = tcp_listener(&somebody.port);
	pid_t parent = getpid();

	somebody.pid = fork();
	if (somebody.pid < 0)
		die("fork");
	if (!somebody.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() == parent)
			answer_everyone(listener);
		_exit(1);
	}
	close(listener);
	return somebody;
}

static inline void talk(int fd)
{
	char words[WORDS_SIZE] = "words of no TLS connection";

	if (send(fd, words, WORDS_SIZE, 0) != WORDS_SIZE ||
	    recv(fd, words, WORDS_SIZE, MSG_WAITALL) != WORDS_SIZE)
		die("talk");
}

#endif
