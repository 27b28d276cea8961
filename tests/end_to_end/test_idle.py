# SPDX-License-Identifier: Apache-2.0
"""Idle workers: what their sleep costs a packet, and what it leaves of a core.

    pytest -s tests/end_to_end/test_idle.py

prints for each kind of port the delay of paced UDP echoes through workers that sleep, beside those
of workers that poll; nothing there is judged, since it is the machine's as much as ours.
"""

import json
import time
from pathlib import Path

import pytest

from conftest import NAT, running_lab
from holdfast_lab import echo_delay
from holdfast_lab.backends import MESSAGE_UDP_PORT
from holdfast_lab.balancer import Balancer
from holdfast_lab.configuration import Configuration
from holdfast_lab.loads import MessageLoad
from holdfast_lab.message_client import LoadPlan
from holdfast_lab.owned_ports import TapTopology
from holdfast_lab.topology import Topology
from test_forwarding import target

# Before the naps have grown long, and behind them.
INTERVALS_MS = {"1 ms apart": (400, 1.0), "20 ms apart": (100, 20.0)}


class PacketTopology(Topology):
    """Shared ports, as they are."""

    def ports(self) -> str:
        return ""

    def connect(self) -> None:
        pass


KINDS = {"af_packet": PacketTopology, "tap with twin": TapTopology}


@pytest.fixture(params=KINDS)
def lab(request):
    with running_lab((), KINDS[request.param]) as topology:
        topology.kind = request.param
        yield topology


@pytest.mark.parametrize("workers", (1, 2))
@pytest.mark.parametrize("idle", ("sleep", "poll"))
def test_echoes_through_idle_workers_are_all_answered(lab, binaries, workers, idle):
    name = f"test-{lab.run.id}-{workers}-{idle}"
    configuration = Configuration(
        lab.run.folder / f"holdfast-{name}",
        name,
        (NAT,),
        workers=workers,
        idle=idle,
        ports=lab.ports(),
    )
    balancer = Balancer(lab, binaries, configuration).start()
    try:
        lab.connect()
        balancer.wait_ready()
        # The kernel asks for a neighbour once a second: it did so before the cables were in.
        first = MessageLoad(lab, LoadPlan([target(NAT, 1, 1)]))
        first.wait_answered()
        first.stop()
        for pace, (count, interval) in INTERVALS_MS.items():
            before = worker_cpu(balancer), time.monotonic()
            seen = echo_delays(lab, count, interval)
            used = (worker_cpu(balancer) - before[0]) / (time.monotonic() - before[1])
            print(
                f"\nidle: {lab.kind}, {workers} workers that {idle}, {pace}: "
                f"p50 {seen['p50']:.0f} us, p90 {seen['p90']:.0f} us, p99 {seen['p99']:.0f} us, "
                f"{100 * used:.0f} % of a core"
            )
            assert seen["lost"] == 0
        status = balancer.status()
        assert all(worker["unaccounted"] == 0 for worker in status["workers"])
        assert all(0 <= worker["busy_ratio"] <= 1 for worker in status["workers"])
        woken = sum(worker["counters"]["woken"] for worker in status["workers"])
        assert woken > 0 if idle == "sleep" else woken == 0
    finally:
        balancer.stop()


def echo_delays(lab, count: int, interval_ms: float) -> dict:
    program = str(Path(echo_delay.__file__))
    said = lab.in_namespace(
        "client", "/usr/bin/python3", program, NAT.vips[0], str(MESSAGE_UDP_PORT), str(count),
        str(interval_ms),
    )  # fmt: skip
    return json.loads(said)


def worker_cpu(balancer) -> float:
    """Seconds that the workers' threads have run."""
    nanoseconds = 0
    for task in Path("/proc", str(balancer.pid_of("dataplane")), "task").iterdir():
        if (task / "comm").read_text().startswith("worker-"):
            nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9
