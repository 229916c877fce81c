"""Messages between a child process and its parent: a length, then a JSON object. Knows not what they say.

Never pickle: a child handles untrusted input, so its words are data, checked by whoever reads them.
"""

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct("!I")
MAX_HEADER_BYTES = 1 << 20

Header = dict[str, Any]


def pack(header: Header) -> bytes:
    text = json.dumps(header).encode()
    return LENGTH.pack(len(text)) + text


def unpack(text: bytes) -> Header:
    """The JSON object of a message; ValueError where it is none."""
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("a message is a JSON object")
    return header


def receive(connection: socket.socket) -> Header | None:
    """The child's side: the next message; None when the parent has closed the socket."""
    prefix = connection.recv(LENGTH.size, socket.MSG_WAITALL)
    if len(prefix) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(prefix)
    text = connection.recv(length, socket.MSG_WAITALL)
    return unpack(text) if len(text) == length else None
