/* SPDX-License-Identifier: Apache-2.0 */
/*
 * same_pid SIZE: one child after another, all under one pid and, being copies of this process, with
 * their sessions (over memory) at the same addresses; none frees anything.
 */
#include "pair.h"
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CHILDREN 3
#define TRIES 200

/* clone3 chooses the pid (Linux 5.5); 0 leaves it to the kernel. */
static pid_t fork_as(pid_t wanted)
{
	struct clone_args arguments = {
		.exit_signal = SIGCHLD,
		.set_tid = wanted ? (uintptr_t)&wanted : 0,
		.set_tid_size = wanted ? 1 : 0,
	};

	return (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments));
}

static void speak(size_t size, int number)
{
	struct pair pair = open_pair(client_context(), server_context());
	unsigned char *buffer = checked(malloc(size), "malloc");

	fill(buffer, size, number);
	pair_exchange(&pair, buffer, size);
	report_pair(&pair);
}

int main(int argc, char **argv)
{
	size_t size = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	pid_t pid = 0, child;
	int status;

	ready();
	for (int i = 0; i < CHILDREN; i++) {
		int tries = 0;

		/* Freed a moment after it was waited for, and anybody may be quicker. */
		while ((child = fork_as(pid)) < 0 && errno == EEXIST && tries++ < TRIES)
			usleep(1000);
		if (child < 0)
			die("clone3");
		if (!child) {
			speak(size, i);
			_exit(0);
		}
		pid = child;
		if (waitpid(child, &status, 0) != child || status)
			die("child");
	}
	return 0;
}
