# SPDX-License-Identifier: Apache-2.0
"""Routing daemons of the lab: BIRD beside a balancer, and as the fabric's own, which spreads flows."""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from . import process, topology
from .process import Process

_ROUTER = """\
router id 203.0.113.1;
protocol device {{ }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; merge paths on limit 8; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; merge paths on limit 8; }}
protocol bfd {{
  interface "*" {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }};
}}
{peers}
"""
_PEER = """\
protocol bgp node{number}v{family} {{
  local as 65000;
  neighbor {address} as {number_of_as};
  passive on;
  bfd on;
  hold time 9;
  error wait time 1, 2;
  ipv{family} {{ import all; export none; }};
}}
"""
# Of each node: its addresses on the wan, and its AS.
NODES = ((topology.BALANCER_WAN_V4, "2001:db8::2", 65001), ("203.0.113.3", "2001:db8::3", 65002))


class Bird:
    """A BIRD in a namespace, with a configuration of its own."""

    def __init__(self, lab: topology.Topology, role: str, text: str):
        folder = lab.run.folder / f"bird-{role}-{len(list(lab.run.folder.iterdir()))}"
        folder.mkdir()
        file = folder / "bird.conf"
        file.write_text(text)
        self._lab = lab
        self._role = role
        self.control = folder / "bird.ctl"
        program = shutil.which("bird", path="/usr/sbin:/usr/bin:/sbin:/bin")
        assert program, "BIRD is not installed"
        command = [program, "-f", "-c", str(file), "-s", str(self.control), "-P", str(folder / "pid")]
        self.process = Process(lab.run, lab.namespace(role), command, folder / "log")

    def ask(self, *words: str) -> str:
        return self._lab.in_namespace(self._role, "birdc", "-s", str(self.control), *words)

    def stop(self) -> None:
        self.process.terminate()


def calm(text: str) -> str:
    """The same with BFD that waits for a second: where others build, a daemon that is not run for
    the examples' 150 ms is no dead one."""
    return text.replace("multiplier 3;", "multiplier 20;").replace("bfd 3 50 50", "bfd 20 50 50")


def fabric_router(lab: topology.Topology, nodes: int = 1, tuned=calm) -> Bird:
    """The fabric's BIRD, which takes the routes of so many nodes."""
    peers = ""
    for number, (v4, v6, number_of_as) in enumerate(NODES[:nodes]):
        for family, address in ((4, v4), (6, v6)):
            peers += _PEER.format(
                number=number, family=family, address=address, number_of_as=number_of_as
            )
    return Bird(lab, "fabric", tuned(_ROUTER.format(peers=peers)))


def example(name: str, root: Path, tuned=calm) -> str:
    """A file of examples/, as it stands there but for what `tuned` does: the lab has its addresses."""
    return tuned((root / "examples" / name).read_text())


def wait_route(lab: topology.Topology, prefix: str, there: bool, limit_seconds: float = 15) -> float:
    """Until the fabric has a route to the prefix, or none. Returns the seconds it took."""
    family = "-6" if ":" in prefix else "-4"

    def has() -> bool:
        return bool(lab.in_namespace("fabric", "ip", family, "route", "list", "exact", prefix))

    return process.wait_until(
        lambda: has() == there, f"{prefix} {'in' if there else 'out of'} the fabric", limit_seconds
    )


class Frr:
    """FRR's zebra, bfdd and bgpd in a namespace, with one configuration for all."""

    def __init__(self, lab: topology.Topology, role: str, text: str):
        self.folder = lab.run.folder / f"frr-{role}-{len(list(lab.run.folder.iterdir()))}"
        self.folder.mkdir(mode=0o755)
        # bgpd's file has all of it: it tells bfdd of its neighbours, and zebra what it wants to hear.
        (self.folder / "bgpd.conf").write_text(text)
        for name in ("zebra", "bfdd"):
            (self.folder / f"{name}.conf").write_text("")
        shutil.chown(self.folder, "frr", "frr")
        self._daemons = []
        for name, more in (
            ("zebra", []),
            ("bfdd", ["--bfdctl", str(self.folder / "bfdd.ctl")]),
            ("bgpd", []),
        ):
            command = [f"/usr/lib/frr/{name}", "-u", "frr", "-g", "frr", *more]
            command += ["-f", str(self.folder / f"{name}.conf"), "-i", str(self.folder / f"{name}.pid")]
            command += ["-z", str(self.folder / "zebra.api"), "--vty_socket", str(self.folder)]
            log = self.folder / f"{name}.log"
            self._daemons.append(Process(lab.run, lab.namespace(role), command, log))
            # The others ask zebra at their start.
            process.wait_until((self.folder / f"{name}.vty").exists, f"{name}: see {log}")

    def stop(self) -> None:
        for daemon in reversed(self._daemons):
            daemon.terminate()


@contextlib.contextmanager
def announcing(
    lab: topology.Topology, daemon: Callable[[], Bird | Frr], vips: Iterable[str]
) -> Iterator[Bird | Frr]:
    """The fabric's router and a node's `daemon`, from when the router has routes to the VIPs."""
    router = fabric_router(lab)
    try:
        ours = daemon()
        try:
            for vip in vips:
                wait_route(lab, vip, there=True, limit_seconds=30)
            yield ours
        finally:
            ours.stop()
    finally:
        router.stop()
