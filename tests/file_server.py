"""A file server on loopback that can be made to fail."""

import time
from collections import Counter
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import pytest

from dfd.videos import remote
from tests.loopback import Loopback


class Handler(SimpleHTTPRequestHandler):
    """Serve a folder. The first requests for some files get status 503, half of the file, or nothing for a second."""

    def do_GET(self):
        name = self.path.rsplit("/", 1)[-1]
        self.server.asked[name] += 1
        if self.server.asked[name] <= self.server.busy.get(name, 0):
            self.send_error(503)
        elif self.server.asked[name] <= self.server.cut.get(name, 0):
            content = (self.server.folder / name).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
        else:
            if self.server.asked[name] <= self.server.silent.get(name, 0):
                time.sleep(1.0)
            super().do_GET()

    def do_HEAD(self):
        name = self.path.rsplit("/", 1)[-1]
        if self.server.asked[name] < self.server.busy.get(name, 0):
            self.send_error(503)
        else:
            super().do_HEAD()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve the empty folder `server.folder`; `server.place` is its URL, as a path."""
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    folder = tmp_path / "served"
    folder.mkdir()
    server = Loopback(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    server.asked, server.busy, server.cut, server.silent, server.folder = Counter(), {}, {}, {}, folder
    server.place = Path(f"http://127.0.0.1:{server.server_port}")
    with server.running():
        yield server
