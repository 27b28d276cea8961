# SPDX-License-Identifier: Apache-2.0
"""Long-running processes inside a lab's namespaces, each in a process group, each with a log."""

import os
import resource
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Callable, Mapping

from .environment import set_namespace
from .run_record import ID_VARIABLE, RunRecord

_POLL_SECONDS = 0.005


def namespace_path(name: str) -> str:
    return f"/run/netns/{name}"


def set_sysctls(namespace: str, knobs: Mapping[str, str]) -> None:
    """Writes below /proc/sys as seen from a namespace. Requires: no other thread runs."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        set_namespace(namespace_path(namespace))
        for knob, value in knobs.items():
            path = Path("/proc/sys", knob)
            if path.exists():
                path.write_text(value + "\n")
    finally:
        set_namespace(f"/proc/self/fd/{home}")
        os.close(home)


def output_of(namespace: str, *command: str, limit_seconds: float = 30.0) -> str:
    """Runs a short command inside a namespace and returns what it printed."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=limit_seconds,
        preexec_fn=lambda: set_namespace(namespace_path(namespace)),
    )
    if done.returncode != 0:
        raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _prepare(namespace: str) -> None:
    set_namespace(namespace_path(namespace))
    # Packet rings are locked memory; without the privilege the dataplane takes smaller ones.
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY,) * 2)
    except (OSError, ValueError):
        pass


class Process:
    """A started program. `group` joins an existing process group instead of making a new one."""

    def __init__(
        self,
        run: RunRecord,
        namespace: str,
        command: list[str],
        log: Path,
        group: int = 0,
        pipes: bool = False,
    ):
        self.log = log
        self.command = command
        with open(log, "ab") as output:
            self.popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE if pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipes else output,
                stderr=output,
                env={**os.environ, ID_VARIABLE: run.id},
                process_group=group,
                preexec_fn=lambda: _prepare(namespace),
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def is_running(self) -> bool:
        return self.popen.poll() is None

    def terminate(self, patience_seconds: float = 5.0) -> int:
        """SIGTERM to this process only; SIGKILL after the patience. Returns its exit status."""
        if self.is_running():
            self.popen.terminate()
            try:
                self.popen.wait(patience_seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
        return self.popen.wait()

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def kill_whole(pid: int, limit_seconds: float = 10.0) -> None:
    """SIGKILLs a process that is nobody's child here, and waits until its last thread is gone:
    only then are its sockets and locks free."""
    process = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
        if not select.select([process], [], [], limit_seconds)[0]:
            raise TimeoutError(f"process {pid} does not end")
    finally:
        os.close(process)


def kill_group(leader: Process) -> None:
    """SIGKILLs a whole process group, and collects its leader."""
    try:
        os.killpg(leader.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    leader.popen.wait()


def wait_until(
    condition: Callable[[], object], what: str, limit_seconds: float = 10.0
) -> float:
    """Polls until `condition()` is true. Returns the seconds it took; raises TimeoutError."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > limit_seconds:
            raise TimeoutError(f"waited {limit_seconds:g} s in vain for {what}")
        time.sleep(_POLL_SECONDS)
    return time.monotonic() - start


def wait_for_a_signal() -> None:
    """Returns once a signal that Python handles has come, or raises what its handler raises.

    Unlike signal.pause() it misses none that comes just before it waits."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    try:
        os.read(read, 1)
    finally:
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)


def now() -> float:
    """CLOCK_REALTIME in seconds, as the dataplane stamps new flows."""
    return time.time()
