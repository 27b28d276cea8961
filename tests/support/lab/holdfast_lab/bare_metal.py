# SPDX-License-Identifier: Apache-2.0
"""The lab with the balancer in a machine of its own (guest.py), on network cards that DPDK drives.

BIRD's `check link`, by which a pulled cable ends a session at once, is off: the session is to see
whether the twin loses anything.

The guest's cards are taps on the fabric's bridges, so clients and backends are those of every lab.
A router, BIRD in the fabric, has a BGP session with BIRD in the guest, over the twin.
"""

import json
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from . import process
from .configuration import Configuration
from .guest import CARDS, Card, Guest, build_image, executable
from .owned_ports import TWINS
from .process import Process
from .topology import BALANCER_PORTS, BALANCER_WAN_V4, Topology

_FOLDER = Path("/run/holdfast")
_ROUTER = "203.0.113.1"
_ROUTER_AS = 65000
_BALANCER_AS = 65001

_BIRD = """\
log stderr all;
debug protocols {{ states }};
router id {own};
protocol device {{ }}
protocol bgp peer {{
  local {own} as {own_as};
  neighbor {peer} as {peer_as};
  {passive}connect delay time 1;
  connect retry time 1;
  error wait time 1, 2;
  hold time 9;
  keepalive time 3;
  check link no;
  ipv4 {{ import all; export none; }};
}}
"""


def _bird(own: str, own_as: int, peer: str, peer_as: int, passive: str = "") -> str:
    return _BIRD.format(own=own, own_as=own_as, peer=peer, peer_as=peer_as, passive=passive)


@dataclass
class BareMetalTopology(Topology):
    def _make_balancer(self) -> None:
        for port in BALANCER_PORTS:
            for tap, options in ((f"to-{port.name}", ""), (f"mq-{port.name}", "multi_queue")):
                self._batch(
                    "fabric",
                    [
                        f"tuntap add dev {tap} mode tap {options}",
                        # A guest that shares the host's cores may not run for some ms.
                        f"link set {tap} txqueuelen 20000",
                        f"link set {tap} master {port.bridge} up",
                    ],
                )

    def taps_of(self, card: Card) -> list[str]:
        """Of the two taps for each card the one with as many queues: the other has no carrier."""
        kind = "mq" if card.queues > 1 else "to"
        return [f"{kind}-{port.name}" for port in BALANCER_PORTS]


def configuration_of(services, workers: int) -> Configuration:
    ports = "".join(
        f'  {TWINS[port.name]}: {{device: pci, address: "{address}"}}\n'
        for port, address in zip(BALANCER_PORTS, CARDS, strict=True)
    )
    return Configuration(
        _FOLDER,
        "guest",
        services,
        workers=workers,
        flows="64k",
        huge_pages=True,
        check=("500ms", "450ms"),
        state_file="/dev/hugepages/holdfast",
        ports=ports,
    )


def make_image(folder: Path, binaries: Path, card: Card, services) -> Path:
    addresses = []
    for port in BALANCER_PORTS:
        twin = TWINS[port.name]
        addresses += [
            f"ip addr add {port.v4} dev {twin}",
            f"ip -6 addr add {port.v6} dev {twin}",
        ]
    addresses += ["ip route add default via 203.0.113.1", "ip -6 route add default via 2001:db8::1"]
    programs = [binaries / "holdfast", binaries / "holdfast-dataplane"]
    programs += [executable("bird"), executable("birdc")]
    return build_image(
        folder,
        programs,
        {
            "etc/cards": f"DRIVER={card.driver}\nCARDS='{' '.join(CARDS)}'\n",
            "etc/addresses": "\n".join(addresses) + "\n",
            "etc/holdfast.yaml": configuration_of(services, card.queues).text(),
            "etc/bird.conf": _bird(BALANCER_WAN_V4, _BALANCER_AS, _ROUTER, _ROUTER_AS),
        },
    )


@dataclass
class GuestBalancer:
    """Holdfast in the guest, asked through its shell."""

    lab: BareMetalTopology
    guest: Guest
    reloads: int = field(default=0, init=False)

    def start(self) -> None:
        self.guest.run("cp /etc/holdfast.yaml /run/")
        self.guest.run(
            "holdfast run --config /run/holdfast.yaml --run-directory /run/holdfast/run"
            " >/run/holdfast.log 2>&1 & true"
        )
        twins = " -a ".join(f"-e /sys/class/net/{twin}" for twin in TWINS.values())
        process.wait_until(
            lambda: self.guest.run(f"[ {twins} ] && echo there || true"), "the twins", 30.0
        )
        self.guest.run("sh -e /etc/addresses")

    def log(self) -> str:
        return self.guest.run("cat /run/holdfast.log")

    def wait_ready(self, limit_seconds: float = 60.0) -> float:
        try:
            return process.wait_until(self._is_ready, "Holdfast in the guest", limit_seconds)
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.log()}") from error

    def status(self) -> dict:
        return self._view("status")

    def spread(self) -> dict[str, str]:
        """How each port spreads what it receives, as the log says at the start."""
        return dict(re.findall(r'event=port.rss detail="port=(\S+) ([^"]*)"', self.log()))

    def counters(self) -> dict[str, int]:
        """Of the workers together, by their names behind holdfast_worker_."""
        said = self.guest.run(
            f"wget -qO- http://127.0.0.1:$(cat {_FOLDER}/control/metrics.port)/metrics"
        )
        sums: dict[str, int] = {}
        for name, value in re.findall(r"^holdfast_worker_(\w+)_total{[^}]*} (\d+)", said, re.M):
            sums[name] = sums.get(name, 0) + int(value)
        return sums

    def view_ports(self) -> dict[str, dict]:
        return {port["name"]: port for port in self.status()["ports"]}

    def link_seen(self, twin: str) -> tuple[int, int]:
        """The twin's carrier in the kernel there, and how often the log tells of its link."""
        said = self.guest.run(
            f"cat /sys/class/net/{twin}/carrier;"
            f""" grep -c 'event=link.* detail="{twin}"' /run/holdfast.log"""
        )
        carrier, times = said.split()
        return int(carrier), int(times)

    def reload(self, old: str, new: str) -> None:
        """Changes the file and sends SIGHUP to control; waits for the result."""
        self.guest.run(
            f"sed -i 's/{old}/{new}/' /run/holdfast.yaml;"
            " ps -o pid,args | grep '[h]oldfast control' | { read -r pid rest; kill -HUP $pid; }"
        )
        self.reloads += 1
        applied = 1 + self.reloads
        process.wait_until(
            lambda: self.status()["reloads_applied"] >= applied, "the reload in the guest", 30.0
        )

    def start_bird(self) -> None:
        self.guest.run("bird -c /etc/bird.conf -s /run/bird.ctl -f 2>/run/bird.log & true")

    def _is_ready(self) -> bool:
        try:
            members = self._view("backends")["backends"]
        except (RuntimeError, ValueError):
            return False
        return bool(members) and all(member["disposition"] == "new" for member in members)

    def _view(self, name: str) -> dict:
        socket = f"--socket {_FOLDER}/control.sock"
        return json.loads(self.guest.run(f"holdfast {name} {socket} -o json"))


class Router:
    """BIRD in the fabric."""

    def __init__(self, lab: BareMetalTopology):
        folder = lab.run.folder
        file = folder / "router.conf"
        file.write_text(_bird(_ROUTER, _ROUTER_AS, BALANCER_WAN_V4, _BALANCER_AS, "passive on;\n  "))
        self._control = folder / "router.ctl"
        self._process = Process(
            lab.run,
            lab.namespace("fabric"),
            [str(executable("bird")), "-f", "-c", str(file), "-s", str(self._control)],
            folder / f"router-{time.monotonic_ns()}.log",
        )

    def states(self) -> list[str]:
        """Those that the session has gone through."""
        return re.findall(r"peer: State changed to (\w+)", self.said())

    def is_established(self) -> bool:
        return self.states()[-1:] == ["up"]

    def said(self) -> str:
        return self._process.said()

    def stop(self) -> None:
        self._process.terminate()
