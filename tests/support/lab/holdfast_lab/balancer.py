# SPDX-License-Identifier: Apache-2.0
"""Holdfast itself in the lab: its supervisor in the balancer's namespace, asked over its CLI."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import process, topology
from .configuration import Configuration
from .environment import set_namespace
from .process import Process
from .run_record import ID_VARIABLE, processes_of


@dataclass(frozen=True)
class Answer:
    """What a CLI call returned."""

    status: int
    out: str
    err: str


class Balancer:
    """Requires: `binaries` holds `holdfast` and `holdfast-dataplane`."""

    def __init__(
        self,
        lab: topology.Topology,
        binaries: Path,
        configuration: Configuration,
        role: str = "balancer",
    ):
        self.lab = lab
        self.role = role
        self.binaries = binaries
        self.configuration = configuration
        self.file = configuration.folder / "holdfast.yaml"
        self.log = configuration.folder / "holdfast.log"
        configuration.folder.mkdir(parents=True, exist_ok=True)
        self.write(configuration.text())
        for path in (configuration.shared_memory(), configuration.shared_memory() + ".aside"):
            lab.run.note("file", path)
        self.supervisor: Process | None = None

    def write(self, text: str) -> None:
        """Replaces the configuration file in one step; nothing reads it before a reload."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    def start(self) -> "Balancer":
        # In its folder: where a core goes, when one of them leaves one.
        command = ["env", "-C", str(self.configuration.folder)]
        command += [str(self.binaries / "holdfast"), "run", "--config", str(self.file)]
        command += ["--run-directory", str(self.configuration.folder / "run")]
        self.supervisor = Process(
            self.lab.run, self.lab.namespace(self.role), command, self.log
        )
        return self

    def wait_ready(self, limit_seconds: float = 15.0) -> float:
        """Until every configured member is up and published. Returns the seconds it took."""
        return process.wait_until(self._is_ready, f"Holdfast: see {self.log}", limit_seconds)

    def stop(self) -> int:
        assert self.supervisor is not None
        return self.supervisor.terminate(15.0)

    def cli(self, *arguments: str, limit_seconds: float = 30.0) -> Answer:
        done = subprocess.run(
            self._command(*arguments),
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            env=self._environment(),
            preexec_fn=self._enter,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def start_cli(self, *arguments: str) -> subprocess.Popen:
        """A CLI call that is not waited for."""
        return subprocess.Popen(
            self._command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._environment(),
            preexec_fn=self._enter,
        )

    def status(self) -> dict:
        return self._view("status")

    def services(self) -> dict[str, dict]:
        return {service["name"]: service for service in self._view("services")["services"]}

    def members(self) -> dict[tuple[str, str], dict]:
        """The members by (service, backend)."""
        listed = self._view("backends")["backends"]
        return {(member["service"], member["name"]): member for member in listed}

    def wait_member(self, service: str, backend: str, field: str, value: str) -> float:
        what = f"{service}/{backend} to have {field} {value}"
        return process.wait_until(
            lambda: self.members().get((service, backend), {}).get(field) == value, what
        )

    def reload_by_signal(self, limit_seconds: float = 10.0) -> dict:
        """SIGHUP to control; waits for the result. Returns the status after it."""
        before = self.status()
        os.kill(self.pid_of("control"), signal.SIGHUP)
        latest = before

        def done() -> bool:
            nonlocal latest
            latest = self.status()
            return _reloads(latest) != _reloads(before)

        process.wait_until(done, "the reload to be applied or refused", limit_seconds)
        return latest

    def pid_of(self, what: str) -> int:
        """The process id of `control` or `dataplane`; 0 when it does not run."""
        wanted = {"control": ["holdfast", "control"], "dataplane": ["holdfast-dataplane"]}[what]
        for pid in processes_of(self.lab.run.id, [self.lab.namespace(self.role)]):
            try:
                words = Path("/proc", str(pid), "cmdline").read_text().split("\0")
            except OSError:
                continue
            ours = any(str(self.configuration.folder) in word for word in words)
            if ours and [Path(words[0]).name, *words[1 : len(wanted)]] == wanted:
                return pid
        return 0

    def _is_ready(self) -> bool:
        assert self.supervisor is not None
        if not self.supervisor.is_running():
            raise RuntimeError(f"Holdfast ended: {self.supervisor.said()}")
        try:
            if not self.status()["generation"]:
                return False
            return all(member["disposition"] == "new" for member in self.members().values())
        except (RuntimeError, KeyError, ValueError):
            return False

    def _view(self, name: str) -> dict:
        answer = self.cli(name, "-o", "json")
        if answer.status != 0:
            raise RuntimeError(f"holdfast {name}: {answer.err or answer.out}")
        return json.loads(answer.out)

    def _command(self, *arguments: str) -> list[str]:
        verb, *rest = arguments
        where = ["--socket", str(self.configuration.folder / "control.sock")]
        return [str(self.binaries / "holdfast"), verb, *where, *rest]

    def _environment(self) -> dict[str, str]:
        return {**os.environ, ID_VARIABLE: self.lab.run.id}

    def _enter(self) -> None:
        set_namespace(process.namespace_path(self.lab.namespace(self.role)))


def _reloads(status: dict) -> tuple:
    return (status["reloads_applied"], status["reloads_refused"], status["last_reload"]["result"])
