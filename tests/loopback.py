"""Base class of the HTTP servers in tests."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any


class Loopback(ThreadingHTTPServer):
    """A server that ignores clients disconnecting at any time."""

    daemon_threads = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Context in which a thread answers requests; the server is closed at the end."""
        thread = threading.Thread(target=self.serve_forever, args=(0.01,))  # seconds until it sees shutdown()
        thread.start()
        try:
            yield
        finally:
            self.shutdown()
            self.server_close()
            thread.join()

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
