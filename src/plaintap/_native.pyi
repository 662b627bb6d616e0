# SPDX-License-Identifier: Apache-2.0
"""The native extension: opens and loads BPF objects, makes links, drains rings. Policy is Python's.

Every failing call raises `NativeError(errno, operation, log)`, an OSError whose `log` holds the
verifier's or libbpf's text (may be empty). File descriptors are plain ints owned by the caller.
"""

from collections.abc import Sequence

from plaintap.events import Record

class NativeError(OSError):
    operation: str
    log: str

class Object:
    """A BPF object: opened from bytes, configured, then loaded."""

    def __init__(self, image: bytes, name: str) -> None: ...
    def set_max_entries(self, map_name: str, entries: int) -> None: ...
    def set_initial(self, map_name: str, value: bytes) -> None:
        """The first bytes of a global-data map such as `.rodata.config`, before `load`."""
    def set_autoload(self, program: str, on: bool) -> None: ...
    def set_attach_type(self, program: str, attach_type: int) -> None:
        """`enum bpf_attach_type`, e.g. 48 for uprobe_multi, before `load`."""
    def reuse_map(self, name: str, map_fd: int) -> None:
        """Another object's map in the place of this one's, before `load`."""
    def load(self) -> None: ...
    def map_fd(self, name: str) -> int: ...
    def program_fd(self, name: str) -> int: ...
    def close(self) -> None: ...

def empty_program(attach_type: int) -> int:
    """A loaded kprobe program that does nothing, for finding out what can be linked; to be closed."""

def has_program_type(program_type: int) -> bool:
    """`enum bpf_prog_type`: whether the kernel takes programs of the type; loads a tiny one."""

def link_uprobe_multi(
    program_fd: int,
    path: str,
    offsets: Sequence[int],
    cookies: Sequence[int],
    *,
    returns: bool = False,
    pid: int = 0,
) -> int:
    """One link for all offsets (file offsets) of one file; kernels >= 6.6; `pid` 0 is every process."""

def link_uprobe_perf(program_fd: int, path: str, offset: int, cookie: int, *, returns: bool = False) -> tuple[int, int]:
    """A perf event and its BPF link, both to be closed; kernels >= 5.15 for the cookie."""

def link_kprobe(program_fd: int, function: str, *, returns: bool = False) -> tuple[int, int]:
    """A perf event and its BPF link at a kernel function, both to be closed; EOPNOTSUPP without kprobes."""

def link_at(program_fd: int, target: int, attach_type: int, flags: int) -> int:
    """At an interface (by index) or a cgroup (by descriptor), `enum bpf_attach_type`; tcx with kernels >= 6.6."""

def link_raw_tracepoint(program_fd: int, name: str) -> int: ...
def link_tracing(program_fd: int) -> int:
    """Links an fentry or fexit program to the function its section names."""

def load_packet_program(instructions: bytes) -> int:
    """A tc program made of `struct bpf_insn`, to be closed."""

def run_packet_program(program_fd: int, packet: bytes) -> int:
    """What the program returns for an Ethernet packet of at least 14 bytes."""

def map_update(fd: int, key: bytes, value: bytes) -> None: ...
def map_delete(fd: int, key: bytes) -> bool:
    """False when there was no such key."""

def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """For per-CPU maps `value_size` is that of all possible CPUs together (8-byte rounded each).

    Here and in the other map calls ValueError says that a size is not the map's.
    """

def map_keys(fd: int, key_size: int) -> list[bytes]: ...
def possible_cpus() -> int: ...
def program_missed(program_fd: int) -> int:
    """`recursion_misses` of bpf_prog_info: runs the kernel skipped."""

def keep_freed_memory(size_bytes: int) -> None:
    """mallopt(3): up to so much is not given back to the system but used again."""

class Ring:
    """The consumer of one BPF ring buffer; not thread-safe."""

    def __init__(self, map_fd: int, size: int) -> None: ...
    def drain(self, max_bytes: int, timeout_ms: int, record_fd: int = -1, data: bool = True) -> list[Record]:
        """Waits until something is there or the timeout, then returns at most about `max_bytes` of it.

        With `record_fd` every record is written there as well; a failing write raises NativeError
        with operation "record" after consuming nothing. Without `data` only facts are returned.
        """
    def pending(self) -> int:
        """Bytes in the ring that were not consumed."""
    def payload_bytes(self) -> int:
        """Plaintext bytes in all records drained so far, shown or only recorded."""
    def fileno(self) -> int: ...
    def close(self) -> None: ...

class PacketRing:
    """The consumer of the ring of packets: it writes them into a pcapng file. Not thread-safe."""

    def __init__(self, map_fd: int, size: int, flows_fd: int) -> None: ...
    def set_interface(self, ifindex: int, number: int, both_ways: bool, ethernet: bool) -> None:
        """Its number in the file; of those with `both_ways` no direction is told. `ethernet`: that is its link header.

        Packets have that or none.
        """
    def write(
        self,
        fd: int,
        until_ns: int,
        clock_offset_ns: int,
        most_waiting: int,
        max_bytes: int,
        only_wanted: bool,
        packet_id: int,
    ) -> tuple[int, int, int, int]:
        """Writes packets until one that should wait: for secrets, for its owner to be known.

        That is one of a handshake, or of a connection that nobody has accepted yet. It waits until it is older than
        `until_ns`, or more than `most_waiting` bytes are there, and all behind it wait with it.

        Bytes written, packets taken from the ring, packets left out, and an error number or 0. Left out are, of those
        that were not certain when they were captured, with `only_wanted`, those nobody wanted. It ends behind the
        packet that reaches `max_bytes`. With a `fd` of -1 they are only taken. When writing fails a regular file is
        cut behind its last whole block, and what was to be written is gone.
        """
    def wait(self, timeout_ms: int) -> None:
        """Until it is woken, which is when the ring has filled to its mark, or the timeout."""
    def waiting_bytes(self) -> int:
        """Bytes in the ring."""
    def close(self) -> None: ...

class Decoder:
    """The same decoding for recordings: keeps the table that suppresses repeated identities."""

    def __init__(self) -> None: ...
    def decode(self, data: bytes | bytearray | memoryview, max_bytes: int = ...) -> tuple[list[Record], int]:
        """Records in `data` and how many bytes they took; the rest is a record not yet whole.

        It ends before damage too; ValueError when `data` begins with bytes that are no record.
        """

class MapWatch:
    """Executable file mappings of the whole host as they happen (perf MMAP2, one event per CPU)."""

    def __init__(self) -> None: ...
    def wait(self, timeout_ms: int) -> tuple[list[tuple[int, int, int, int, int, str]], int]:
        """New mappings `(pid, major, minor, inode, generation, path)` and how many records were lost.

        A file is told once, or again when others pushed it out of a table of 8192; `forget` makes
        it new at once.
        """
    def wake(self) -> None:
        """Ends every `wait` from now on, from any thread."""
    def forget(self, major: int, minor: int, inode: int, generation: int) -> None: ...
    def close(self) -> None: ...
