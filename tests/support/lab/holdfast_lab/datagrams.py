# SPDX-License-Identifier: Apache-2.0
"""Datagrams that take several fragments, and a server that sends each back. A program of its own,
run inside a namespace:

    datagrams.py serve PORT ADDRESS...
    datagrams.py ask ADDRESS PORT BYTES COUNT    prints how many came back as they were sent
"""

import random
import select
import socket
import sys

_MOST_BYTES = 65536
_ANSWER_SECONDS = 2.0


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def serve(port: int, addresses: list[str]) -> None:
    poll = select.epoll()
    sockets = {}
    for address in addresses:  # one each, so that the answer leaves from the address that was asked
        one = socket.socket(_family(address), socket.SOCK_DGRAM)
        one.bind((address, port))
        poll.register(one.fileno(), select.EPOLLIN)
        sockets[one.fileno()] = one
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            data, sender = sockets[descriptor].recvfrom(_MOST_BYTES)
            sockets[descriptor].sendto(data, sender)


def ask(address: str, port: int, size: int, count: int) -> int:
    """One after the other, so that no queue on the way is full."""
    same = 0
    with socket.socket(_family(address), socket.SOCK_DGRAM) as own:
        own.settimeout(_ANSWER_SECONDS)
        own.connect((address, port))
        for _ in range(count):
            data = random.randbytes(size)
            own.send(data)
            try:
                same += own.recv(_MOST_BYTES) == data
            except TimeoutError:
                break
    return same


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]), sys.argv[3:])
    else:
        print(ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
