"""A file server on loopback that can answer the first requests with errors."""

import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from dfd.videos import remote
from tests.loopback import Loopback


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder; the first requests for some files get status 503."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked[name] += 1
        if self.server.asked[name] <= self.server.busy.get(name, 0):
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the empty folder `server.folder`; `server.place` is its URL, as a path."""
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    folder = tmp_path / "served"
    folder.mkdir()
    server = Loopback(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.asked, server.busy, server.folder = Counter(), {}, folder
    server.place = Path(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
