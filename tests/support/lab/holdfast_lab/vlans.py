# SPDX-License-Identifier: Apache-2.0
"""The lab with the balancer behind trunks: its two links carry tagged frames only.

On the wan link stands an 802.1Q VLAN, on the lan link an 802.1Q VLAN within an 802.1ad one. Both
ends of each are interfaces of the kernel's where it knows VLANs, else of vlan_device.py.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from . import process
from .process import Process
from .topology import BALANCER_PORTS, LAN_PORT, WAN_PORT, Topology

VLAN_PORTS = {WAN_PORT: "vlan-wan", LAN_PORT: "vlan-lan"}
TAGS = {WAN_PORT: ((0x8100, 100),), LAN_PORT: ((0x88A8, 200), (0x8100, 100))}
_TYPES = {0x8100: "802.1Q", 0x88A8: "802.1ad"}
_TRUNK_MTU = 1508  # both tags of a full frame; veth does not leave room for them by itself


@dataclass
class VlanTopology(Topology):
    by_kernel: bool = field(default=True, init=False)  # who makes the VLAN interfaces

    def _make_balancer(self) -> None:
        for port in BALANCER_PORTS:
            self._link("balancer", port.name, f"to-{port.name}", None)
            self.quiet(port.name)
            device = VLAN_PORTS[port.name]
            self._make_vlan("balancer", port.name, device)
            self._make_vlan("fabric", f"to-{port.name}", f"to-{device}")
            self._batch("fabric", [f"link set to-{device} master {port.bridge}"])
            self.address(port, device)
        self.route_by_wan()

    def _make_vlan(self, role: str, parent: str, device: str) -> None:
        self._batch(role, [f"link set {parent} mtu {_TRUNK_MTU}"])
        tags = TAGS[parent.removeprefix("to-")]
        if self.by_kernel:
            try:
                self._make_kernel_vlan(role, parent, device, tags)
            except OSError as error:
                if "Unknown device type" not in str(error):
                    raise
                self.by_kernel = False
        if not self.by_kernel:
            self._make_user_vlan(role, parent, device, tags)
        self._batch(role, [f"link set {device} mtu 1500 up"])

    def _make_kernel_vlan(self, role: str, parent: str, device: str, tags) -> None:
        below = parent
        for number, (kind, vlan) in enumerate(tags, 1):
            name = device if number == len(tags) else f"{device}-s"
            add = f"link add link {below} name {name} type vlan proto {_TYPES[kind]} id {vlan}"
            self._batch(role, [add, f"link set {name} up"])
            below = name

    def _make_user_vlan(self, role: str, parent: str, device: str, tags) -> None:
        program = Path(__file__).with_name("vlan_device.py")
        words = [f"{kind:x}.{vlan}" for kind, vlan in tags]
        end = Process(
            self.run,
            self.namespace(role),
            ["/usr/bin/python3", str(program), device, parent, *words],
            self.run.folder / f"{device}.out",
        )
        process.wait_until(
            lambda: "ready" in end.said() or not end.is_running(), f"{device}: see {end.log}"
        )
        # The parent's MAC address, as the kernel's have it.
        mac = json.loads(self.in_namespace(role, "ip", "-j", "link", "show", parent))[0]["address"]
        self._batch(role, [f"link set {device} address {mac}"])
