# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's DPDK datapath as a peer: conntrack and DNAT of established flows, one PMD thread.

The only stateful translator on DPDK that Debian packages. It forwards the captures of the process
benchmark, the client's direction alone, from a pcap port to a null port. It runs in a network
namespace without a name, because it leaves taps behind that vanish with it.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from holdfast_lab.environment import CLONE_NEWNET, unshare
from holdfast_lab.figures import Figures

from captures import write_capture
from instance import START_SECONDS, stop, wait_for
from measured import record, record_failure
from whole_process import FLOWS, scratch_folder

DAEMON = Path("/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk")
SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
# It adds --in-memory, which --no-huge excludes, unless it finds --legacy-mem.
EAL = "--no-pci --no-huge --legacy-mem --no-shconf --no-telemetry -m 1536"
READINGS = 4
SECONDS = 1.0
MEMBER = "10.0.3.11"


class OpenVswitch:
    """Requires: the program is installed. Use with `with`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.database = f"unix:{folder}/db.sock"
        self.control = folder / "vswitchd.ctl"
        self.log = folder / "vswitchd.log"
        self.environment = {**os.environ, "OVS_RUNDIR": str(folder), "OVS_LOGDIR": str(folder),
                            "OVS_DBDIR": str(folder), "OVS_SYSCONFDIR": str(folder)}
        self.processes: list[subprocess.Popen] = []

    def __enter__(self) -> "OpenVswitch":
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_) -> None:
        for process in reversed(self.processes):
            stop(process, signal.SIGTERM)

    def _start(self) -> None:
        self._call("ovsdb-tool", "create", f"{self.folder}/conf.db", str(SCHEMA))
        self._run(["ovsdb-server", f"{self.folder}/conf.db", f"--remote=p{self.database}",
                   f"--unixctl={self.folder}/db.ctl"])
        wait_for(lambda: (self.folder / "db.sock").exists(), START_SECONDS, "ovsdb-server's start")
        self._configure("--no-wait", "init")
        self._configure("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                        f"other_config:dpdk-extra={EAL}", "other_config:pmd-cpu-mask=0x2",
                        "other_config:dpdk-lcore-mask=0x1")
        self._run([str(DAEMON), self.database, f"--unixctl={self.control}"])
        wait_for(self.control.exists, START_SECONDS, "ovs-vswitchd's start")
        self._configure("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev")

    def add_ports(self, capture: Path) -> None:
        devices = (f"net_pcap0,rx_pcap={capture},infinite_rx=1", "net_null0,no-rx=1")
        for number, device in enumerate(devices, start=1):
            self._configure("add-port", "br0", f"p{number}", "--", "set", "Interface",
                            f"p{number}", "type=dpdk", f"options:dpdk-devargs={device}",
                            f"ofport_request={number}")
            error = self._configure("get", "Interface", f"p{number}", "error").strip()
            if error not in ("[]", '""'):
                raise RuntimeError(f"Open vSwitch: port {device}: {error}")
        for flow in ("table=0,ip,ct_state=-trk,actions=ct(table=1,nat)",
                     "table=1,in_port=1,ip,ct_state=+trk+new,"
                     f"actions=ct(commit,nat(dst={MEMBER})),output:2",
                     "table=1,in_port=1,ip,ct_state=+trk+est,actions=output:2"):
            self._call("ovs-ofctl", "-O", "OpenFlow15", "add-flow", "br0", flow)

    def ns_per_packet(self) -> list[float]:
        readings = [self._reading()]
        for _ in range(READINGS):
            time.sleep(SECONDS)
            readings.append(self._reading())
        return [(later[1] - earlier[1]) / (later[0] - earlier[0])
                for earlier, later in zip(readings, readings[1:])]

    def _reading(self) -> tuple[int, int]:
        """Packets received and CPU time, of the PMD thread."""
        told = self._call("ovs-appctl", "-t", str(self.control), "dpif-netdev/pmd-stats-show")
        received = sum(int(number) for number in re.findall(r"packets received: (\d+)", told))
        cpu = 0
        for task in Path(f"/proc/{self.processes[-1].pid}/task").iterdir():
            if (task / "comm").read_text().startswith("pmd"):
                cpu += int((task / "schedstat").read_text().split()[0])
        return received, cpu

    def _run(self, command: list[str]) -> None:
        with self.log.open("a") as out:
            self.processes.append(subprocess.Popen(
                command, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder,
                env=self.environment, preexec_fn=lambda: unshare(CLONE_NEWNET)))

    def _configure(self, *words: str) -> str:
        return self._call("ovs-vsctl", f"--db={self.database}", "--timeout=20", *words)

    def _call(self, *command: str) -> str:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                              env=self.environment)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}\n"
                               f"{self.log.read_text()[-300:] if self.log.exists() else ''}")
        return done.stdout


def bench_peers(figures: Figures, _build: Path) -> None:
    if not DAEMON.exists() or not shutil.which("ovs-vsctl"):
        figures.note("peers.open_vswitch", None, reason="openvswitch-switch-dpdk is not installed")
        return
    for flows in FLOWS:
        name = f"peers.open_vswitch.{flows}"
        with scratch_folder() as folder:
            capture = write_capture(folder / "flows.pcap", 0, flows)
            try:
                with OpenVswitch(folder) as switch:
                    switch.add_ports(capture)
                    time.sleep(SECONDS)  # until its flows are established and its caches filled
                    record(figures, name, switch.ns_per_packet(), "ns/packet")
            except (RuntimeError, ZeroDivisionError, subprocess.SubprocessError) as error:
                record_failure(figures, name, error)
