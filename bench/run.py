# SPDX-License-Identifier: Apache-2.0
"""./run bench: figures with their median and spread.

Stage, table and collision benchmarks are Google Benchmark programs; each figure is the median over
repeated runs, the spread is the largest distance from it. The whole process is measured beside
dpdk-testpmd in mode 5tswap, on the same capture with real headers, the two in turn; what is
compared is the worker thread's CPU time per packet (/proc/PID/task/*/schedstat), which other jobs
on the machine disturb less than the clock.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/support/lab"))
from holdfast_lab.figures import Figures  # noqa: E402

VIP = 0xC0000201
ROUNDS = 3
SECONDS = 2.0


def spread(values):
    middle = statistics.median(values)
    return max(abs(value - middle) for value in values)


# --- Google Benchmark programs -------------------------------------------------------------------


def run_program(program: Path, repetitions: int, minimum: float) -> list[dict]:
    command = [str(program), "--benchmark_format=json", f"--benchmark_repetitions={repetitions}",
               f"--benchmark_min_time={minimum}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [run for run in json.loads(output)["benchmarks"] if run["run_type"] == "iteration"]


def bench_maglev(figures: Figures, build: Path) -> None:
    by_name: dict[str, list[float]] = {}
    for run in run_program(build / "maglev_bench", 5, 0.1):
        by_name.setdefault(run["run_name"], []).append(run["cpu_time"])
    for name, times in by_name.items():
        kind, members = name.split("/")
        figures.note(f"maglev.65537.{kind}.{members}", round(statistics.median(times), 3), "ms",
                     spread=round(spread(times), 3))


def bench_stages(figures: Figures, build: Path) -> None:
    by_name: dict[tuple[str, str], list[float]] = {}
    for run in run_program(build / "pipeline_bench", 3, 0.05):
        name = run["run_name"].split("/manual_time")[0].replace("/", ".")
        for stage in ("parse", "classify", "track", "select", "rewrite", "total"):
            if stage in run:
                by_name.setdefault((name, stage), []).append(run[stage])
    for (name, stage), times in by_name.items():
        figures.note(f"stage.{name}.{stage}", round(statistics.median(times), 1), "ns/packet",
                     spread=round(spread(times), 1))


def bench_collisions(figures: Figures, build: Path) -> None:
    by_name: dict[str, dict[str, list[float]]] = {}
    for run in run_program(build / "collision_bench", 3, 0.1):
        seen = by_name.setdefault(run["run_name"].split("/iterations")[0].replace("/", "."), {})
        for counter in ("random", "colliding", "ratio"):
            for step in ("insert", "find"):
                seen.setdefault(f"{step}_{counter}", []).append(run[f"{step}_{counter}"])
        seen.setdefault("tracked", []).append(run["tracked"])
    for name, seen in by_name.items():
        for step in ("insert", "find"):
            cost, ratio = seen[f"{step}_colliding"], seen[f"{step}_ratio"]
            figures.note(f"{name}.{step}", round(statistics.median(cost), 1), "ns/flow",
                         spread=round(spread(cost), 1),
                         baseline=round(statistics.median(seen[f"{step}_random"]), 1))
            figure = (f"{name}.{step}.beside_random", round(statistics.median(ratio), 3))
            noise = round(spread(ratio), 3)
            if name.startswith("keyed."):
                figures.at_most(*figure, 2, "ratio", spread=noise)
            else:
                figures.note(*figure, "ratio", spread=noise)
        figures.note(f"{name}.tracked", round(100 * statistics.median(seen["tracked"]), 3), "%")


# --- the whole process beside testpmd ------------------------------------------------------------


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(flow: int, source_mac: bytes, our_mac: bytes) -> bytes:
    """A minimum-size UDP frame with valid checksums: one-way traffic that `nat` and `dsr` take."""
    source = 0x0B000000 + (flow >> 12)
    ports = struct.pack("!HH", 1024 + (flow & 4095), 80)
    payload = b"\0" * 18
    ip = struct.pack("!BBHHHBBHII", 0x45, 0, 46, 0, 0x4000, 64, 17, 0, source, VIP)
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    pseudo = struct.pack("!IIBBH", source, VIP, 0, 17, 26)
    udp = ports + struct.pack("!HH", 26, 0) + payload
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    return our_mac + source_mac + b"\x08\x00" + ip + udp


def write_capture(path: Path, flows: int, our_mac: bytes) -> None:
    order = list(range(flows))
    random.Random(1).shuffle(order)
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for flow in order:
            data = frame(flow, b"\2\0\0\0\0\1", our_mac)
            out.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)


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


def stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def testpmd_ns(capture: Path, flows: int, folder: Path) -> float:
    """ns of worker CPU time per received packet."""
    log = folder / "testpmd.log"
    command = ["dpdk-testpmd", "-l", "0,1", "--no-pci", "--no-huge", "-m", "1024", "--no-shconf",
               "--no-telemetry", f"--vdev=net_pcap0,rx_pcap={capture},infinite_rx=1", "--",
               "--forward-mode=5tswap", "--auto-start", "--nb-cores=1", "--stats-period=1",
               f"--total-num-mbufs={flows + 16384}"]
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "packet forwarding -" in log.read_text(), 30, "testpmd's start")
        time.sleep(SECONDS)
        cpu = worker_cpu_ns(process.pid)
    finally:
        stop(process)
    received = re.findall(r"Accumulated forward.*?RX-packets: (\d+)", log.read_text(), re.DOTALL)
    if not received:
        raise RuntimeError("testpmd printed no statistics:\n" + log.read_text()[-500:])
    return cpu / int(received[-1])


def write_configuration(folder: Path, capture: Path, mode: str) -> Path:
    run = folder / "run"
    text = f"""version: 1
dataplane: {{workers: 1, flows: 1M, instance: bench-{os.getpid()},
  socket: {run}/dataplane.sock, directory: {run}/dataplane, state_file: {run}/state}}
control: {{socket: {run}/control.sock, directory: {run}/control, metrics: none}}
ports:
  p0: {{device: pcap, rx: {capture}, repeat: true}}
{"nat: {pool: [10.0.3.16-10.0.3.31]}" if mode == "nat" else ""}
services:
  - name: web
    vips: [192.0.2.1]
    ports: [udp/80]
    mode: {mode}
    check: none
    backends:
      - {{name: a, address: 10.0.3.11}}
      - {{name: b, address: 10.0.3.12}}
"""
    path = folder / "bench.yaml"
    path.write_text(text)
    return path


def counters(binary: Path, config: Path) -> dict[str, int]:
    """The workers' counters, summed; empty when nobody answers yet."""
    done = subprocess.run([binary, "status", "--config", config, "-o", "json"],
                          capture_output=True, text=True, timeout=20)
    if done.returncode:
        return {}
    total: Counter[str] = Counter()
    for worker in json.loads(done.stdout).get("workers", []):
        total.update(worker["counters"])
    return total


def dataplane_pid(parent: int) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            if int(fields[1]) == parent and name.startswith("holdfast-datapl"):
                return int(entry.name)
    return 0


def holdfast_ns(build: Path, capture: Path, mode: str, folder: Path) -> float:
    place = folder / f"holdfast-{time.monotonic_ns()}"
    (place / "run").mkdir(parents=True)
    config = write_configuration(place, capture, mode)
    log = place / "log"
    with log.open("w") as out:
        process = subprocess.Popen([build / "holdfast", "run", "--config", config], stdout=out,
                                   stderr=out, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: process.poll() is not None
                 or counters(build / "holdfast", config).get("forwarded", 0) > 100_000, 30,
                 "forwarding")
        if process.poll() is not None:
            raise RuntimeError(f"holdfast ended with {process.returncode}")
        pid = wait_for(lambda: dataplane_pid(process.pid), 5, "the dataplane's start")
        before, cpu_before = counters(build / "holdfast", config)["received"], worker_cpu_ns(pid)
        time.sleep(SECONDS)
        after, cpu_after = counters(build / "holdfast", config)["received"], worker_cpu_ns(pid)
    except (RuntimeError, KeyError) as error:
        raise RuntimeError(f"{error}\n{log.read_text()[-800:]}") from error
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
    return (cpu_after - cpu_before) / (after - before)


def bench_process(figures: Figures, build: Path) -> None:
    if not shutil.which("dpdk-testpmd"):
        figures.not_judged("process", "beside testpmd", "dpdk-testpmd is not installed")
        return
    folder = Path(tempfile.mkdtemp(prefix="holdfast-bench-"))
    try:
        for flows in (64, 1024, 65536):
            capture = folder / f"{flows}.pcap"
            write_capture(capture, flows, b"\2\0\0\0\0\2")
            for mode in ("nat", "dsr"):
                peer, ours = [], []
                try:
                    for _ in range(ROUNDS):
                        peer.append(testpmd_ns(capture, flows, folder))
                        ours.append(holdfast_ns(build, capture, mode, folder))
                except RuntimeError as error:
                    reason = " ".join(str(error).split())[:300]
                    figures.holds(f"process.{mode}.{flows}", "none", "a figure", False, reason=reason)
                    continue
                ratios = [theirs / own for theirs, own in zip(peer, ours)]
                figures.note(f"process.{mode}.{flows}", round(statistics.median(ours), 1),
                             "ns/packet", spread=round(spread(ours), 1),
                             baseline=round(statistics.median(peer), 1))
                figures.note(f"process.{mode}.{flows}.share_of_testpmd_5tswap",
                             round(statistics.median(ratios), 3), "ratio",
                             spread=round(spread(ratios), 3))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def print_table(figures: Figures) -> None:
    width = max(len(figure.name) for figure in figures.all)
    for figure in figures.all:
        noise = "" if figure.spread is None else f"+- {figure.spread:g}"
        base = "" if figure.baseline is None else f"(beside {figure.baseline:g})"
        print(f"{figure.name:<{width}}  {figure.value!s:>9} {figure.unit or '':<10} "
              f"{noise:<10} {base}{figure.reason or ''}")


PARTS = {"maglev": bench_maglev, "stages": bench_stages, "collisions": bench_collisions,
         "process": bench_process}


def main() -> int:
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("build", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="only these")
    words = parser.parse_intermixed_args()  # the parts may stand behind --json FILE
    figures = Figures()
    for name, bench in PARTS.items():
        if not words.parts or name in words.parts:
            print(f"{name} ...", flush=True)
            bench(figures, words.build)
    print_table(figures)
    if words.json:
        words.json.write_text(json.dumps([f.as_json() for f in figures.all], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
