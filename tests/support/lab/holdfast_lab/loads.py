# SPDX-License-Identifier: Apache-2.0
"""The clients of the lab: long-lived numbered flows and new connections, and what they saw."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from . import topology
from .message_client import ANSWER_LIMIT_SECONDS, LoadPlan
from .process import Process, wait_until


@dataclass
class Seen:
    """What the numbered flows of one kind saw between two moments."""

    answered: int
    moved: dict[str, int]  # by the backend that had the flow
    broken: dict[str, int]
    lost: dict[str, int]
    slowest_s: float

    def of_others(self, events: dict[str, int], backend: str = "") -> int:
        """The events of flows that did not belong to this backend."""
        return sum(count for name, count in events.items() if name != backend)


class MessageLoad:
    """The long-lived load, running in the client's namespace."""

    def __init__(self, lab: topology.Topology, plan: LoadPlan):
        client = Path(__file__).with_name("message_client.py")
        self._last: dict = {}
        self._process = Process(
            lab.run,
            lab.namespace("client"),
            ["/usr/bin/python3", str(client), json.dumps(asdict(plan))],
            lab.run.folder / "message-client.log",
            pipes=True,
        )

    def report(self) -> dict:
        return self._ask("report")

    def wait_answered(self, limit_seconds: float = 10.0) -> float:
        """Waits until a backend has answered on every flow. Returns the seconds it took."""
        return wait_until(lambda: self.report()["unanswered_flows"] == 0, "answers", limit_seconds)

    def close(self, service: str, backend: str) -> int:
        """Ends a member's flows in order. Returns how many."""
        return self._ask(f"close {service} {backend}")["closed"]

    def stop(self) -> dict:
        """Stops sending, waits for what is on its way, returns the last report."""
        self._last = self._ask("stop")
        self._process.popen.wait(5)
        return self._last

    def end(self) -> None:
        """Ends the clients without asking what they saw, if they still run."""
        self._process.terminate()

    def settle(self, until: float) -> dict:
        """Waits until every message sent before `until` is answered or lost; then reports."""
        time.sleep(max(0.0, until + ANSWER_LIMIT_SECONDS + 0.5 - time.time()))
        return self.report()

    def _ask(self, command: str) -> dict:
        pipe = self._process.popen
        assert pipe.stdin is not None and pipe.stdout is not None
        pipe.stdin.write(command.encode() + b"\n")
        pipe.stdin.flush()
        answer = pipe.stdout.readline()
        if not answer:
            raise RuntimeError(f"the message client ended: {self._process.said()}")
        return json.loads(answer)


def seen_between(report: dict, kind: str, start: float, end: float) -> Seen:
    """Picks out of a later report what happened in [start, end). `kind`: tcp or udp."""
    totals = report[kind]

    def count(name: str, weight: int | None) -> dict[str, int]:
        result: dict[str, int] = {}
        for event in totals[name]:
            if start <= event[0] < end:
                amount = 1 if weight is None else event[weight]
                result[event[2]] = result.get(event[2], 0) + amount
        return result

    slow = [delay for when, delay in totals["slow"] if start <= when < end]
    lost = count("lost", 3)
    for backend, messages in count("broken", 3).items():
        lost[backend] = lost.get(backend, 0) + messages
    return Seen(
        answered=totals["answered"],
        moved=count("moved", None),
        broken=count("broken", None),
        lost={backend: messages for backend, messages in lost.items() if messages},
        slowest_s=max(slow, default=0.0),
    )


def outage_ms(report: dict, since: float) -> float:
    """From a moment to the sending of the last datagram after it that found no answer."""
    lost = [sent_at for sent_at, *_ in report["udp"]["lost"] if sent_at >= since]
    return 1e3 * (max(lost, default=since) - since)


def loss_window_ms(report: dict, since: float = 0.0) -> float:
    """From the first datagram, sent since then, that found no answer to the last one."""
    lost = [sent_at for sent_at, *_ in report["udp"]["lost"] if sent_at >= since]
    return 1e3 * (max(lost, default=0.0) - min(lost, default=0.0))


class NewConnections:
    """wrk: every request on a new connection, paced, for a fixed time."""

    def __init__(
        self,
        lab: topology.Topology,
        address: str,
        seconds: int,
        connections: int = 16,
        pace_ms: int = 20,
    ):
        host = f"[{address}]" if ":" in address else address
        self.started = time.time()
        self.seconds = seconds
        self._process = Process(
            lab.run,
            lab.namespace("client"),
            [
                "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-H", "Connection: close",
                "-s", str(Path(__file__).with_name("wrk_report.lua")), f"http://{host}/",
                "--", str(pace_ms),
            ],
            lab.run.folder / "wrk.log",
            pipes=True,
        )  # fmt: skip

    def result(self) -> dict:
        """Waits for the end. See wrk_report.lua; `failed` is the sum of the errors."""
        output, _ = self._process.popen.communicate(timeout=self.seconds + 15)
        for line in output.decode().splitlines():
            if line.startswith("{"):
                answer = json.loads(line)
                answer["failed"] = sum(answer["errors"].values())
                return answer
        raise RuntimeError(f"wrk said no result: {output.decode()} {self._process.said()}")


class SynWatch:
    """Connection attempts that reach a backend's interface, by destination address."""

    def __init__(self, lab: topology.Topology, backend: str):
        watcher = Path(__file__).with_name("syn_watch.py")
        self._process = Process(
            lab.run,
            lab.backend(backend),
            ["/usr/bin/python3", str(watcher), "eth0", topology.BALANCER_LAN_V4],
            lab.run.folder / "syn-watch.log",
            pipes=True,
        )
        assert self._process.popen.stdout is not None
        self._process.popen.stdout.readline()

    def result(self) -> dict[str, list]:
        """Ends the watch. Destination -> [SYNs, time of the last one]."""
        output, _ = self._process.popen.communicate(timeout=5)
        return json.loads(output)
