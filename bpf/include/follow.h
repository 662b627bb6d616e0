/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Processes and their descendants. A followed process that executes or maps a file nobody has
 * looked at is stopped (SIGSTOP) until user space has looked, and attached, and continued it.
 */
#ifndef PLAINTAP_FOLLOW_H
#define PLAINTAP_FOLLOW_H

#if defined(PT_CORE) && !defined(PT_LESS52) /* signals came with 5.3 */

struct file_id {
	__u64 inode;
	__u32 device;
	__u32 generation; /* inode numbers are used again */
};

/* Files user space has looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct file_id);
	__type(value, __u32);
} pt_looked SEC(".maps");

static __always_inline bool followed(__u32 tgid)
{
	return bpf_map_lookup_elem(&pt_pids, &tgid) != 0;
}

static __always_inline void hold_for(struct file *file, __u64 address)
{
	struct file_id id = {};
	struct inode *inode = BPF_CORE_READ(file, f_inode);
	struct pt_held *held;

	if (!is_running()) /* nobody would let it go */
		return;
	id.inode = BPF_CORE_READ(inode, i_ino);
	id.device = BPF_CORE_READ(inode, i_sb, s_dev);
	id.generation = BPF_CORE_READ(inode, i_generation);
	if (bpf_map_lookup_elem(&pt_looked, &id))
		return;
	held = begin_record(sizeof(*held));
	if (!held)
		return;
	fill_header(&held->header, PT_HELD, sizeof(*held));
	held->inode = id.inode;
	held->device = id.device;
	held->address = address;
	held->generation = id.generation;
	if (bpf_send_signal(SIGSTOP))
		count(PT_NOT_HELD, 1);
	bpf_ringbuf_submit(held, BPF_RB_FORCE_WAKEUP);
}

static __always_inline void hold_for_mapping(struct pt_regs *regs, __s64 address)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 fd = BPF_CORE_READ(regs, SYSCALL_ARGUMENT5);
	struct fdtable *table;
	struct file *file = 0;

	if (!(BPF_CORE_READ(regs, SYSCALL_ARGUMENT3) & PROT_EXEC) ||
	    (address < 0 && address > -4096))
		return;
	table = BPF_CORE_READ(task, files, fdt);
	if (fd >= BPF_CORE_READ(table, max_fds))
		return;
	bpf_probe_read_kernel(&file, sizeof(file), BPF_CORE_READ(table, fd) + fd);
	if (file)
		hold_for(file, address);
}

static __always_inline void follow_fork(struct task_struct *parent, struct task_struct *child)
{
	__u32 parent_tgid = BPF_CORE_READ(parent, tgid);
	__u32 child_tgid = BPF_CORE_READ(child, tgid);
	__u32 one = 1;

	if (parent_tgid == child_tgid || !followed(parent_tgid))
		return;
	if (bpf_map_update_elem(&pt_pids, &child_tgid, &one, BPF_ANY))
		count(PT_MAP_FULL, 1);
}

#endif

#endif
