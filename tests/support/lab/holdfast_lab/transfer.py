# SPDX-License-Identifier: Apache-2.0
"""One long TCP transfer in both directions, by ordinary sockets of ordinary kernels.

    transfer.py serve PORT
    transfer.py send HOST PORT BYTES SECONDS

The server reads until the client has ended its side, then sends as much back as it got. The client
prints a JSON object: bytes sent and got back, whether they are the same, and the segment size that
its kernel used in the end. It gives up after SECONDS in which nothing moves.
"""

import json
import socket
import sys
import threading
import zlib

_CHUNK = 65536


def _pattern(size: int) -> bytes:
    return bytes(number % 251 for number in range(size))


def _read_all(connection: socket.socket) -> tuple[int, int]:
    """How many bytes came until the end, and their checksum."""
    count, checksum = 0, 0
    while data := connection.recv(_CHUNK):
        count += len(data)
        checksum = zlib.crc32(data, checksum)
    return count, checksum


def _answer(connection: socket.socket) -> None:
    try:
        with connection:
            count, _ = _read_all(connection)
            connection.sendall(_pattern(count))
    except OSError:
        pass  # the client gave up


def serve(port: int) -> None:
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def send(host: str, port: int, size: int, seconds: float) -> dict:
    told = {"sent": 0, "received": 0, "same": False, "segment": 0}
    data = _pattern(size)
    try:
        with socket.create_connection((host, port), timeout=seconds) as connection:
            for at in range(0, size, _CHUNK):
                connection.sendall(data[at : at + _CHUNK])
                told["sent"] += len(data[at : at + _CHUNK])
            connection.shutdown(socket.SHUT_WR)
            told["received"], checksum = _read_all(connection)
            told["same"] = (told["received"], checksum) == (size, zlib.crc32(data))
            told["segment"] = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    except OSError as error:
        told["error"] = str(error)
    return told


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(int(sys.argv[2]))
    else:
        print(json.dumps(send(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))))
