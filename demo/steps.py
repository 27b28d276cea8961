# SPDX-License-Identifier: Apache-2.0
"""The steps of the story, in order. Each does one thing to the running system and measures it."""

import os
import re
import signal
import subprocess
import time
from collections import Counter

from holdfast_lab import process
from holdfast_lab.loads import SynWatch, outage_ms
from holdfast_lab.topology import backend_v4

from stage import MODES, VIPS, Stage, Watched

SHARE_TOLERANCE = 5.0  # percentage points; some thousand connections over 65 537 slots
FAILOVER_LIMIT_MS = 350  # P6, every mode, at a probe interval of 250 ms
ADOPTION_LIMIT_MS = 2000
FORWARDING_LIMIT_MS = 3000  # P4
KILLED = "b"
DRAINED = ("web", "a")


def note_shares(stage: Stage, watched: Watched, when: str) -> None:
    total = sum(stage.weights.values())
    for service, result in watched.new.items():
        answers = result["answers"]
        served = sum(answers.values()) or 1
        worst = max(
            abs(100 * answers.get(backend, 0) / served - 100 * weight / total)
            for backend, weight in stage.weights.items()
        )
        shares = " ".join(
            f"{backend} {100 * answers.get(backend, 0) / served:.1f}%" for backend in stage.weights
        )
        weights = " ".join(f"{100 * weight / total:.0f}%" for weight in stage.weights.values())
        stage.figures.at_most(
            f"{service}: share against weight, {when}", worst, SHARE_TOLERANCE, "points",
            reason=f"{shares} of {weights}",
        )  # fmt: skip


def nothing_suffered(stage: Stage, watched: Watched, what: str, without: str = "") -> None:
    """Lost, moved and broken, of every flow that was not the killed backend's own."""
    beside = stage.steady.lost() if stage.steady else None
    others = " of other backends" if without else ""
    stage.figures.at_most(f"{what}: lost{others}", watched.lost(without), 0, baseline=beside)
    stage.figures.at_most(f"{what}: flows moved{others}", watched.moved(without), 0)
    stage.figures.at_most(f"{what}: flows broken{others}", watched.broken(without), 0)


def steady(stage: Stage) -> None:
    process.wait_until(
        lambda: _living_total(stage) >= 500, "500 long-lived connections to be open"
    )
    watched = stage.watch(7)
    stage.steady = watched
    for service, result in watched.new.items():
        rate = result["requests"] / result["seconds"]
        stage.figures.note(f"{service}: new connections and requests", rate, "1/s")
    stage.figures.at_least("long-lived connections", _living_total(stage), 500)
    stage.figures.at_most("steady: failed requests", watched.failed(), 0)
    stage.figures.at_most("steady: lost", watched.lost(), 0)
    stage.figures.at_most("steady: flows moved", watched.moved() + watched.broken(), 0)
    slowest = 1e3 * max(watched.tcp.slowest_s, watched.udp.slowest_s)
    stage.figures.note("steady: slowest answer", slowest, "ms")
    note_shares(stage, watched, "steady")


def _living_total(stage: Stage) -> int:
    return sum(sum(counts.values()) for counts in stage.living("tcp").values())


def backend_dies(stage: Stage) -> None:
    moments: dict[str, float] = {}
    own = sum(counts.get(KILLED, 0) for counts in stage.living("tcp").values())
    before = stage.balancer.members()
    witness = SynWatch(stage.lab, KILLED)

    def kill() -> None:
        moments["killed"] = stage.backends[KILLED].kill()

    watched = stage.watch(5, kill)
    killed_at = moments["killed"]
    attempts = witness.result()
    members = stage.balancer.members()
    for service, vip in VIPS.items():
        member = members[(service, KILLED)]
        last = member["last_new_flow_unix_ns"] / 1e9
        stage.figures.at_least(
            f"{service}: new connections sent to {KILLED} before that",
            member["new_flows"] - before[(service, KILLED)]["new_flows"], 1,
        )  # fmt: skip
        stage.figures.at_most(
            f"{service}: kill to last new connection sent to it",
            max(0.0, 1e3 * (last - killed_at)), FAILOVER_LIMIT_MS, "ms",
        )  # fmt: skip
        destination = vip if MODES[service] == "dsr" else backend_v4(KILLED)
        count, seen = attempts.get(destination, [0, 0.0])
        stage.figures.at_most(
            f"{service}: the same, seen at the backend",
            max(0.0, 1e3 * (seen - killed_at)), FAILOVER_LIMIT_MS, "ms",
        )  # fmt: skip
        stage.figures.at_least(f"{service}: of these seen at {KILLED}, with repeats", count, 1)
    nothing_suffered(stage, watched, "backend killed", without=KILLED)
    stage.figures.note("backend killed: its own long-lived connections", own)
    ended = watched.tcp.broken.get(KILLED, 0)
    stage.figures.note("backend killed: of these ended and opened elsewhere", ended)


def backend_returns(stage: Stage) -> None:
    stage.backends[KILLED].start()
    started = time.monotonic()
    for service in VIPS:
        stage.balancer.wait_member(service, KILLED, "health", "up")
    stage.figures.note("backend back: started to taken in", time.monotonic() - started, "s")
    watched = stage.watch(5)
    nothing_suffered(stage, watched, "backend back")
    stage.figures.at_most("backend back: failed requests", watched.failed(), 0)
    note_shares(stage, watched, "backend back")


def backend_drains(stage: Stage) -> None:
    service, backend = DRAINED
    seen: dict[str, float] = {}
    verbs: list[subprocess.Popen] = []

    def drain() -> None:
        verbs.append(stage.balancer.start_cli("drain", f"{service}/{backend}", "--wait"))
        stage.balancer.wait_member(service, backend, "disposition", "keep")
        seen["at"] = process.now()
        seen["flows"] = stage.balancer.members()[DRAINED]["new_flows"]

    watched = stage.watch(5, drain)
    member = stage.balancer.members()[DRAINED]
    stage.figures.at_most("drain: new flows after the verb", member["new_flows"] - seen["flows"], 0)
    living = stage.living("tcp")[service].get(backend, 0)
    stage.figures.at_least("drain: established connections that live on", living, 1)
    nothing_suffered(stage, watched, "drain")
    stage.figures.at_most("drain: failed requests", watched.failed(), 0)
    assert stage.messages is not None
    closed = stage.messages.close(service, backend)
    asked = time.monotonic()
    output, _ = verbs[0].communicate(timeout=30)
    stage.figures.holds(
        "drain --wait returned when the last flow had ended",
        f"{time.monotonic() - asked:.1f} s after {closed} clients closed",
        "exit 0",
        verbs[0].returncode == 0,
        reason=None if verbs[0].returncode == 0 else output.strip(),
    )
    stage.balancer.cli("undrain", f"{service}/{backend}")


def reload_good(stage: Stage) -> None:
    stage.weights |= {"c": 100, "d": 100}
    lines: list[str] = []

    def reload() -> None:
        stage.balancer.write(stage.configuration().text())
        status = stage.balancer.reload_by_signal()
        lines.extend(status["last_reload"]["lines"])
        stage.figures.holds(
            "reload with a fourth backend and a new weight", status["last_reload"]["result"],
            "applied", status["last_reload"]["result"] == "applied",
        )  # fmt: skip
        for service in VIPS:
            stage.balancer.wait_member(service, "d", "health", "up")

    watched = stage.watch(5, reload)
    nothing_suffered(stage, watched, "reload")
    stage.figures.at_most("reload: failed requests", watched.failed(), 0)
    for line in lines:
        found = re.match(
            r"service (\S+): (\d+) of (\d+) slots moved, least possible (\d+)", line
        )
        if found:
            moved, slots, least = (int(number) for number in found.groups()[1:])
            stage.figures.note(
                f"{found.group(1)}: share of slots moved, beside the least possible",
                100 * moved / slots, "%", baseline=100 * least / slots,
            )  # fmt: skip


def reload_broken(stage: Stage) -> None:
    before = stage.balancer.status()
    members = {name: _fixed(member) for name, member in stage.balancer.members().items()}
    good = stage.balancer.file.read_text()
    stage.balancer.write(good.replace("balance:", "blance:").replace("250ms", "250"))
    status = stage.balancer.reload_by_signal()
    stage.balancer.write(good)
    for line in status["last_reload"]["lines"]:
        print("   | " + line)
    refused = status["last_reload"]["result"] == "refused"
    stage.figures.holds(
        "reload of a broken file", status["last_reload"]["result"], "refused", refused
    )
    errors = sum(" error: " in line for line in status["last_reload"]["lines"])
    stage.figures.at_least("broken file: errors printed", errors, 3)
    same = (status["revision"], status["generation"]) == (before["revision"], before["generation"])
    same &= members == {name: _fixed(one) for name, one in stage.balancer.members().items()}
    stage.figures.holds("broken file: anything changed", "no" if same else "yes", "no", same)


def _fixed(member: dict) -> tuple:
    return tuple(member[key] for key in ("address", "weight", "admin", "health", "disposition"))


def control_dies(stage: Stage) -> None:
    before = stage.balancer.members()
    old = stage.balancer.pid_of("control")
    adopted: dict[str, dict] = {}

    def kill() -> None:
        os.kill(old, signal.SIGKILL)
        process.wait_until(
            lambda: stage.balancer.pid_of("control") not in (0, old), "control to be started again"
        )
        process.wait_until(lambda: _adopted(stage, adopted), "control to adopt the running state")

    watched = stage.watch(5, kill)
    nothing_suffered(stage, watched, "control killed")
    stage.figures.at_most("control killed: failed requests", watched.failed(), 0)
    status = adopted["status"]
    stage.figures.at_most("control started again: adopted in", status["adopted_ms"],
                          ADOPTION_LIMIT_MS, "ms")  # fmt: skip
    changes = status["adoption_state_changes"]
    after = stage.balancer.members()
    changes += sum(_fixed(before[name]) != _fixed(after[name]) for name in before)
    stage.figures.at_most("control started again: state changes", changes, 0)


def _adopted(stage: Stage, adopted: dict[str, dict]) -> bool:
    try:
        status = stage.balancer.status()
    except RuntimeError:
        return False
    adopted["status"] = status
    # The dataplane answers in control's absence, without this.
    return status.get("adopted_ms", -1) >= 0


def dataplane_dies(stage: Stage) -> None:
    stage.balancer.cli("drain", "/".join(DRAINED))
    old = stage.balancer.pid_of("dataplane")
    living = _living_total(stage)
    moments: dict[str, float] = {}

    def kill() -> None:
        moments["killed"] = process.now()
        os.kill(old, signal.SIGKILL)
        process.wait_until(
            lambda: stage.balancer.pid_of("dataplane") not in (0, old),
            "the dataplane to be started again",
        )

    watched = stage.watch(6, kill)
    assert stage.messages is not None
    outage = outage_ms(stage.messages.report(), moments["killed"])
    stage.figures.at_most("dataplane killed: forwarding again", outage, FORWARDING_LIMIT_MS, "ms")
    stage.figures.at_most("dataplane killed: flows moved", watched.moved(), 0, reason=f"of {living}")
    stage.figures.at_most("dataplane killed: flows broken", watched.broken(), 0)
    drained = watched.new[DRAINED[0]]["answers"].get(DRAINED[1], 0)
    stage.figures.at_most("dataplane killed: new flows to what drains", drained, 0)
    stage.balancer.cli("undrain", "/".join(DRAINED))


def accounts(stage: Stage) -> None:
    assert stage.messages is not None
    last = stage.messages.stop()
    stage.figures.at_most("unanswered at the end", last["tcp"]["waiting"] + last["udp"]["waiting"], 0)
    status = stage.balancer.status()
    received = sum(worker["counters"].get("received", 0) for worker in status["workers"])
    stage.figures.note("frames received by the workers", received)
    drops = Counter()
    for worker in status["workers"]:
        drops.update(worker["drops"])
    named = ", ".join(f"{name} {value}" for name, value in drops.most_common() if value)
    stage.figures.note("frames dropped, each with a reason", drops.total(), reason=named)
    unaccounted = sum(abs(worker["unaccounted"]) for worker in status["workers"])
    stage.figures.at_most("frames unaccounted", unaccounted, 0)
    try:
        process.wait_until(lambda: _mbufs(stage) == stage.first_mbufs, "mbufs", 3.0)
    except TimeoutError:
        pass  # the figure says it
    missing = stage.first_mbufs - _mbufs(stage)
    stage.figures.at_most("mbufs missing from their first level", missing, 0,
                          baseline=stage.first_mbufs)  # fmt: skip


def _mbufs(stage: Stage) -> int:
    return stage.balancer.status()["mbufs_available"]


STORY = (
    ("steady load on both services", steady),
    (f"backend {KILLED} is killed, its whole process group", backend_dies),
    (f"backend {KILLED} comes back", backend_returns),
    (f"holdfast drain {'/'.join(DRAINED)} --wait", backend_drains),
    ("SIGHUP: a fourth backend, one weight changed", reload_good),
    ("SIGHUP: a broken file", reload_broken),
    ("control is killed with SIGKILL and started again", control_dies),
    ("the dataplane is killed with SIGKILL and started again", dataplane_dies),
    ("the accounts", accounts),
)
