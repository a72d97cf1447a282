"""Kaggle's API on loopback, with answers recorded from Kaggle for its real command line."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.loopback import Loopback


class Server(Loopback):
    """Requests received, and the answers to give. fail: method name to (HTTP status, message) or "drop".

    on_push: called with slug and text of a pushed kernel. outputs: files per kernel; output: files of all others.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, Any]] = []
        self.fail: dict[str, Any] = {}
        self.push_errors: list[str] = []
        self.invalid: dict[str, list[str]] = {}
        self.kernels: dict[str, int] = {}
        self.statuses: dict[str, list[str]] = {}
        self.datasets: dict[str, list[str]] = {}
        self.blobs: list[bytes] = []
        self.names: list[str] = []
        self.models: dict[str, int] = {}
        self.output: dict[str, bytes] = {}
        self.outputs: dict[str, dict[str, bytes]] = {}
        self.listed: dict[str, bytes] = {}
        self.on_push: Callable[[str, str], None] = lambda slug, text: None
        self.log = '[{"stream_name":"stdout","time":1.5,"data":"hello\\n"}\n]'

    def asked(self, name: str) -> list[Any]:
        """Return the request bodies of a method."""
        return [body for path, body in self.requests if path.rsplit("/", 1)[-1] == name]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def answer(self, status: int, body: Any, kind: str = "application/json") -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")
        self.end_headers()
        self.wfile.write(content)

    def handle_any(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        body = json.loads(raw) if raw[:1] == b"{" and self.command == "POST" else raw
        self.server.requests.append((path, body))
        name = path.rsplit("/", 1)[-1]
        failure = self.server.fail.get(name) or self.server.fail.get(path)
        if failure == "drop":
            self.close_connection = True
            self.connection.close()
        elif failure:
            self.answer(failure[0], {"code": failure[0], "message": failure[1]})
        elif path.startswith("/files/"):
            self.answer(200, self.server.listed[path.removeprefix("/files/")], "application/octet-stream")
        elif path.startswith("/upload/"):
            self.server.blobs.append(raw)
            self.answer(200, b"", "text/plain")
        else:
            method = getattr(self, name, None)
            self.answer(*(method(body) if method else (404, {"code": 404, "message": f"no {path}"})))

    do_GET = do_POST = do_PUT = handle_any  # noqa: N815

    def SaveKernel(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        slug = body["slug"]
        if self.server.push_errors:
            return 200, {"ref": "", "url": "", "error": self.server.push_errors.pop(0)}
        self.server.kernels[slug] = self.server.kernels.get(slug, 0) + 1
        self.server.on_push(slug, body["text"])
        about = {"ref": f"/code/{slug}", "url": f"http://localhost/code/{slug}", "error": "", "kernelId": 4242}
        return 200, {**about, "versionNumber": self.server.kernels[slug], **self.server.invalid}

    def GetKernelSessionStatus(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        queue = self.server.statuses.get(f"{body['userName']}/{body['kernelSlug']}")
        if not queue:
            return 404, {"code": 404, "message": "Kernel not found"}
        status = queue.pop(0) if len(queue) > 1 else queue[0]
        why = {"failureMessage": "Your notebook tried to allocate more memory than is available."}
        return 200, {"status": status, **(why if status == "ERROR" else {})}

    def ListKernelSessionOutput(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        kernel = f"{body['userName']}/{body['kernelSlug']}"
        self.server.listed = self.server.outputs.get(kernel, self.server.output)
        names = sorted(self.server.listed)
        files = [{"url": f"http://localhost/files/{name}", "fileName": name} for name in names]
        if body.get("pageToken"):
            return 200, {"files": files[1:], "log": "", "nextPageToken": ""}
        more = "p2" if names[1:] else ""  # two pages, as Kaggle splits long lists
        return 200, {"files": files[:1], "log": self.server.log, "nextPageToken": more}

    def GetDatasetStatus(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        queue = self.server.datasets.get(f"{body['ownerSlug']}/{body['datasetSlug']}")
        if not queue:
            return 404, {"code": 404, "message": "Dataset not found"}
        return 200, {"status": queue.pop(0) if len(queue) > 1 else queue[0]}

    def StartBlobUpload(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        self.server.names.append(body["name"])
        number = len(self.server.names)
        return 200, {"token": f"tok-{number}", "createUrl": f"http://localhost/upload/{number}"}

    def CreateDataset(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['slug']}"
        self.server.datasets[name] = ["BLOBS_RECEIVED", "READY"]
        return 200, self._made(name)

    def CreateDatasetVersion(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        return 200, self._made(f"{body['ownerSlug']}/{body['datasetSlug']}")

    def GetModel(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['modelSlug']}"
        if name not in self.server.models:
            return 404, {"code": 404, "message": "Model not found"}
        return 200, {"id": 1, "ref": name, "title": "dfd", "isPrivate": True}

    def GetModelInstance(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        name = f"{body['ownerSlug']}/{body['modelSlug']}/{body['instanceSlug']}"
        if name not in self.server.models:
            return 404, {"code": 404, "message": "Model instance not found"}
        about = {"id": 2, "slug": body["instanceSlug"], "framework": body["framework"]}
        return 200, {**about, "versionNumber": self.server.models[name]}

    def CreateModel(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        return self._new(f"{body['ownerSlug']}/{body['slug']}")

    def CreateModelInstance(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        return self._new(f"{body['ownerSlug']}/{body['modelSlug']}/{body['body']['instanceSlug']}")

    def CreateModelInstanceVersion(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        return self._new(f"{body['ownerSlug']}/{body['modelSlug']}/{body['instanceSlug']}")

    def UpdateModelInstance(self, body: Any) -> tuple[int, Any]:  # noqa: N802
        return 200, {"id": 2, "ref": body["instanceSlug"], "url": "http://localhost/models/updated", "error": ""}

    def _new(self, name: str) -> tuple[int, Any]:
        self.server.models[name] = self.server.models.get(name, 0) + 1
        return 200, {"id": 3, "ref": name, "url": f"http://localhost/models/{name}", "error": ""}

    def IntrospectToken(self, _: Any) -> tuple[int, Any]:  # noqa: N802
        return 200, {"active": True, "username": "tester", "userId": 1}

    def _made(self, name: str) -> dict[str, Any]:
        return {"ref": name, "url": f"http://localhost/datasets/{name}", "status": "Ok", "error": "", "invalidTags": []}


@contextmanager
def serving() -> Iterator[Server]:
    """Run a server on a free loopback port."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
