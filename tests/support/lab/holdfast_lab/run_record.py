# SPDX-License-Identifier: Apache-2.0
"""One run of the lab: its id, its lock, and the record of what it made.

A run owns the folder BASE/ID with the files `lock` (held with flock for as long as the run lives)
and `made` (one line per namespace or file outside the folder). Processes are not listed: they carry
the run's id in their environment, so that children of children are found too. A folder whose
lock is free belongs to a run that was killed; `sweep` undoes it. BASE/lock is held while a run is
born or swept, so that no run is swept before it has its lock.
"""

import fcntl
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .environment import outer_uid

ID_VARIABLE = "HOLDFAST_LAB_RUN"
_POLL_SECONDS = 0.01


def base_folder() -> Path:
    """Where the runs of this uid are recorded."""
    name = f"holdfast-lab-{outer_uid()}"
    chosen = Path(os.environ.get("HOLDFAST_LAB_BASE") or Path(_temporary()) / name)
    chosen.mkdir(mode=0o755, parents=True, exist_ok=True)
    if chosen.stat().st_uid != os.getuid():
        raise PermissionError(f"{chosen} belongs to another user: set TMPDIR to a folder of yours")
    return chosen


def _temporary() -> str:
    return os.environ.get("TMPDIR") or "/tmp"


def _open_lock(path: Path):
    # Inheritable by nobody: a child that outlives the run must not hold its lock.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


class RunRecord:
    """A living run. Make it with `begin`; end it with `finish`, whatever happened."""

    def __init__(self, folder: Path, lock: int):
        self.folder = folder
        self.id = folder.name
        self._lock = lock

    @classmethod
    def begin(cls, base: Path | None = None) -> "RunRecord":
        """Sweeps what killed runs left and takes a new id."""
        base = base or base_folder()
        guard = _open_lock(base / "lock")
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            sweep(base)
            folder = base / secrets.token_hex(3)
            folder.mkdir(mode=0o755)
            lock = _open_lock(folder / "lock")
            fcntl.flock(lock, fcntl.LOCK_EX)
        finally:
            os.close(guard)
        return cls(folder, lock)

    def note(self, kind: str, name: str) -> None:
        """Records something that `finish` or a later sweep must remove. Call before making it."""
        with open(self.folder / "made", "a") as made:
            made.write(f"{kind} {name}\n")

    def finish(self) -> None:
        """Removes everything that the run made. Safe to call twice."""
        if self._lock < 0:
            return
        undo(self.folder)
        os.close(self._lock)
        self._lock = -1


def sweep_killed() -> None:
    """Undoes what killed runs of this uid left."""
    base = base_folder()
    guard = _open_lock(base / "lock")
    try:
        fcntl.flock(guard, fcntl.LOCK_EX)
        sweep(base)
    finally:
        os.close(guard)


def sweep(base: Path) -> list[str]:
    """Undoes every run whose lock is free. Requires: the caller holds BASE/lock."""
    swept = []
    for folder in sorted(base.iterdir()):
        if not folder.is_dir():
            continue
        lock = _open_lock(folder / "lock")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            undo(folder)
            swept.append(folder.name)
        except BlockingIOError:
            pass
        finally:
            os.close(lock)
    return swept


def undo(folder: Path) -> None:
    """Ends the processes of a run, then removes its namespaces, its files and its folder."""
    made = _made(folder)
    end_processes(folder.name, [name for kind, name in made if kind == "namespace"])
    for kind, name in made:
        if kind == "namespace":
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        elif kind == "mount":
            subprocess.run(["umount", "-l", name], capture_output=True)
        elif kind == "file":
            Path(name).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _made(folder: Path) -> list[tuple[str, str]]:
    try:
        lines = (folder / "made").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [tuple(line.split(" ", 1)) for line in reversed(lines)]  # type: ignore[misc]


def processes_of(run: str, namespaces: list[str]) -> list[int]:
    """The living processes of a run, without this one and its ancestors.

    They carry the run's id in their environment, or live in one of its named namespaces (nginx
    writes its title over its environment).
    """
    wanted = f"{ID_VARIABLE}={run}".encode()
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path("/proc", entry, "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0"):
            found.add(int(entry))
    for name in namespaces:
        listed = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True)
        found.update(int(pid) for pid in listed.stdout.split())
    return sorted(found - _ancestors())


def _ancestors() -> set[int]:
    result = {os.getpid()}
    pid = os.getpid()
    while pid > 1:
        try:
            stat = Path("/proc", str(pid), "stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
        result.add(pid)
    return result


def end_processes(run: str, namespaces: list[str], patience_seconds: float = 3.0) -> list[int]:
    """SIGKILLs the run's processes until none is left: they are test servers, nothing to save.

    A supervisor may start children again, so one round is not enough. Returns who survived.
    """
    limit = time.monotonic() + patience_seconds
    while True:
        living = processes_of(run, namespaces)
        if not living or time.monotonic() > limit:
            return living
        for pid in living:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(_POLL_SECONDS)
