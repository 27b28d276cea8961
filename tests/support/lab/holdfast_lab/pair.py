# SPDX-License-Identifier: Apache-2.0
"""Two balancers with the same configuration on the same networks, and keepalived beside them."""

import os
from dataclasses import replace
from pathlib import Path

from . import process
from .balancer import Balancer
from .process import Process
from .topology import BALANCER_PORTS, BalancerPort, Topology

FIRST, SECOND = "balancer", "balancer-b"
SECOND_PORTS = (
    BalancerPort("veth-wan", "203.0.113.3/24", "2001:db8::3/64", "wan"),
    BalancerPort("veth-lan", "10.0.3.3/24", "2001:db8:3::3/64", "lan"),
)
HASH_KEY = "000102030405060708090a0b0c0d0e0f\n"


class PairTopology(Topology):
    """The lab with a second balancer beside the first one."""

    def build(self) -> "PairTopology":
        super().build()
        self._make_namespace(SECOND, {})
        for port in SECOND_PORTS:
            self._link(SECOND, port.name, self.cable(SECOND, port.name), port.bridge)
            for role, device in ((SECOND, port.name), ("fabric", self.cable(SECOND, port.name))):
                self.in_namespace(
                    role, "ethtool", "-K", device, "tx", "off", "tso", "off", "gso", "off",
                    "gro", "off",
                )  # fmt: skip
            self._batch(
                SECOND,
                [
                    f"address add {port.v4} dev {port.name}",
                    f"address add {port.v6} dev {port.name} nodad",
                ],
            )
        self._batch(
            SECOND, ["route add default via 203.0.113.1", "route add default via 2001:db8::1"]
        )
        return self

    @staticmethod
    def cable(role: str, port: str) -> str:
        """The fabric's end of a balancer's cable."""
        return f"to-{port}" if role == FIRST else f"to-b-{port}"

    def cut_off(self, role: str) -> None:
        """No frame comes or goes any more; the links stay up, so that nobody is told."""
        cables = [self.cable(role, port.name) for port in BALANCER_PORTS]
        self._batch("fabric", [f"link set {cable} nomaster" for cable in cables])

    def connect(self, role: str) -> None:
        self._batch(
            "fabric",
            [
                f"link set {self.cable(role, port.name)} master {port.bridge}"
                for port in BALANCER_PORTS
            ],
        )


def two_balancers(lab: PairTopology, binaries: Path, configuration) -> list[Balancer]:
    """Not started. Each has its own folder and instance, and all else in common."""
    found = []
    for role, letter in ((FIRST, "a"), (SECOND, "b")):
        folder = configuration.folder.with_name(configuration.folder.name + letter)
        key = folder.with_name(folder.name + ".key")
        key.write_text(HASH_KEY)
        key.chmod(0o600)
        own = replace(
            configuration,
            folder=folder,
            instance=configuration.instance + letter,
            hash_key_file=str(key),
        )
        found.append(Balancer(lab, binaries, own, role))
    return found


class Keepalived:
    """keepalived beside a balancer, with the files of examples/ and this lab's paths."""

    def __init__(self, balancer: Balancer, examples: Path, priority: int):
        lab = balancer.lab
        self.folder = lab.run.folder / f"keepalived-{balancer.role}-{len(os.listdir(lab.run.folder))}"
        self.folder.mkdir()
        socket = f"--socket {balancer.configuration.folder}/control.sock"
        program = f"{balancer.binaries}/holdfast"
        notify = self.folder / "notify"
        notify.write_text(
            (examples / "holdfast-notify")
            .read_text()
            .replace("${HOLDFAST:-/usr/bin/holdfast}", program)
            .replace('node "$role"', f'node "$role" {socket}')
            .replace("${HOLDFAST_ROLE_FILE:-/run/holdfast-role}", f"{self.folder}/role")
        )
        notify.chmod(0o755)
        text = (examples / "keepalived.conf").read_text()
        for of_example, of_lab in (
            ("/usr/bin/holdfast health --quiet", f"{program} health --quiet {socket}"),
            ("/etc/keepalived/holdfast-notify", str(notify)),
            ("priority 110", f"priority {priority}"),
            # The lab's folders are below one that everybody may write to.
            ("  enable_script_security\n", ""),
        ):
            assert of_example in text, of_example
            text = text.replace(of_example, of_lab)
        file = self.folder / "keepalived.conf"
        file.write_text(text)
        pids = [str(self.folder / name) for name in ("pid", "vrrp.pid")]
        command = ["keepalived", "-n", "-l", "-D", "-P", "-f", str(file)]
        command += ["-p", pids[0], "-r", pids[1]]
        self.process = Process(
            lab.run, lab.namespace(balancer.role), command, self.folder / "log"
        )

    def kill(self) -> None:
        """Parent and child at once: a child that finds its parent gone says goodbye."""
        process.kill_group(self.process)

    def stop(self) -> None:
        self.process.terminate()
