// SPDX-License-Identifier: Apache-2.0
/* blast ADDRESS PORT BYTES SECONDS: UDP packets as fast as they go. Says "PACKETS SECONDS CPU_SECONDS". */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 32

static double seconds_of(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **words)
{
	static char payload[65536];
	struct sockaddr_in to = {.sin_family = AF_INET};
	struct mmsghdr messages[BATCH];
	struct iovec piece = {.iov_base = payload};
	double start, end;
	long sent = 0;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (count != 5 || inet_pton(AF_INET, words[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons((unsigned short)atoi(words[2]));
	piece.iov_len = (size_t)atoi(words[3]);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return 1;
	memset(messages, 0, sizeof(messages));
	for (int i = 0; i < BATCH; i++) {
		messages[i].msg_hdr.msg_iov = &piece;
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	start = seconds_of(CLOCK_MONOTONIC);
	end = start + atof(words[4]);
	while (seconds_of(CLOCK_MONOTONIC) < end) {
		int done = sendmmsg(fd, messages, BATCH, 0);

		if (done > 0)
			sent += done;
	}
	printf("%ld %f %f\n", sent, seconds_of(CLOCK_MONOTONIC) - start,
	       seconds_of(CLOCK_PROCESS_CPUTIME_ID));
	return 0;
}
