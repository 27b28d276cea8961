# SPDX-License-Identifier: Apache-2.0
"""Long-lived load whose every message is numbered, so that a moved, broken or lost thing is seen.

    message_client.py PLAN          PLAN: JSON, see LoadPlan

Opens the TCP connections and UDP flows of the plan and sends a numbered message on each at a fixed
pace, whatever the answers do. An answer names the backend; another name on a living flow means that
the flow moved. Commands come one per line on stdin, each answered by one line of JSON on stdout:

    report                   totals since the start, and every event with its time
    close SERVICE BACKEND    ends these flows in order, each with its last answer, for good
    stop                     stops sending, waits for what is on its way, reports, ends

Times are CLOCK_REALTIME seconds, to be compared with those of other processes.
"""

import errno
import json
import select
import socket
import sys
import time
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

ANSWER_LIMIT_SECONDS = 1.5  # a datagram unanswered for longer is lost
_RECONNECT_SECONDS = 0.1
_MOST_EVENTS = 20000


@dataclass
class Target:
    """One service: where its numbered messages go, and how many flows."""

    service: str
    address: str
    tcp_port: int
    udp_port: int
    connections: int
    datagram_flows: int


@dataclass
class LoadPlan:
    targets: list[Target]
    messages_per_second: float = 5.0  # on each TCP connection
    datagrams_per_second: float = 20.0  # on each UDP flow


@dataclass
class Totals:
    """What happened since the start. Events are [time, service, backend, how many]."""

    sent: int = 0
    answered: int = 0
    connected: int = 0
    refused: int = 0  # connections that could not be made
    open: dict = field(default_factory=dict)  # service -> backend -> living flows
    moved: list = field(default_factory=list)
    broken: list = field(default_factory=list)
    lost: list = field(default_factory=list)  # messages never answered; time = when sent
    slow: list = field(default_factory=list)  # slowest answer of each tenth of a second, seconds

    def event(self, events: list, *what) -> None:
        if len(events) < _MOST_EVENTS:
            events.append(list(what))


class Flow:
    """One socket and the numbers that wait for their answer."""

    def __init__(self, target: Target, kind: int):
        self.target = target
        self.kind = kind
        self.socket: socket.socket | None = None
        self.connected = False
        self.backend = ""
        self.number = 0
        self.waiting: deque[tuple[int, float, str]] = deque()  # number, sent at, backend
        self.partial = b""
        self.retired = False
        self.again_at = 0.0
        self.answer_to = 0.0  # when the newest answered message was sent

    def open(self) -> int:
        family = socket.AF_INET6 if ":" in self.target.address else socket.AF_INET
        opened = socket.socket(family, self.kind)
        opened.setblocking(False)
        stream = self.kind == socket.SOCK_STREAM
        if stream:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        port = self.target.tcp_port if stream else self.target.udp_port
        result = opened.connect_ex((self.target.address, port))
        if result not in (0, errno.EINPROGRESS):
            opened.close()
            return -1
        self.socket = opened
        self.connected = not stream
        self.number = 0
        self.waiting.clear()
        self.partial = b""
        return opened.fileno()


class Load:
    """Runs one kind of flow (TCP or UDP) at its pace. All of it on one thread."""

    def __init__(self, kind: int, rate: float, poll: select.epoll):
        self.kind = kind
        self.stream = kind == socket.SOCK_STREAM
        self.totals = Totals()
        self.flows: list[Flow] = []
        self.by_descriptor: dict[int, Flow] = {}
        self._period = 1.0 / rate
        self._poll = poll
        self._next = 0
        self._started = 0.0
        self._slowest = 0.0

    def start(self, now: float) -> None:
        self._started = now
        for flow in self.flows:
            self._open(flow, now)

    # Flow i is due at start + (round + i / flows) * period: evenly spread, without a timer each.
    def send_due(self, now: float) -> None:
        if not self.flows:
            return
        due = int((now - self._started) / self._period * len(self.flows))
        while self._next < due:
            self._send(self.flows[self._next % len(self.flows)], now)
            self._next += 1

    def next_due(self) -> float:
        if not self.flows:
            return float("inf")
        return self._started + self._next * self._period / len(self.flows)

    def _send(self, flow: Flow, now: float) -> None:
        if flow.socket is None:
            if now >= flow.again_at and not flow.retired:
                self._open(flow, now)
            return
        if not flow.connected:
            return
        if flow.retired:
            if not flow.waiting:
                self._close(flow)
            return
        flow.number += 1
        message = b"%d\n" % flow.number if self.stream else b"%d" % flow.number
        try:
            flow.socket.send(message)
        except BlockingIOError:
            flow.number -= 1
            return
        except OSError:
            if self.stream:
                self._break(flow, now)
                return
        flow.waiting.append((flow.number, now, flow.backend))
        self.totals.sent += 1

    def receive(self, flow: Flow, events: int, now: float) -> None:
        if not flow.connected:
            self._finish_connecting(flow, now)
            return
        while flow.socket is not None:
            try:
                received = flow.socket.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                received = b""
                if not self.stream:
                    return
            if not received and self.stream:
                self._break(flow, now)
                return
            *answers, flow.partial = (flow.partial + received).split(b"\n")
            for answer in answers:
                self._take(flow, answer, now)

    def _take(self, flow: Flow, answer: bytes, now: float) -> None:
        number_text, _, backend = answer.decode(errors="replace").partition(" ")
        number = int(number_text) if number_text.isdigit() else -1
        if flow.backend and backend != flow.backend:
            self.totals.event(self.totals.moved, now, flow.target.service, flow.backend, backend)
        flow.backend = backend
        while flow.waiting and flow.waiting[0][0] <= number:
            expected, sent_at, sent_to = flow.waiting.popleft()
            if expected == number:
                self.totals.answered += 1
                flow.answer_to = sent_at
                self._note_delay(now, now - sent_at)
            else:
                self._lose(flow, sent_at, sent_to)

    def _note_delay(self, now: float, delay: float) -> None:
        slow = self.totals.slow
        if not slow or now - slow[-1][0] >= 0.1:
            self.totals.event(slow, now, delay)
        elif delay > slow[-1][1]:
            slow[-1][1] = delay

    def _lose(self, flow: Flow, sent_at: float, sent_to: str) -> None:
        self.totals.event(self.totals.lost, sent_at, flow.target.service, sent_to, 1)

    def expire(self, now: float) -> None:
        """Counts as lost what has waited too long. A stream may be late, it cannot lose."""
        if self.stream:
            return
        for flow in self.flows:
            while flow.waiting and now - flow.waiting[0][1] > ANSWER_LIMIT_SECONDS:
                self._lose(flow, *flow.waiting.popleft()[1:])

    def _open(self, flow: Flow, now: float) -> None:
        descriptor = flow.open()
        if descriptor < 0:
            self.totals.refused += 1
            flow.again_at = now + _RECONNECT_SECONDS
            return
        self.by_descriptor[descriptor] = flow
        wanted = select.EPOLLIN if flow.connected else select.EPOLLIN | select.EPOLLOUT
        self._poll.register(descriptor, wanted)
        if flow.connected:
            self.totals.connected += 1

    def _finish_connecting(self, flow: Flow, now: float) -> None:
        assert flow.socket is not None
        if flow.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0:
            self.totals.refused += 1
            self._close(flow)
            flow.again_at = now + _RECONNECT_SECONDS
            return
        flow.connected = True
        self.totals.connected += 1
        self._poll.modify(flow.socket.fileno(), select.EPOLLIN)

    def _break(self, flow: Flow, now: float) -> None:
        where = (now, flow.target.service, flow.backend)
        self.totals.event(self.totals.broken, *where, len(flow.waiting))
        self._close(flow)
        flow.again_at = now + _RECONNECT_SECONDS

    def _close(self, flow: Flow) -> None:
        assert flow.socket is not None
        self._poll.unregister(flow.socket.fileno())
        del self.by_descriptor[flow.socket.fileno()]
        flow.socket.close()
        flow.socket = None
        flow.connected = False
        flow.backend = ""
        flow.waiting.clear()

    def retire(self, service: str, backend: str) -> int:
        """Sends no more on these flows; each ends with its last answer, for good."""
        ended = 0
        for flow in self.flows:
            if flow.socket and (flow.target.service, flow.backend) == (service, backend):
                flow.retired = True
                ended += 1
        return ended

    def report(self) -> dict:
        living: dict[str, Counter] = {}
        for flow in self.flows:
            if flow.socket is not None and flow.connected:
                living.setdefault(flow.target.service, Counter())[flow.backend] += 1
        self.totals.open = {service: dict(counts) for service, counts in living.items()}
        waiting = [flow.waiting[0][1] for flow in self.flows if flow.waiting]
        oldest = time.time() - min(waiting) if waiting else 0.0
        return asdict(self.totals) | {"waiting": len(waiting), "oldest_waiting_s": oldest}


class MessageClient:
    def __init__(self, plan: LoadPlan):
        self._poll = select.epoll()
        self.tcp = Load(socket.SOCK_STREAM, plan.messages_per_second, self._poll)
        self.udp = Load(socket.SOCK_DGRAM, plan.datagrams_per_second, self._poll)
        for target in plan.targets:
            self.tcp.flows += [Flow(target, self.tcp.kind) for _ in range(target.connections)]
            self.udp.flows += [Flow(target, self.udp.kind) for _ in range(target.datagram_flows)]
        self._sending = True

    def run(self) -> None:
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        for load in (self.tcp, self.udp):
            load.start(time.time())
        expire_at = time.time()
        while True:
            self._turn()
            now = time.time()
            if now >= expire_at:
                self.tcp.expire(now)
                self.udp.expire(now)
                expire_at = now + 0.25
            if not self._sending and now > self._stopped_at + ANSWER_LIMIT_SECONDS + 0.5:
                self._say(self._report())
                return

    def _turn(self) -> None:
        next_due = min(self.tcp.next_due(), self.udp.next_due())
        pause = max(0.0, min(0.05, next_due - time.time())) if self._sending else 0.05
        for descriptor, events in self._poll.poll(pause):
            if descriptor == sys.stdin.fileno():
                self._command(sys.stdin.readline().split())
                continue
            for load in (self.tcp, self.udp):
                flow = load.by_descriptor.get(descriptor)
                if flow is not None:
                    load.receive(flow, events, time.time())
        if self._sending:
            self.tcp.send_due(time.time())
            self.udp.send_due(time.time())

    def _command(self, words: list[str]) -> None:
        match words:
            case ["report"]:
                self._say(self._report())
            case ["close", service, backend]:
                loads = (self.tcp, self.udp)
                self._say({"closed": sum(load.retire(service, backend) for load in loads)})
            case ["stop"]:
                self._sending = False
                self._stopped_at = time.time()
                self._poll.unregister(sys.stdin.fileno())
            case []:
                sys.exit(0)  # whoever started us is gone

    def _report(self) -> dict:
        flows = self.tcp.flows + self.udp.flows
        return {
            "time": time.time(),
            "unanswered_flows": sum(1 for flow in flows if not flow.backend and not flow.retired),
            "oldest_answer_to": min(
                (flow.answer_to for flow in flows if not flow.retired), default=0.0
            ),
            "tcp": self.tcp.report(),
            "udp": self.udp.report(),
        }

    def _say(self, answer: dict) -> None:
        print(json.dumps(answer), flush=True)


def read_plan(text: str) -> LoadPlan:
    values = json.loads(text)
    values["targets"] = [Target(**target) for target in values["targets"]]
    return LoadPlan(**values)


if __name__ == "__main__":
    MessageClient(read_plan(sys.argv[1])).run()
