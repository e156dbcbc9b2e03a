"""A TCP proxy that serves, stalls, resets, answers with errors or cuts answers off, in front of a real server."""

import socket
import socketserver
import struct
import threading
from contextlib import suppress

UNAVAILABLE = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
MODES = ("serve", "stall", "reset", "error", "cut")
CUT_BYTES = 2000  # of an answer that is cut off: its header and the start of its body


class FaultProxy(socketserver.ThreadingTCPServer):
    """Forwards connections to a server on this machine.

    Args:
        port: of the server.

    Attributes:
        mode: how the next requests are treated: "serve", "stall" (accepted, never answered), "reset" (closed by RST),
            "error" (status 503) or "cut" (an answer of more than `CUT_BYTES` ends there).
        every: only each so many-th request is treated so, the others are served.
        faults: number of requests that were not served.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int):
        super().__init__(("127.0.0.1", 0), _Connection)
        self.target, self.mode, self.every, self.faults, self._requests = port, "serve", 1, 0, 0
        self._lock = threading.Lock()
        self.open = threading.Event()  # set: stalled connections are closed
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def set(self, mode: str, every: int = 1) -> None:
        """Change the mode; "serve" also ends the connections that were stalled."""
        assert mode in MODES
        self.mode, self.every = mode, every
        self.open.set()
        self.open = threading.Event()

    def next_mode(self) -> str:
        """How the next request is treated."""
        with self._lock:
            self._requests += 1
            mode = self.mode if self._requests % self.every == 0 else "serve"
            self.faults += mode != "serve"
            return mode


class _Connection(socketserver.BaseRequestHandler):
    server: FaultProxy
    left: int | None = None  # bytes of the answer before it is cut off

    def handle(self) -> None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.target)) as upstream:
            threading.Thread(target=self._answer, args=(upstream,), daemon=True).start()
            while data := self.request.recv(1 << 16):
                mode = self.server.next_mode() if _begins_request(data) else "serve"
                if mode == "stall":
                    self.server.open.wait()
                    return
                if mode == "reset":
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    self.request.close()
                    return
                if mode == "error":
                    self.request.sendall(UNAVAILABLE)
                    return
                self.left = CUT_BYTES if mode == "cut" else None
                upstream.sendall(data)

    def _answer(self, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := upstream.recv(1 << 16):
                self.request.sendall(data[: self.left])
                if self.left is not None:
                    self.left -= min(self.left, len(data))
                    if not self.left:
                        break
            self.request.shutdown(socket.SHUT_RDWR)


def _begins_request(data: bytes) -> bool:
    return data.startswith((b"GET ", b"HEAD ", b"PUT ", b"POST ", b"DELETE "))
