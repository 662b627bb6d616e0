// SPDX-License-Identifier: Apache-2.0
/*
 * The naive way, for comparison: empty BPF programs on entry and return of one function, or with more than one
 * offset on just these places.
 * empty_probe PATH OFFSET... says "ready" once attached and stays until standard input ends.
 */
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define UPROBE_TYPE "/sys/bus/event_source/devices/uprobe/type"

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int load_empty(void)
{
	static const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_KPROBE;
	attr.insns = (uintptr_t)code;
	attr.insn_cnt = sizeof(code) / sizeof(*code);
	attr.license = (uintptr_t)"Dual BSD/GPL";
	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static unsigned int uprobe_type(void)
{
	FILE *file = fopen(UPROBE_TYPE, "r");
	unsigned int type;

	if (!file || fscanf(file, "%u", &type) != 1)
		die(UPROBE_TYPE);
	fclose(file);
	return type;
}

static void attach(int program, const char *path, uint64_t offset, int returns)
{
	struct perf_event_attr attr;
	int event;

	memset(&attr, 0, sizeof(attr));
	attr.size = sizeof(attr);
	attr.type = uprobe_type();
	attr.config = returns; /* bit 0, /sys/bus/event_source/devices/uprobe/format/retprobe */
	attr.config1 = (uintptr_t)path;
	attr.config2 = offset;
	event = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		die("perf_event_open");
	if (ioctl(event, PERF_EVENT_IOC_SET_BPF, program))
		die("PERF_EVENT_IOC_SET_BPF");
	if (ioctl(event, PERF_EVENT_IOC_ENABLE, 0))
		die("PERF_EVENT_IOC_ENABLE");
}

int main(int argc, char **argv)
{
	int program = argc >= 3 ? load_empty() : (errno = EINVAL, -1);

	if (program < 0)
		die("empty_probe PATH OFFSET...");
	for (int number = 2; number < argc; number++)
		attach(program, argv[1], strtoull(argv[number], NULL, 10), 0);
	if (argc == 3)
		attach(program, argv[1], strtoull(argv[2], NULL, 10), 1);
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}
