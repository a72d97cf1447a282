"""Face meshes of a training's pictures, kept in a file: they never change, and take half of the time of a blend."""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dfd.faces.mesh import POINTS, face_mesh
from dfd.types import Rgb

Mesh = NDArray[np.float32]
Mesher = Callable[[Rgb, NDArray[np.floating], Path], Mesh | None]
"""Locates the mesh (468,2) of a face: faces/mesh.face_mesh, or the same out of a file."""

ROW = 4096
"""Bytes of the file for a picture: a page, so that two machines never write the same one."""
BYTES = 4 * 2 * POINTS


class MeshFile:
    """Computes the mesh of each picture once, for all processes that share the file. It can be pickled.

    A row holds a mesh and a checksum of the picture, its landmarks and the mesh. If that is wrong, because the row was
    never or only half written, or is of another picture, the mesh is computed again. If the file cannot be written,
    every mesh is computed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def mesh(self, row: int, image: Rgb, landmarks: NDArray[np.floating], weights: Path) -> Mesh | None:
        """The mesh as face_mesh returns it, for the picture (H,W,3) uint8 that has row `row`, counted from 0."""
        about = crc32(np.ascontiguousarray(landmarks).data, crc32(np.ascontiguousarray(image).data))
        kept = self._read(row, about)
        if kept is None:
            mesh = face_mesh(image, landmarks, weights)
            kept = np.full((POINTS, 2), np.nan, np.float32) if mesh is None else mesh
            self._write(row, about, kept.tobytes())
        return None if np.isnan(kept).any() else kept

    def _read(self, row: int, about: int) -> Mesh | None:
        with suppress(OSError), self.path.open("rb") as file:
            file.seek(row * ROW)
            code = file.read(4 + BYTES)
            if code[:4] == _seal(code[4:], about):
                return np.frombuffer(code[4:], np.float32).reshape(POINTS, 2)
        return None

    def _write(self, row: int, about: int, mesh: bytes) -> None:
        with suppress(OSError):
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.pwrite(handle, _seal(mesh, about) + mesh, row * ROW)
            finally:
                os.close(handle)


def _seal(mesh: bytes, about: int) -> bytes:
    return crc32(mesh, about).to_bytes(4, "little")
