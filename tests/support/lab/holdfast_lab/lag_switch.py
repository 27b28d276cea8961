# SPDX-License-Identifier: Apache-2.0
"""A switch with one link aggregation group: the far end of a bond. A program:

    lag_switch.py MODE NAMESPACE UPLINK LINK...

MODE `lacp`: speaks IEEE 802.1AX-2020 (LACPDUs: clause 6.4.2.3) on the LINKs, and sends only over those
whose other end has said that it is in step. MODE `none`: a switch that knows of no group, learns where
a station is, and floods. The LINKs are in this network namespace, the UPLINK in NAMESPACE. Nothing
leaves by a link whose interface is down. Ends with its input.
"""

import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field

sys.path.insert(0, __file__.rsplit("/", 2)[0])
from holdfast_lab.environment import set_namespace  # noqa: E402

_ETH_P_ALL = 3
_SOL_PACKET = 263
_IGNORE_OUTGOING = 23  # PACKET_IGNORE_OUTGOING
_SLOW = bytes.fromhex("0180c2000002")
_SLOW_TYPE = 0x8809
_LACP = 1
_SYSTEM = bytes.fromhex("020000005a01")
_INFORMATION = struct.Struct("!BBH6sHHHB3x")  # of an actor or a partner
_ACTIVE, _SHORT, _AGGREGATION, _SYNC, _COLLECTING, _DISTRIBUTING = (1 << bit for bit in range(6))
_PERIOD_SECONDS = 1.0
_SILENCE_SECONDS = 3.0
_RECEIVE_BUFFER = 8 << 20


@dataclass
class Link:
    name: str
    number: int
    socket: socket.socket
    partner: tuple = (0, bytes(6), 0, 0, 0, 0)  # what it last said of itself
    heard_at: float = field(default=-_SILENCE_SECONDS)
    sent_at: float = 0.0

    def is_heard(self) -> bool:
        return time.monotonic() - self.heard_at < _SILENCE_SECONDS

    def state(self) -> int:
        state = _ACTIVE | _SHORT | _AGGREGATION
        if self.is_heard():
            state |= _SYNC
            if self.partner[5] & _SYNC:
                state |= _COLLECTING | _DISTRIBUTING
        return state

    def carries(self) -> bool:
        in_step = _SYNC | _COLLECTING
        return self.is_heard() and self.partner[5] & in_step == in_step

    def hear(self, frame: bytes) -> None:
        said = _INFORMATION.unpack_from(frame, 16)
        self.partner, self.heard_at = said[2:], time.monotonic()

    def send_lacp(self) -> None:
        self.sent_at = time.monotonic()
        partner = self.partner if self.is_heard() else (0, bytes(6), 0, 0, 0, 0)
        actor = (0x8000, _SYSTEM, 1, 0x8000, self.number, self.state())
        frame = _SLOW + _SYSTEM[:5] + bytes([self.number]) + struct.pack("!HBB", _SLOW_TYPE, _LACP, 1)
        frame += _INFORMATION.pack(1, 20, *actor) + _INFORMATION.pack(2, 20, *partner)
        frame += struct.pack("!BBH12x", 3, 16, 0) + bytes(52)
        self.send(frame)

    def send(self, frame: bytes) -> bool:
        try:
            self.socket.send(frame)
            return True
        except OSError:  # its interface is down, so its other end has to begin anew
            self.heard_at = -_SILENCE_SECONDS
            return False


class Switch:
    def __init__(self, mode: str, uplink: socket.socket, links: list[Link]):
        self._lacp = mode == "lacp"
        self._uplink = uplink
        self._links = links
        self._where: dict[bytes, Link] = {}

    def serve(self) -> None:
        by_descriptor = {link.socket.fileno(): link for link in self._links}
        poll = select.poll()
        for descriptor in (sys.stdin.fileno(), self._uplink.fileno(), *by_descriptor):
            poll.register(descriptor, select.POLLIN)
        while True:
            for descriptor, _ in poll.poll(100):
                if descriptor == sys.stdin.fileno():
                    return
                if descriptor == self._uplink.fileno():
                    self._drain(self._uplink, self._from_uplink)
                else:
                    link = by_descriptor[descriptor]
                    self._drain(link.socket, lambda frame, link=link: self._from_link(link, frame))
            if self._lacp:
                self._speak()

    @staticmethod
    def _drain(source: socket.socket, take) -> None:
        try:
            while True:
                take(source.recv(65536))
        except OSError:  # no more, or its interface went down
            pass

    def _speak(self) -> None:
        for link in self._links:
            if time.monotonic() - link.sent_at >= _PERIOD_SECONDS:
                link.send_lacp()

    def _from_link(self, link: Link, frame: bytes) -> None:
        if frame[:6] == _SLOW:
            if self._lacp and frame[12:15] == struct.pack("!HB", _SLOW_TYPE, _LACP):
                before = link.state()
                link.hear(frame)
                if link.state() != before:
                    link.send_lacp()
            return
        self._where[frame[6:12]] = link
        self._uplink.send(frame)

    def _from_uplink(self, frame: bytes) -> None:
        if self._lacp:
            while carrying := [link for link in self._links if link.carries()]:
                if carrying[hash(frame[26:38]) % len(carrying)].send(frame):
                    break
            return
        known = self._where.get(frame[:6])
        if known is None or not known.send(frame):
            for link in self._links:
                link.send(frame)


def packet_socket(interface: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    made.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    made.bind((interface, _ETH_P_ALL))
    made.setblocking(False)
    return made


def main(mode: str, namespace: str, uplink: str, *names: str) -> None:
    links = [Link(name, number, packet_socket(name)) for number, name in enumerate(names, 1)]
    set_namespace(namespace)
    print("ready", flush=True)
    Switch(mode, packet_socket(uplink), links).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
