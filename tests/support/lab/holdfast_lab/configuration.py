# SPDX-License-Identifier: Apache-2.0
"""Holdfast's configuration for a lab, as text: everything in the run's own folders."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from . import topology
from .backends import HTTP_PORT, MESSAGE_TCP_PORT, MESSAGE_UDP_PORT

_TEXT = """\
version: 1
dataplane:
  workers: {workers}
  flows: {flows}
  huge_pages: {huge_pages}
  idle: {idle}
  socket: "{folder}/dataplane.sock"
  directory: "{folder}/dataplane"
  state_file: "{state_file}"
  instance: "{instance}"
{hash_key}ports:
{ports}nat: {{pool: [{pool_v4}, "{pool_v6}"]}}
{more}checks:
  web:
    type: http
    port: {http}
    path: /healthz
    interval: {interval}
    timeout: {timeout}
    fall: 2
    rise: 3
    expect: {{status: [200-299]}}
control:
  socket: "{folder}/control.sock"
  directory: "{folder}/control"
  metrics: "127.0.0.1:0"
services:
"""

_SERVICE = """\
  - name: {name}
    vips: [{vips}]
    ports: [{ports}]
    mode: {mode}
    balance: {{type: maglev, slots: {slots}}}
    check: web
    drain: {{deadline: {drain_deadline}, then: reset}}
    timeouts: {{closing: 2s, udp: 5s}}
    announce: {{healthy: {healthy}}}
    backends:
"""


@dataclass(frozen=True)
class Service:
    """One service over the lab's backends; `weights` in order of preference of the file."""

    name: str
    mode: str
    vips: tuple[str, ...]
    weights: dict[str, int]
    ports: tuple[str, ...] = (
        f"tcp/{HTTP_PORT}",
        f"tcp/{MESSAGE_TCP_PORT}",
        f"udp/{MESSAGE_UDP_PORT}",
    )
    slots: int = 65537
    drain_deadline: str = "60s"
    tunnel: str = ""  # keys of the service's `tunnel`
    outer: int = 0  # family of the backends behind a tunnel; 0: as the VIPs
    mtu: int = 0  # of the way to each backend; 0: the port's
    healthy: int = 1  # backends that its VIPs need for a route
    on_down: str = ""  # what becomes of a dead backend's flows; empty: by protocol

    def with_weights(self, weights: dict[str, int]) -> "Service":
        return replace(self, weights=weights)

    def share(self, backend: str) -> float:
        return self.weights[backend] / sum(self.weights.values())

    def text(self) -> str:
        quoted = ", ".join(f'"{vip}"' for vip in self.vips)
        text = _SERVICE.format(
            name=self.name,
            vips=quoted,
            ports=", ".join(self.ports),
            mode=self.mode,
            slots=self.slots,
            drain_deadline=self.drain_deadline,
            healthy=self.healthy,
        )
        if self.tunnel:
            text = text.replace("    backends:\n", f"    tunnel: {{{self.tunnel}}}\n    backends:\n")
        if self.on_down:
            text = text.replace("    backends:\n", f"    on_down: {self.on_down}\n    backends:\n")
        for backend, weight in self.weights.items():
            inner = f', inner_mac: "{topology.inner_mac(backend)}"' if self.mode == "vxlan" else ""
            inner += f", mtu: {self.mtu}" if self.mtu else ""
            for address in self._addresses(backend):
                suffix = "6" if ":" in address else ""
                text += f'      - {{name: {backend}{suffix}, address: "{address}", weight: {weight}{inner}}}\n'
        return text

    # A backend has one address: a service with VIPs of both families lists it twice.
    def _addresses(self, backend: str) -> list[str]:
        v6 = self.outer == 6 or (not self.outer and any(":" in vip for vip in self.vips))
        v4 = self.outer == 4 or (not self.outer and any(":" not in vip for vip in self.vips))
        found = [topology.backend_v4(backend)] if v4 else []
        return found + ([topology.backend_v6(backend)] if v6 else [])


@dataclass(frozen=True)
class Configuration:
    """The whole file. `state_file` lies outside the folder, because it wants shared memory."""

    folder: Path
    instance: str
    services: tuple[Service, ...]
    workers: int = 1
    flows: str = "256k"
    wan: str = topology.WAN_PORT
    lan: str = topology.LAN_PORT
    state_file: str = field(default="")
    more_ports: tuple[str, ...] = ()  # further interfaces
    huge_pages: bool = False
    idle: str = "sleep"
    check: tuple[str, str] = ("250ms", "200ms")  # interval and timeout
    ports: str = ""  # lines of `ports` instead of those from the interfaces
    more: str = ""  # further lines of the top level
    hash_key_file: str = ""  # empty: a key of its own

    def text(self) -> str:
        head = _TEXT.format(
            folder=self.folder,
            instance=self.instance,
            workers=self.workers,
            flows=self.flows,
            huge_pages=str(self.huge_pages).lower(),
            idle=self.idle,
            interval=self.check[0],
            timeout=self.check[1],
            ports=self.ports or self._packet_ports(),
            more=self.more,
            hash_key=f'  hash_key_file: "{self.hash_key_file}"\n' if self.hash_key_file else "",
            state_file=self.state_file or self.shared_memory(),
            pool_v4=topology.NAT_POOL_V4,
            pool_v6=topology.NAT_POOL_V6,
            http=HTTP_PORT,
        )
        return head + "".join(service.text() for service in self.services)

    def _packet_ports(self) -> str:
        names = {"wan0": self.wan, "lan0": self.lan}
        names |= {f"more{number}": name for number, name in enumerate(self.more_ports)}
        return "".join(
            f"  {port}: {{device: af_packet, interface: {interface}}}\n"
            for port, interface in names.items()
        )

    def shared_memory(self) -> str:
        return f"/dev/shm/holdfast-lab-{self.instance}.state"
