"""A server of files on loopback that can be told to fail."""

import threading
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from dfd.videos import remote
from tests.loopback import Loopback


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; of some files the first answers are that it is busy."""

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
    """A folder, and the URL of it as a path."""
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
