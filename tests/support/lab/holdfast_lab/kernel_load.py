# SPDX-License-Identifier: Apache-2.0
"""What routers say to the balancer's kernel, and a flood beside it. A program:

    serve ADDRESS                    answers on the ports of BGP and BFD, until it is ended
    ask ADDRESS ADDRESS6 DEVICE S    for S seconds, one question at a time of each protocol: a BGP-like
                                     TCP session, BFD-like datagrams, ARP and neighbour solicitations
    flood ADDRESS RATE S             datagrams that nobody wants, RATE a second

`ask` and `flood` print JSON. A question that is not answered within a second is lost.
"""

import fcntl
import json
import selectors
import socket
import struct
import sys
import threading
import time

BGP = 179
BFD = 3784
DISCARD = 9
PAUSE_SECONDS = 0.005
ANSWER_SECONDS = 1.0
_UDP_SEGMENT = 103  # linux/udp.h
_SIOCGIFHWADDR = 0x8927
_ETH_P_ARP = 0x0806
_SEGMENTS = 64
_PAYLOAD = 18  # of a minimal Ethernet frame


def serve(address: str) -> None:
    ready = selectors.DefaultSelector()
    listener = socket.create_server((address, BGP))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind((address, BFD))
    for one in (listener, datagrams):
        ready.register(one, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                ready.register(listener.accept()[0], selectors.EVENT_READ)
            elif key.fileobj is datagrams:
                data, sender = datagrams.recvfrom(100)
                datagrams.sendto(data, sender)
            elif data := key.fileobj.recv(4096):
                key.fileobj.sendall(data)
            else:
                ready.unregister(key.fileobj)


class Bgp:
    def __init__(self, address: str):
        self.socket = socket.create_connection((address, BGP), ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, number: int) -> bool:
        self.socket.sendall(struct.pack("!I", number))
        return self.socket.recv(4) == struct.pack("!I", number)


class Bfd:
    def __init__(self, address: str):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(ANSWER_SECONDS)
        self.socket.connect((address, BFD))

    def ask(self, number: int) -> bool:
        self.socket.send(struct.pack("!I", number))
        return self.socket.recv(100) == struct.pack("!I", number)


class Arp:
    def __init__(self, address: str, device: str):
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
        self.socket.bind((device, _ETH_P_ARP))
        self.socket.settimeout(ANSWER_SECONDS)
        request = struct.pack("16s16x", device.encode())
        mac = fcntl.ioctl(self.socket, _SIOCGIFHWADDR, request)[18:24]
        self.target = socket.inet_aton(address)
        self.frame = b"\xff" * 6 + mac + struct.pack("!HHHBBH", _ETH_P_ARP, 1, 0x0800, 6, 4, 1)
        self.frame += mac + socket.inet_aton("203.0.113.1") + bytes(6) + self.target

    def ask(self, _: int) -> bool:
        self.socket.send(self.frame)
        while True:
            answer = self.socket.recv(100)
            if answer[20:22] == b"\0\2" and answer[28:32] == self.target:
                return True


class Solicitation:
    def __init__(self, address: str):
        self.socket = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        self.socket.settimeout(ANSWER_SECONDS)
        self.address = address
        self.target = socket.inet_pton(socket.AF_INET6, address)

    def ask(self, _: int) -> bool:
        self.socket.sendto(struct.pack("!BBHI", 135, 0, 0, 0) + self.target, (self.address, 0))
        while True:
            answer = self.socket.recv(100)
            if answer[0] == 136 and answer[8:24] == self.target:
                return True


def ask(address: str, address6: str, device: str, seconds: str) -> None:
    askers = {
        "bgp": Bgp(address),
        "bfd": Bfd(address),
        "arp": Arp(address, device),
        "nd": Solicitation(address6),
    }
    results = {name: {"asked": 0, "lost": 0} for name in askers}
    end = time.monotonic() + float(seconds)

    def run(name: str) -> None:
        while time.monotonic() < end:
            results[name]["asked"] += 1
            try:
                answered = askers[name].ask(results[name]["asked"])
            except TimeoutError:
                answered = False
            results[name]["lost"] += not answered
            time.sleep(PAUSE_SECONDS)

    threads = [threading.Thread(target=run, args=(name,)) for name in askers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(results))


def flood(address: str, rate: str, seconds: str) -> None:
    """64 datagrams with each system call: the kernel takes them apart (UDP segmentation)."""
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD)
    sender.connect((address, DISCARD))
    data = bytes(_PAYLOAD * _SEGMENTS)
    sent = 0
    start = time.monotonic()
    while (passed := time.monotonic() - start) < float(seconds):
        if sent > passed * float(rate):
            time.sleep(0.0002)
            continue
        try:
            sender.send(data)
            sent += _SEGMENTS
        except ConnectionRefusedError:  # of an earlier one
            pass
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - start}))


if __name__ == "__main__":
    {"serve": serve, "ask": ask, "flood": flood}[sys.argv[1]](*sys.argv[2:])
