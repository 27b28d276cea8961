# SPDX-License-Identifier: Apache-2.0
"""What Holdfast adds to a frame's way over memif at half of its load, beside testpmd as an echo."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from holdfast_lab.figures import Figures

from instance import START_SECONDS, Holdfast, stop, wait_for
from measured import measured_by, record, record_failure
from whole_process import scratch_folder

ROUNDS = 3
CORES_WANTED = 3  # the generator, the worker, and one for everything else


def fresh_socket(folder: Path, name: str) -> Path:
    """A path that no server before has left a socket at: DPDK's would not start over it."""
    socket = folder / name
    socket.unlink(missing_ok=True)
    return socket


def listens(socket: Path) -> bool:
    return str(socket) in Path("/proc/net/unix").read_text()


def through_holdfast(build: Path, folder: Path) -> list[dict]:
    socket = fresh_socket(folder, "holdfast.memif")
    port = f"device: memif, socket: {socket}, role: server, twin: none"
    with Holdfast(build, folder, [port], "dsr") as holdfast:
        holdfast.wait_answer()
        wait_for(lambda: listens(socket), START_SECONDS, "the memif's socket")
        return measured_by(build / "latency_bench", "latency", str(socket))


def through_testpmd(build: Path, folder: Path) -> list[dict]:
    socket = fresh_socket(folder, "testpmd.memif")
    log = folder / "testpmd-echo.log"
    command = ["dpdk-testpmd", "--lcores", "0@0-1,1@0-1", "--no-pci", "--no-huge", "-m", "256",
               "--no-shconf", "--no-telemetry", "--file-prefix", f"bench-{os.getpid()}",
               f"--vdev=net_memif0,role=server,socket={socket},socket-abstract=no", "--",
               "--forward-mode=io", "--port-topology=loop", "--auto-start", "--nb-cores=1",
               "--total-num-mbufs=16384", "--stats-period=3600", "--no-mlockall"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: listens(socket), START_SECONDS, "testpmd's memif")
        return measured_by(build / "latency_bench", "latency", str(socket))
    finally:
        stop(process, signal.SIGINT)


def bench_latency(figures: Figures, build: Path) -> None:
    if not shutil.which("dpdk-testpmd"):
        figures.not_judged("latency", "beside testpmd", "dpdk-testpmd is not installed")
        return
    ours: dict[str, list[float]] = {}
    peer: dict[str, list[float]] = {}
    units: dict[str, str] = {}
    try:
        with scratch_folder() as folder:
            for _ in range(ROUNDS):
                for seen, through in ((peer, through_testpmd), (ours, through_holdfast)):
                    for one in through(build, folder):
                        seen.setdefault(one["name"], []).extend(one["samples"])
                        units[one["name"]] = one["unit"]
    except RuntimeError as error:
        record_failure(figures, "latency", error)
        return
    shared = ""
    if (os.cpu_count() or 1) < CORES_WANTED:
        shared = "the generator, the worker and all else share two cores"
    for name, samples in ours.items():
        record(figures, name, samples, units[name], peer[name], unjudged=shared)
