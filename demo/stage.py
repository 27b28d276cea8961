# SPDX-License-Identifier: Apache-2.0
"""What the story plays on: the lab with its load, and the way to watch one event under load."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from holdfast_lab.backends import MESSAGE_TCP_PORT, MESSAGE_UDP_PORT, Backend
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration, Service
from holdfast_lab.figures import Figures
from holdfast_lab.loads import MessageLoad, NewConnections, Seen, seen_between
from holdfast_lab.message_client import LoadPlan, Target
from holdfast_lab.run_record import RunRecord
from holdfast_lab.topology import NAT_POOL_V4, Topology

VIPS = {"web": "203.0.113.10", "web-dsr": "203.0.113.11"}
MODES = {"web": "nat", "web-dsr": "dsr"}
FIRST_BACKENDS = {"a": 100, "b": 100, "c": 50}
CONNECTIONS_PER_SERVICE = 260
DATAGRAM_FLOWS_PER_SERVICE = 30
_KEPT_LOGS = ("holdfast/holdfast.log", "holdfast/holdfast.yaml", "message-client.log")


@dataclass
class Watched:
    """One event under load: what wrk got, and what the numbered flows saw."""

    start: float
    end: float
    new: dict[str, dict]  # service -> wrk's result
    tcp: Seen
    udp: Seen

    def failed(self) -> int:
        return sum(result["failed"] for result in self.new.values())

    def lost(self, without: str = "") -> int:
        return self._count("lost", without)

    def moved(self, without: str = "") -> int:
        return self._count("moved", without)

    def broken(self, without: str = "") -> int:
        return self._count("broken", without)

    def _count(self, what: str, without: str) -> int:
        return sum(
            count
            for seen in (self.tcp, self.udp)
            for backend, count in getattr(seen, what).items()
            if backend != without
        )


class Stage:
    def __init__(self, run: RunRecord, binaries: Path):
        self.run = run
        self.figures = Figures()
        self.weights = dict(FIRST_BACKENDS)
        self.lab = Topology(run, dsr_vips=(VIPS["web-dsr"],))
        self.backends = {name: Backend(self.lab, name) for name in self.lab.backends}
        self.folder = run.folder / "holdfast"
        self.balancer = Balancer(self.lab, binaries, self.configuration())
        self.messages: MessageLoad | None = None
        self.first_mbufs = 0
        self.steady: Watched | None = None

    def configuration(self) -> Configuration:
        services = tuple(
            Service(name, MODES[name], (vip,), dict(self.weights)) for name, vip in VIPS.items()
        )
        return Configuration(self.folder, f"demo-{self.run.id}", services)

    def set_up(self, with_load: bool = True) -> None:
        print(f"run {self.run.id}: client, fabric, balancer and backends a, b, c, d in namespaces")
        self.lab.build()
        for backend in self.backends.values():
            backend.start()
        for backend in self.backends.values():
            backend.wait_ready()
        self.balancer.start()
        seconds = self.balancer.wait_ready()
        self.first_mbufs = self.balancer.status()["mbufs_available"]
        if with_load:
            self.messages = MessageLoad(self.lab, self._plan())
        print(f"Holdfast forwards after {seconds:.1f} s; nat pool {NAT_POOL_V4}", flush=True)

    def _plan(self) -> LoadPlan:
        targets = [
            Target(
                service, vip, MESSAGE_TCP_PORT, MESSAGE_UDP_PORT,
                CONNECTIONS_PER_SERVICE, DATAGRAM_FLOWS_PER_SERVICE,
            )
            for service, vip in VIPS.items()
        ]  # fmt: skip
        return LoadPlan(targets)

    def watch(self, seconds: int, event: Callable[[], None] | None = None) -> Watched:
        """Runs new connections for `seconds` on both services, the event a second after the start.

        Returns when everything sent meanwhile is answered or lost.
        """
        assert self.messages is not None
        start = time.time()
        new = {name: NewConnections(self.lab, vip, seconds) for name, vip in VIPS.items()}
        if event is not None:
            time.sleep(1.0)
            event()
        results = {name: load.result() for name, load in new.items()}
        end = time.time()
        report = self.messages.settle(end)
        tcp, udp = (seen_between(report, kind, start, end) for kind in ("tcp", "udp"))
        return Watched(start, end, results, tcp, udp)

    def living(self, kind: str) -> dict[str, dict[str, int]]:
        """The living numbered flows: service -> backend -> how many."""
        assert self.messages is not None
        return self.messages.report()[kind]["open"]

    def keep_logs(self) -> None:
        """Copies the logs out of the run's folder when a figure missed, for whoever asks why."""
        if not self.figures.failed():
            return
        kept = self.run.folder.parent / f"{self.run.id}.logs"
        kept.mkdir(exist_ok=True)
        for name in _KEPT_LOGS:
            path = self.run.folder / name
            if path.exists():
                shutil.copy(path, kept / path.name)
        print(f"logs are kept until the next run in {kept}")
