# SPDX-License-Identifier: Apache-2.0
"""How long the answers of a UDP echo take when there is nothing else to do. A program:

    echo_delay.py ADDRESS PORT COUNT INTERVAL_MS

One datagram at a time, each from the next of sixteen sockets, so that the flows have several owners;
between two of them the line is silent. Prints the delays in microseconds and how many were lost.
"""

import json
import socket
import statistics
import sys
import time

_SOCKETS = 16
_LIMIT_SECONDS = 2.0


def measure(address: str, port: int, count: int, interval_ms: float) -> dict:
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(_SOCKETS)]
    for one in sockets:
        one.settimeout(_LIMIT_SECONDS)
        one.connect((address, port))
    delays = []
    lost = 0
    for number in range(-_SOCKETS, count):  # each flow's first one makes its entry
        one = sockets[number % _SOCKETS]
        start = time.perf_counter()
        one.send(str(number).encode())
        try:
            one.recv(100)
        except TimeoutError:
            lost += 1
            continue
        if number >= 0:
            delays.append((time.perf_counter() - start) * 1e6)
        time.sleep(interval_ms / 1000)
    cuts = statistics.quantiles(delays, n=100)
    return {"p50": cuts[49], "p90": cuts[89], "p99": cuts[98], "lost": lost}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))))
