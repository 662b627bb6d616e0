/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of one call, as the median of batches: a batch that was interrupted does not count. Of
 * this thread's CPU, so that neither does who else wanted it.
 */
#ifndef BENCH_BATCHES_H
#define BENCH_BATCHES_H

#include "identity.h"

/* What they leave fits the default ring: a lost record would be a cheaper one. */
#define CALLS 50000
#define BATCH 1000
#define BATCHES (CALLS / BATCH)

static int compare_batches(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

static inline unsigned long long thread_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* In nanoseconds. */
static inline double median_call(void (*call)(void))
{
	static double batches[BATCHES];

	for (int batch = 0; batch < BATCHES; batch++) {
		unsigned long long began = thread_ns();

		for (int number = 0; number < BATCH; number++)
			call();
		batches[batch] = (double)(thread_ns() - began) / BATCH;
	}
	qsort(batches, BATCHES, sizeof(*batches), compare_batches);
	return batches[BATCHES / 2];
}

#endif
