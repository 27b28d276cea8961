# SPDX-License-Identifier: Apache-2.0
"""What becomes of a namespace's routes, and when: `ip monitor route`, with the times of its events."""

import re
from dataclasses import dataclass
from datetime import datetime

from . import process, topology
from .process import Process

_LINE = re.compile(r"\[([^\]]+)\] (Deleted )?(\S+) ")


@dataclass(frozen=True)
class RouteEvent:
    time: float  # CLOCK_REALTIME
    prefix: str
    gone: bool
    text: str


class RouteWatch:
    """Watches from its making on. Of a single address the prefix is without length."""

    def __init__(self, lab: topology.Topology, role: str):
        self._log = lab.run.folder / f"routes-{role}-{len(list(lab.run.folder.iterdir()))}.log"
        self._lab = lab
        self._role = role
        self._process = Process(
            lab.run, lab.namespace(role), ["ip", "-ts", "monitor", "route"], self._log
        )
        # It says nothing of itself; a route that is made and removed shows that it listens.
        mark = "192.0.2.255"

        def listens() -> bool:
            lab.in_namespace(role, "ip", "route", "add", "blackhole", mark)
            lab.in_namespace(role, "ip", "route", "del", "blackhole", mark)
            return any(mark in event.text for event in self.events())

        process.wait_until(listens, "ip monitor")

    def events(self) -> list[RouteEvent]:
        found = []
        for line in self._log.read_text().splitlines():
            match = _LINE.match(line.replace("blackhole ", ""))
            if match:
                when = datetime.fromisoformat(match[1]).timestamp()
                found.append(RouteEvent(when, match[3], match[2] is not None, line))
        return found

    def wait_for(self, prefix: str, gone: bool, since: float, limit_seconds: float = 10.0) -> float:
        """The time at which the route came or went, the first one after `since`."""

        def after() -> list[RouteEvent]:
            return [
                event
                for event in self.events()
                if event.prefix == prefix and event.gone == gone and event.time >= since
            ]

        what = f"the route to {prefix} to {'go' if gone else 'come'}"
        process.wait_until(after, what, limit_seconds)
        return after()[0].time

    def stop(self) -> None:
        self._process.terminate()


def routes_of(lab: topology.Topology, role: str, *selection: str) -> str:
    """The routes of both families, as `ip route list` tells them."""
    four = lab.in_namespace(role, "ip", "route", "list", *selection)
    return four + lab.in_namespace(role, "ip", "-6", "route", "list", *selection)
