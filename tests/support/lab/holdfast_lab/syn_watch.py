# SPDX-License-Identifier: Apache-2.0
"""Sees the connection attempts that reach a backend: a second witness beside Holdfast's counters.

    syn_watch.py INTERFACE IGNORED_SOURCE

Listens with a packet socket, and on end of input prints one line of JSON: for each destination
address the number of IPv4 SYNs and the CLOCK_REALTIME of the last one. Probes (from the balancer's
own address) are left out.
"""

import json
import select
import socket
import sys
import time

_SYN, _ACK = 0x02, 0x10
_ETHERTYPE_IPV4 = 0x0800


def read_syn(frame: bytes) -> tuple[str, str] | None:
    """The source and destination of a TCP SYN over IPv4; None for anything else."""
    if len(frame) < 54 or frame[12:14] != b"\x08\x00" or frame[23] != socket.IPPROTO_TCP:
        return None
    transport = 14 + (frame[14] & 15) * 4
    if len(frame) < transport + 14 or frame[transport + 13] & (_SYN | _ACK) != _SYN:
        return None
    return socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])


def watch(interface: str, ignored: str) -> dict[str, list]:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_IPV4))
    packets.bind((interface, _ETHERTYPE_IPV4))
    print("ready", flush=True)
    seen: dict[str, list] = {}
    while True:
        readable, _, _ = select.select([packets, sys.stdin], [], [])
        if sys.stdin in readable:
            return seen
        found = read_syn(packets.recv(2048))
        if found is not None and found[0] != ignored:
            entry = seen.setdefault(found[1], [0, 0.0])
            entry[0] += 1
            entry[1] = time.time()


if __name__ == "__main__":
    print(json.dumps(watch(sys.argv[1], sys.argv[2])), flush=True)
