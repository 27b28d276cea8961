# SPDX-License-Identifier: Apache-2.0
"""Datagrams at a steady rate, and their counting. A program:

    send ADDRESS PORT RATE SECONDS   from one socket; prints how many
    count ADDRESS PORT               until its input ends; prints how many came

Sixteen go with each system call (UDP segmentation), so that 10 kpps cost a sender in Python little.
"""

import json
import select
import socket
import sys
import time

_UDP_SEGMENT = 103  # linux/udp.h
_SEGMENTS = 16
_PAYLOAD = 22  # 64 bytes on the wire
_RECEIVE_BUFFER = 16 << 20
_SO_RCVBUFFORCE = 33


def send(address: str, port: str, rate: str, seconds: str) -> None:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _PAYLOAD)
    data = bytes(_PAYLOAD * _SEGMENTS)
    sent = 0
    start = time.monotonic()
    while sent < float(rate) * float(seconds):
        ahead = sent / float(rate) - (time.monotonic() - start)
        if ahead > 0:
            time.sleep(ahead)
        sender.sendto(data, (address, int(port)))  # not connected: a refusal is not heard
        sent += _SEGMENTS
    print(json.dumps({"sent": sent, "seconds": time.monotonic() - start}))


def count(address: str, port: str) -> None:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
    except PermissionError:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
    receiver.bind((address, int(port)))
    receiver.setblocking(False)
    print("ready", flush=True)
    received = 0
    ended = False
    while not ended:
        ready = select.select([receiver, sys.stdin], [], [])[0]
        ended = sys.stdin in ready and not sys.stdin.readline()
        try:
            while True:
                receiver.recv(100)
                received += 1
        except BlockingIOError:
            pass
    print(json.dumps({"received": received}))


if __name__ == "__main__":
    {"send": send, "count": count}[sys.argv[1]](*sys.argv[2:])
