# SPDX-License-Identifier: Apache-2.0
"""The lab with ports that the balancer owns: the kernel there has twins, and no frame but theirs.

    tap      interfaces that the dataplane makes; once it has, they are moved to the fabric's bridges
    memif    shared memory with testpmd, which passes frames on to a veth of the fabric
    af_xdp   the veths themselves
    bond     two taps each; lag_switch.py is the switch on their other ends, and passes frames on to
             a veth of the fabric

The twins are made before the dataplane, with their addresses, as an operator would find them after
a first start.
"""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from . import lag_switch, process
from .process import Process
from .topology import BALANCER_PORTS, BalancerPort, Topology

TWINS = {"veth-wan": "wan0", "veth-lan": "lan0"}  # called like the ports
_TESTPMD = "dpdk-testpmd"


@dataclass
class OwnedTopology(Topology):
    twins: tuple[str, ...] = field(default=tuple(TWINS.values()), init=False)

    def _make_balancer(self) -> None:
        for port in BALANCER_PORTS:
            twin = TWINS[port.name]
            self._batch("balancer", [f"tuntap add dev {twin} mode tap", f"link set {twin} up"])
            self.address(port, twin)
        self.route_by_wan()
        for port in BALANCER_PORTS:
            self._make_wire(port)

    def _make_wire(self, port: BalancerPort) -> None:
        raise NotImplementedError

    def ports(self) -> str:
        """The lines of `ports` in the configuration."""
        return "".join(
            f"  {TWINS[port.name]}: {{{self._device(port)}}}\n" for port in BALANCER_PORTS
        )

    def _device(self, port: BalancerPort) -> str:
        raise NotImplementedError

    def connect(self) -> None:
        """Once the dataplane has been started: joins its ports to the fabric."""

    def connect_again(self) -> None:
        """Once the dataplane has been started again."""

    def set_link(self, port: BalancerPort, state: str) -> None:
        """Pulls the port's cable, or puts it back: `down` or `up`."""
        self._batch("fabric", [f"link set to-{port.name} {state}"])


class TapTopology(OwnedTopology):
    def _make_wire(self, port: BalancerPort) -> None:
        pass  # the dataplane does

    def _device(self, port: BalancerPort) -> str:
        return f"device: tap, interface: to-{port.name}"

    def connect(self) -> None:
        for port in BALANCER_PORTS:
            wire = f"to-{port.name}"
            process.wait_until(
                lambda name=wire: name in self.in_namespace("balancer", "ip", "-br", "link"),
                f"the dataplane to make {wire}",
            )
            self._batch("balancer", [f"link set {wire} netns {self.namespace('fabric')}"])
            self._batch("fabric", [f"link set {wire} master {port.bridge} up"])


    def connect_again(self) -> None:
        self.connect()  # the cables went with the process


class XdpTopology(OwnedTopology):
    def _make_wire(self, port: BalancerPort) -> None:
        self._link("balancer", port.name, f"to-{port.name}", port.bridge)
        self.quiet(port.name)

    def _device(self, port: BalancerPort) -> str:
        return f"device: af_xdp, interface: {port.name}"


@dataclass
class BondTopology(OwnedTopology):
    """The taps stay where the dataplane made them, in the balancer's namespace, because its driver
    asks for their links by name; the veth stands in a namespace of its own, past the kernel there."""

    mode: str = "lacp"
    switches: dict[str, Process] = field(default_factory=dict, init=False)

    def _make_namespaces(self) -> None:
        super()._make_namespaces()
        self._make_namespace("middle", {})

    def _make_wire(self, port: BalancerPort) -> None:
        self._link("middle", port.name, f"to-{port.name}", port.bridge)
        self.quiet(port.name, "middle")

    def links(self, port: BalancerPort) -> tuple[str, str]:
        return f"{TWINS[port.name]}-a", f"{TWINS[port.name]}-b"

    def _device(self, port: BalancerPort) -> str:
        return f"device: bond, mode: {self.mode}, links: [{', '.join(self.links(port))}]"

    def connect(self) -> None:
        for port in BALANCER_PORTS:
            links = self.links(port)
            for link in links:
                process.wait_until(
                    lambda name=link: name in self.in_namespace("balancer", "ip", "-br", "link"),
                    f"the dataplane to make {link}",
                )
            self.switches[port.name] = Process(
                self.run,
                self.namespace("balancer"),
                ["/usr/bin/python3", lag_switch.__file__,
                 "lacp" if self.mode == "lacp" else "none",
                 process.namespace_path(self.namespace("middle")), port.name, *links],
                self.run.folder / f"switch-{port.name}.log",
                pipes=True,
            )  # fmt: skip

    def set_leg(self, link: str, state: str) -> None:
        """Pulls one link's cable, or puts it back."""
        self._batch("balancer", [f"link set {link} {state}"])


class MemifTopology(OwnedTopology):
    """testpmd stands in a namespace of its own, between a veth of the fabric and the memif."""

    def _make_namespaces(self) -> None:
        super()._make_namespaces()
        self._make_namespace("middle", {})

    def _make_wire(self, port: BalancerPort) -> None:
        self._link("middle", port.name, f"to-{port.name}", port.bridge)
        self.quiet(port.name, "middle")

    def _socket(self, port: BalancerPort) -> Path:
        return self.run.folder / f"{TWINS[port.name]}.memif"

    def _device(self, port: BalancerPort) -> str:
        return f"device: memif, socket: {self._socket(port)}, role: server"

    def connect(self) -> None:
        devices = []
        for number, port in enumerate(BALANCER_PORTS):
            path = self._socket(port)
            process.wait_until(
                lambda listened=str(path): listened in self._unix_sockets(),
                f"the dataplane to listen on {path}",
            )
            devices += [
                f"--vdev=net_memif{number},role=client,socket={path},socket-abstract=no",
                f"--vdev=net_af_packet{number},iface={port.name},qpairs=1",
            ]
        self.middle = Process(
            self.run,
            self.namespace("middle"),
            [shutil.which(_TESTPMD), "--no-huge", "-m", "256", "--no-shconf", "--no-pci",
             "--no-telemetry", "--file-prefix", f"lab-{self.run.id}", "--lcores", "0@0,1@0-1",
             *devices, "--", "--total-num-mbufs=16384", "--auto-start", "--stats-period=3600",
             "--port-topology=paired", "--no-mlockall"],
            self.run.folder / "testpmd.log",
        )  # fmt: skip


    def _unix_sockets(self) -> str:
        return self.in_namespace("balancer", "cat", "/proc/net/unix")

    def connect_again(self) -> None:
        self.middle.terminate()  # as a client it does not try again by itself
        self.connect()

    def set_link(self, port: BalancerPort, state: str) -> None:
        """The other process goes, or comes back: both links at once."""
        if state == "down":
            self.middle.terminate()
        else:
            self.connect()


def lacks_memif() -> str:
    return "" if shutil.which(_TESTPMD) else f"{_TESTPMD} is not installed"


def lacks_xdp() -> str:
    return "" if os.geteuid() == 0 else "loading an XDP program needs root"
