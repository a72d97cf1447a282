"""A store of objects on loopback, as s3:// and gs:// read it, which can be made to fail.

It answers what s3fs and gcsfs ask to list and read one bucket: Amazon's REST API, and Google's JSON API.
"""

import json
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

import pytest

from dfd.videos import remote
from tests.loopback import Loopback

BUCKET = "films"
PAGE = 2
"""Entries in a page of a listing."""
DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


class Store(Loopback):
    """files: content by key. refused: keys that get status 403. private: nothing may be listed.

    faults: what happens to the first requests for a key's content: an HTTP status, "cut" (in the middle), or "slow".
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.refused, self.private, self.asked = {}, {}, set(), False, Counter()

    def listed(self, prefix, delimiter, start):
        """A page of a listing: keys, folders, and where the next page starts (None after the last)."""
        keys, folders = [], []
        for key in sorted(key for key in self.files if key.startswith(prefix)):
            head, mark, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            (folders if mark else keys).append(prefix + head + mark if mark else key)
        entries = sorted({*keys, *folders})
        page = entries[start : start + PAGE]
        following = start + PAGE if start + PAGE < len(entries) else None
        return [entry for entry in page if entry in keys], [entry for entry in page if entry in folders], following


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: value[0] for name, value in parse_qs(parts.query).items()}
        if "/storage/v1/b/" in parts.path:
            bucket, _, rest = parts.path.partition("/storage/v1/b/")[2].partition("/")
            self.google(unquote(bucket), unquote(rest.removeprefix("o").removeprefix("/")), query)
        else:
            bucket, _, key = parts.path[1:].partition("/")
            self.amazon(unquote(bucket), unquote(key), query)

    def amazon(self, bucket, key, query):
        if bucket != BUCKET:
            return self.say(404, b"<Error><Code>NoSuchBucket</Code><Message>no such bucket</Message></Error>")
        if key and key not in self.server.files:
            return self.say(404, b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>")
        if (self.server.private and not key) or key in self.server.refused:
            return self.say(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        if key:
            return self.content(key)
        start = int(query.get("continuation-token", 0))
        keys, folders, following = self.server.listed(query.get("prefix", ""), query.get("delimiter"), start)
        about = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>0</ETag>"
            f"<Size>{len(self.server.files[key])}</Size></Contents>"
            for key in keys
        ) + "".join(f"<CommonPrefixes><Prefix>{quote(name)}</Prefix></CommonPrefixes>" for name in folders)
        more = f"<NextContinuationToken>{following}</NextContinuationToken>" if following else ""
        cut = str(following is not None).lower()
        return self.say(
            200,
            f"<ListBucketResult><Name>{bucket}</Name><EncodingType>url</EncodingType><IsTruncated>{cut}</IsTruncated>"
            f"<KeyCount>{len(keys) + len(folders)}</KeyCount>{about}{more}</ListBucketResult>".encode(),
        )

    def google(self, bucket, key, query):
        if bucket != BUCKET or (key and key not in self.server.files):
            return self.tell(404, {"error": {"code": 404, "message": "no such object"}})
        if (self.server.private and not key) or key in self.server.refused:
            return self.tell(403, {"error": {"code": 403, "message": "no permission"}})
        if key:
            return self.content(key) if query.get("alt") == "media" else self.tell(200, self.about(key))
        start = int(query.get("pageToken", 0))
        keys, folders, following = self.server.listed(query.get("prefix", ""), query.get("delimiter"), start)
        page = {"kind": "storage#objects", "items": [self.about(key) for key in keys], "prefixes": folders}
        return self.tell(200, page | ({"nextPageToken": str(following)} if following else {}))

    def about(self, key):
        size = str(len(self.server.files[key]))
        return {"name": key, "bucket": BUCKET, "size": size, "updated": "2024-01-01T00:00:00.000Z"}

    def content(self, key):
        content, status, headers = self.server.files[key], 200, {}
        if wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            stop = min(int(last) + 1 if last else len(content), len(content))
            headers["Content-Range"] = f"bytes {first}-{stop - 1}/{len(content)}"
            content, status = content[int(first) : stop], 206
        fault = None
        if self.command == "GET":
            self.server.asked[key] += 1
            fault = self.server.faults.get(key, [])[:1]
            self.server.faults[key] = self.server.faults.get(key, [])[1:]
            fault = fault[0] if fault else None
        if isinstance(fault, int):
            return self.say(fault, b"")
        if fault == "slow":
            time.sleep(0.5)
        return self.say(status, content, headers, cut=fault == "cut")

    def tell(self, status, answer):
        self.say(status, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def say(self, status, content, headers=(), cut=False):
        self.send_response(status)
        for name, value in {"Last-Modified": DATE, "Content-Length": str(len(content)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut


@pytest.fixture(params=["s3", "gs"])
def bucket(request, monkeypatch):
    """An empty Store; `bucket.place` is the URL of its bucket, as a path."""
    library = pytest.importorskip({"s3": "s3fs", "gs": "gcsfs"}[request.param], reason="pip install 'dfd[urls]'")
    import fsspec

    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setitem(fsspec.config.conf, "gs", {"token": "anon"})
    if request.param == "s3":
        monkeypatch.setattr(library.S3FileSystem, "retries", 1)  # so that dfd's own are seen
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    server = Store()
    address = f"http://127.0.0.1:{server.server_port}"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "some")
    for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, address)
    server.place = Path(f"{request.param}://{BUCKET}")
    fsspec.get_filesystem_class(request.param).clear_instance_cache()
    with server.running():
        yield server
