/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What differs between architectures: registers of a call and of a system call, its numbers, where a
 * kernel stack begins. Each REG_ and SYSCALL_ name stands for a member of struct pt_regs.
 */
#ifndef PLAINTAP_ABI_H
#define PLAINTAP_ABI_H

#if defined(__TARGET_ARCH_x86)

/* arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip;
	unsigned long cs, flags, sp, ss;
};

#define REG_ARGUMENT1 di
#define REG_ARGUMENT2 si
#define REG_ARGUMENT3 dx
#define REG_ARGUMENT4 cx
#define REG_ARGUMENT5 r8
#define REG_RESULT ax
#define REG_IP ip
#define RETURN_ADDRESS_SIZE 8 /* on the stack */

/* Go's register ABI (cmd/compile/abi-internal.md) */
#define REG_GO_ARGUMENT0 ax
#define REG_GO_ARGUMENT1 bx
#define REG_GO_ARGUMENT2 cx
#define REG_GO_ARGUMENT3 di
#define REG_GO_ARGUMENT4 si
#define REG_GO_ARGUMENT6 r9
#define REG_GO_ARGUMENT7 r10
#define REG_GO_RESULT ax
#define REG_GOROUTINE r14
#define GOROUTINE_BY_THREAD 1 /* before the register ABI it is in a variable of the thread's */

/* arch/x86/entry/syscalls/syscall_64.tbl */
#define SYSCALL_NUMBER orig_ax
#define SYSCALL_ARGUMENT1 di
#define SYSCALL_ARGUMENT2 si
#define SYSCALL_ARGUMENT3 dx
#define SYSCALL_ARGUMENT5 r8
#define NR_READ 0
#define NR_WRITE 1
#define NR_CLOSE 3
#define NR_MMAP 9
#define NR_READV 19
#define NR_WRITEV 20
#define NR_DUP 32
#define NR_DUP2 33
#define NR_SOCKET 41
#define NR_CONNECT 42
#define NR_ACCEPT 43
#define NR_SENDTO 44
#define NR_RECVFROM 45
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_FCNTL 72
#define NR_ACCEPT4 288
#define NR_DUP3 292
#define NR_RECVMMSG 299
#define NR_SENDMMSG 307
#define NR_CLOSE_RANGE 436

#define KERNEL_STACK_SIZE (4 * 4096)
#define KERNEL_REGISTERS_SIZE sizeof(struct pt_regs)

#elif defined(__TARGET_ARCH_arm64)

/* arch/arm64/include/asm/ptrace.h */
struct pt_regs {
	unsigned long regs[31], sp, pc, pstate, orig_x0;
	__s32 syscallno;
};

#define REG_ARGUMENT1 regs[0]
#define REG_ARGUMENT2 regs[1]
#define REG_ARGUMENT3 regs[2]
#define REG_ARGUMENT4 regs[3]
#define REG_ARGUMENT5 regs[4]
#define REG_RESULT regs[0]
#define REG_IP pc
#define RETURN_ADDRESS_SIZE 0 /* in the link register */

/* Go's register ABI (cmd/compile/abi-internal.md) */
#define REG_GO_ARGUMENT0 regs[0]
#define REG_GO_ARGUMENT1 regs[1]
#define REG_GO_ARGUMENT2 regs[2]
#define REG_GO_ARGUMENT3 regs[3]
#define REG_GO_ARGUMENT4 regs[4]
#define REG_GO_ARGUMENT6 regs[6]
#define REG_GO_ARGUMENT7 regs[7]
#define REG_GO_RESULT regs[0]
#define REG_GOROUTINE regs[28] /* in the stack ABI, too */
#define GOROUTINE_BY_THREAD 0

/* include/uapi/asm-generic/unistd.h. The result takes the first argument's register. */
#define SYSCALL_NUMBER syscallno
#define SYSCALL_ARGUMENT1 orig_x0
#define SYSCALL_ARGUMENT2 regs[1]
#define SYSCALL_ARGUMENT3 regs[2]
#define SYSCALL_ARGUMENT5 regs[4]
#define NR_DUP 23
#define NR_DUP3 24
#define NR_DUP2 NR_DUP3 /* there is none */
#define NR_FCNTL 25
#define NR_CLOSE 57
#define NR_READ 63
#define NR_WRITE 64
#define NR_READV 65
#define NR_WRITEV 66
#define NR_SOCKET 198
#define NR_ACCEPT 202
#define NR_CONNECT 203
#define NR_SENDTO 206
#define NR_RECVFROM 207
#define NR_SENDMSG 211
#define NR_RECVMSG 212
#define NR_MMAP 222
#define NR_ACCEPT4 242
#define NR_RECVMMSG 243
#define NR_SENDMMSG 269
#define NR_CLOSE_RANGE 436

#define KERNEL_STACK_SIZE (4 * 4096)				 /* with pages of 4 KiB */
#define KERNEL_REGISTERS_SIZE bpf_core_type_size(struct pt_regs) /* more than is named above */

#else
#error "no registers known of this architecture"
#endif

#endif
