# SPDX-License-Identifier: Apache-2.0
"""The whole process on pcap ports with real headers: beside testpmd, and two workers beside one."""

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from holdfast_lab.figures import Figures

from captures import write_capture
from instance import Holdfast, testpmd_ns
from measured import record, record_failure, record_ratio, run_program

ROUNDS = 3
SECONDS = 2.0
MODES = ("nat", "ipip", "dsr")
FLOWS = (64, 1024, 65536)
FLOWS_PER_WORKER = 1024


@contextmanager
def scratch_folder():
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def pcap_port(capture: Path) -> str:
    return f"device: pcap, rx: {capture}, repeat: true"


def holdfast_ns(build: Path, folder: Path, captures: list[Path], mode: str) -> list[float]:
    """ns of the workers' CPU time per packet, twice; a worker and a port for each capture."""
    ports = [pcap_port(capture) for capture in captures]
    with Holdfast(build, folder, ports, mode, workers=len(captures)) as holdfast:
        holdfast.wait_forwarding(100_000)
        return holdfast.ns_per_packet(SECONDS)


def bench_process(figures: Figures, build: Path) -> None:
    if not shutil.which("dpdk-testpmd"):
        figures.not_judged("process", "beside testpmd", "dpdk-testpmd is not installed")
        return
    with scratch_folder() as folder:
        for flows in FLOWS:
            capture = write_capture(folder / f"{flows}.pcap", 0, flows)
            try:
                _beside_testpmd(figures, build, folder, capture, flows)
            except RuntimeError as error:
                record_failure(figures, f"process.{flows}", error)


def _beside_testpmd(figures: Figures, build: Path, folder: Path, capture: Path, flows: int) -> None:
    peer: list[float] = []
    ours: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(ROUNDS):
        # Twice, as ours are the two halves of a run.
        peer += 2 * [testpmd_ns(capture, flows, folder, SECONDS)]
        for mode in MODES:
            ours[mode] += holdfast_ns(build, folder, [capture], mode)
    for mode in MODES:
        name = f"process.{mode}.{flows}"
        record(figures, name, ours[mode], "ns/packet", peer)
        record_ratio(figures, f"{name}.share_of_testpmd_5tswap", peer, ours[mode])


def bench_scale(figures: Figures, build: Path) -> None:
    """Two workers beside one: the CPU time of a packet, as a rate, so that 1 is as good as alone.

    Of the pipeline each worker has flows of its own, as behind a card that spreads them. The process
    hands half of the packets to the other worker, since a pcap port knows no RSS.
    """
    run_program(figures, build / "scale_bench")
    one: list[float] = []
    two: list[float] = []
    with scratch_folder() as folder:
        captures = [write_capture(folder / f"{part}.pcap", part * FLOWS_PER_WORKER,
                                  FLOWS_PER_WORKER) for part in range(2)]
        try:
            for _ in range(ROUNDS):
                one += holdfast_ns(build, folder, captures[:1], "nat")
                two += holdfast_ns(build, folder, captures, "nat")
        except RuntimeError as error:
            record_failure(figures, "scale.process", error)
            return
    reason = None
    if (os.cpu_count() or 1) < 3:
        reason = "both workers and the rest of the machine share two cores"
    record(figures, "scale.process.ns", two, "ns/packet", one, reason=reason)
    record_ratio(figures, "scale.process.two_workers", one, two)
