"""The HTTP server behind those that tests talk to."""

import sys
from http.server import ThreadingHTTPServer
from typing import Any


class Loopback(ThreadingHTTPServer):
    """A client may hang up at any time: that is no error of the server, and nothing to print."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)
