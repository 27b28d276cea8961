# SPDX-License-Identifier: Apache-2.0
"""Holdfast and testpmd as processes that a benchmark starts, reads and ends.

What is read is the CPU time of worker threads (/proc/PID/task/*/schedstat), which other jobs on the
machine disturb less than the clock.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

START_SECONDS = 30.0


def worker_cpu_ns(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if "worker" in (task / "comm").read_text():
            total += int((task / "schedstat").read_text().split()[0])
    return total


def wait_for(condition, seconds: float, what: str):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.05)
    raise RuntimeError(f"{what} did not happen within {seconds:.0f} s")


def stop(process: subprocess.Popen, first: signal.Signals) -> None:
    if process.poll() is None:
        process.send_signal(first)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def testpmd_ns(capture: Path, flows: int, folder: Path, seconds: float) -> float:
    """ns of worker CPU time per received packet, in mode 5tswap."""
    log = folder / "testpmd.log"
    command = ["dpdk-testpmd", "-l", "0,1", "--no-pci", "--no-huge", "-m", "1024", "--no-shconf",
               "--no-telemetry", f"--vdev=net_pcap0,rx_pcap={capture},infinite_rx=1", "--",
               "--forward-mode=5tswap", "--auto-start", "--nb-cores=1", "--stats-period=1",
               f"--total-num-mbufs={flows + 16384}"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "packet forwarding -" in log.read_text(), START_SECONDS, "testpmd's start")
        time.sleep(seconds)
        cpu = worker_cpu_ns(process.pid)
    finally:
        stop(process, signal.SIGINT)
    received = re.findall(r"Accumulated forward.*?RX-packets: (\d+)", log.read_text(), re.DOTALL)
    if not received:
        raise RuntimeError("testpmd printed no statistics:\n" + log.read_text()[-500:])
    return cpu / int(received[-1])


class Holdfast:
    """The supervisor and its children, on ports without a kernel. Use with `with`."""

    def __init__(self, build: Path, folder: Path, ports: list[str], mode: str, workers: int = 1):
        self.place = folder / f"holdfast-{time.monotonic_ns()}"
        (self.place / "run").mkdir(parents=True)
        self.binary = build / "holdfast"
        self.log = self.place / "log"
        self.config = self.place / "bench.yaml"
        self.config.write_text(self._configuration(ports, mode, workers))

    def _configuration(self, ports: list[str], mode: str, workers: int) -> str:
        run = self.place / "run"
        lines = "".join(f"  p{number}: {{{port}}}\n" for number, port in enumerate(ports))
        pool = "nat: {pool: [10.0.3.16-10.0.3.31]}\n" if mode == "nat" else ""
        return f"""version: 1
dataplane: {{workers: {workers}, flows: 1M, instance: bench-{os.getpid()},
  socket: {run}/dataplane.sock, directory: {run}/dataplane, state_file: {run}/state}}
control: {{socket: {run}/control.sock, directory: {run}/control, metrics: none}}
ports:
{lines}{pool}services:
  - name: web
    vips: [192.0.2.1]
    ports: [udp/80]
    mode: {mode}
    check: none
    backends:
      - {{name: a, address: 10.0.3.11}}
      - {{name: b, address: 10.0.3.12}}
"""

    def __enter__(self) -> "Holdfast":
        with self.log.open("w") as out:
            self.process = subprocess.Popen(
                [self.binary, "run", "--config", self.config], stdout=out, stderr=out,
                stdin=subprocess.DEVNULL)
        return self

    def __exit__(self, *_) -> None:
        stop(self.process, signal.SIGTERM)

    def wait_forwarding(self, packets: int) -> int:
        """Until so many packets are forwarded; returns the dataplane's process id."""
        wait_for(lambda: self._ended() or self.counters().get("forwarded", 0) >= packets,
                 START_SECONDS, "forwarding")
        return wait_for(self.dataplane_pid, 5, "the dataplane's start")

    def wait_answer(self) -> int:
        """Until the dataplane answers; returns its process id."""
        wait_for(lambda: self._ended() or self.counters(), START_SECONDS, "an answer")
        return wait_for(self.dataplane_pid, 5, "the dataplane's start")

    def counters(self) -> dict[str, int]:
        """The workers' counters, summed; empty when nobody answers yet."""
        done = subprocess.run([self.binary, "status", "--config", self.config, "-o", "json"],
                              capture_output=True, text=True, timeout=20)
        total: Counter[str] = Counter()
        if done.returncode == 0:
            for worker in json.loads(done.stdout).get("workers", []):
                total.update(worker["counters"])
        return total

    def dataplane_pid(self) -> int:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                    name = (entry / "comm").read_text().strip()
                except OSError:
                    continue
                if int(fields[1]) == self.process.pid and name.startswith("holdfast-datapl"):
                    return int(entry.name)
        return 0

    def ns_per_packet(self, seconds: float) -> list[float]:
        """Of the workers' CPU time, for each half of the time. Requires: wait_forwarding()."""
        pid = self.dataplane_pid()
        readings = [(self.counters()["received"], worker_cpu_ns(pid))]
        for _ in range(2):
            time.sleep(seconds / 2)
            readings.append((self.counters()["received"], worker_cpu_ns(pid)))
        return [(later[1] - earlier[1]) / (later[0] - earlier[0])
                for earlier, later in zip(readings, readings[1:])]

    def _ended(self) -> bool:
        if self.process.poll() is None:
            return False
        raise RuntimeError(
            f"holdfast ended with {self.process.returncode}: {self.log.read_text()[-800:]}")
