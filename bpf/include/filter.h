/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Who is captured: decided before any copy. */
#ifndef PLAINTAP_FILTER_H
#define PLAINTAP_FILTER_H

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, 1); /* BPF_F_NO_PREALLOC */
	__type(key, __u32);
	__type(value, __u32);
} pt_pids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} pt_cgroups SEC(".maps");

static __always_inline void process_comm(char comm[PT_COMM_SIZE])
{
#ifdef PT_CORE
	struct task_struct *task = (void *)bpf_get_current_task();
	struct task_struct *leader = BPF_CORE_READ(task, group_leader);

	bpf_probe_read_kernel_str(comm, PT_COMM_SIZE, &leader->comm);
#else
	bpf_get_current_comm(comm, PT_COMM_SIZE); /* the thread's */
#endif
}

static __always_inline bool wanted_comm(void)
{
	char comm[PT_COMM_SIZE] = {};

	process_comm(comm);
	LOOP for (__u32 i = 0; i < PT_COMM_SIZE; i++)
	{
		if (comm[i] != SETTING(comm[i]))
			return false;
		if (!comm[i])
			break;
	}
	return true;
}

static __always_inline bool wanted(__u32 tgid)
{
	if (tgid == SETTING(self_tgid))
		return false;
	if (SETTING(filter_pid) && !bpf_map_lookup_elem(&pt_pids, &tgid))
		return false;
	if (SETTING(filter_uid) && (__u32)bpf_get_current_uid_gid() != SETTING(uid))
		return false;
	if (SETTING(filter_cgroup) && bpf_current_task_under_cgroup(&pt_cgroups, 0) != 1)
		return false;
	return !SETTING(filter_comm) || wanted_comm();
}

#endif
