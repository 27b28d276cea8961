# SPDX-License-Identifier: Apache-2.0
"""A backend's message server: answers every numbered message with the number and its own name.

    message_server.py NAME PORT_TCP PORT_UDP ADDRESS...

TCP: one number per line, on any address. UDP: one number per datagram, on the addresses given (one
socket each, so that the answer leaves from the address that was asked). One thread, one epoll:
hundreds of connections cost it a few per cent of a core.
"""

import select
import socket
import sys

_ACCEPT_BACKLOG = 4096
_READ_BYTES = 65536


class MessageServer:
    def __init__(self, name: str, tcp_port: int, udp_port: int, addresses: list[str]):
        self._suffix = b" " + name.encode() + b"\n"
        self._poll = select.epoll()
        self._connections: dict[int, socket.socket] = {}
        self._partial: dict[int, bytes] = {}
        self._listener = _listen(tcp_port)
        self._poll.register(self._listener.fileno(), select.EPOLLIN)
        self._datagrams: dict[int, socket.socket] = {}
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            datagram = socket.socket(family, socket.SOCK_DGRAM)
            datagram.setblocking(False)
            datagram.bind((address, udp_port))
            self._datagrams[datagram.fileno()] = datagram
            self._poll.register(datagram.fileno(), select.EPOLLIN)

    def serve(self) -> None:
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor in self._connections:
                    self._answer_stream(descriptor)
                elif descriptor in self._datagrams:
                    self._answer_datagrams(self._datagrams[descriptor])
                else:
                    self._accept()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections[connection.fileno()] = connection
            self._partial[connection.fileno()] = b""
            self._poll.register(connection.fileno(), select.EPOLLIN)

    def _answer_stream(self, descriptor: int) -> None:
        connection = self._connections[descriptor]
        try:
            received = connection.recv(_READ_BYTES)
            if received:
                *numbers, rest = (self._partial[descriptor] + received).split(b"\n")
                self._partial[descriptor] = rest
                if numbers:
                    connection.send(b"".join(number + self._suffix for number in numbers))
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._poll.unregister(descriptor)
        del self._connections[descriptor], self._partial[descriptor]
        connection.close()

    def _answer_datagrams(self, datagram: socket.socket) -> None:
        while True:
            try:
                number, client = datagram.recvfrom(2048)
                datagram.sendto(number + self._suffix, client)
            except BlockingIOError:
                return
            except OSError:
                continue


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setblocking(False)
    listener.bind(("::", port))
    listener.listen(_ACCEPT_BACKLOG)
    return listener


if __name__ == "__main__":
    server = MessageServer(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    print("ready", flush=True)
    server.serve()
