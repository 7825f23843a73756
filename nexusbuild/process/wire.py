"""What builder, fork server and children say to each other, as bytes.

- A request is 4 bytes of length and a JSON object. It carries descriptors: the write end of the
  pipe that its run reports to, and the store's lock.
- A report is JSON lines.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

LENGTH = struct.Struct("!I")
WARM = b"W"


def write_line(descriptor: int, message: Mapping[str, Any]) -> None:
    """Write one JSON line to a report pipe; that nobody reads it is not an error."""
    # The leading line break ends what a killed child may have left half written.
    rest = b"\n" + json.dumps(message).encode() + b"\n"
    with contextlib.suppress(BrokenPipeError):
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def send_request(
    control: socket.socket, request: Mapping[str, Any], report: int, *held: int
) -> None:
    """Send one request, with the write end of the pipe that its run reports to.

    held: at most one more descriptor, which the child is to hold until it ends.
    """
    body = json.dumps(request, default=_plain).encode()
    socket.send_fds(control, [LENGTH.pack(len(body))], [report, *held])
    control.sendall(body)


def receive_request(control: socket.socket) -> tuple[Any, ...] | None:
    """The next request, its report pipe, and what else it is to hold; None at the end."""
    head, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 2)
    if not head or not descriptors:
        return None
    head += _receive(control, LENGTH.size - len(head))
    body = _receive(control, LENGTH.unpack(head)[0]) if len(head) == LENGTH.size else b""
    if not body:
        return None
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (json.loads(body), *descriptors)


def _receive(control: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes, or none where the builder has gone meanwhile."""
    parts = bytearray()
    while len(parts) < count:
        part = control.recv(count - len(parts))
        if not part:
            return b""
        parts += part
    return bytes(parts)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return os.fspath(value)  # type: ignore[call-overload]
