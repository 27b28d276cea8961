# SPDX-License-Identifier: Apache-2.0
"""Stops one thread of another process, and no other, until that process or this one ends.

    thread_stopper.py PID NAME      NAME: how the thread's name begins

Says "stopped" on stdout. A hang that SIGSTOP cannot make: it stops all threads. Source: ptrace(2).
"""

import ctypes
import os
import sys
from pathlib import Path

_SEIZE, _INTERRUPT = 0x4206, 0x4207
_ALL_THREADS = 0x40000000  # __WALL


def find_thread(pid: str, name: str) -> int:
    for task in Path("/proc", pid, "task").iterdir():
        if (task / "comm").read_text().startswith(name):
            return int(task.name)
    raise LookupError(f"process {pid} has no thread {name}")


def stop(tid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    for request in (_SEIZE, _INTERRUPT):
        if libc.ptrace(request, tid, None, None) != 0:
            raise OSError(ctypes.get_errno(), f"ptrace({request:#x}) of thread {tid}")


def main() -> None:
    tid = find_thread(sys.argv[1], sys.argv[2])
    stop(tid)
    print("stopped", flush=True)
    while True:  # whoever traces a thread has to take its end, too
        _, status = os.waitpid(tid, _ALL_THREADS)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return


if __name__ == "__main__":
    main()
