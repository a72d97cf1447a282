"""Whose face it is: pictures of one person lie near one another, for folds that keep a person on one side.

Two networks; the file of weights says which: dlib's (faces/descriptor.py; `dfd weights identity` makes the
file), and facenet_pytorch's InceptionResnetV1 (Schroff et al. 2015, "FaceNet: a unified embedding for face recognition
and clustering"; Szegedy et al. 2016).
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dfd.errors import CheckpointError
from dfd.faces import descriptor
from dfd.faces.crops import aligned, narrow
from dfd.faces.detect import embedding_network
from dfd.faces.records import TrackletRecord, load_crops, load_geometry

SIDE = 160
"""Side in pixels of the pictures that InceptionResnetV1 was trained on, cut to the face's box."""
CLASSIFIER = "logits."
"""Its last layer, which names the people of its training set: no part of an embedding."""
DISTANCES = {"dlib": 0.5, "facenet": 1.0}
"""Euclidean distance from which two faces are rather two people's, by the network.

dlib's: in 29 clips of 18 people strangers do not come under 0.49, and clusters at 0.5 are the 18 people; 6,542 crops of
DFDC's real videos make 796 clusters at 0.5, the largest of 53, and 154 at 0.6, the largest of 912. facenet's: a cosine
distance of 0.5, not measured."""


class Embedder:
    """One of the networks in evaluation mode.

    weights: a state dict as `dfd weights identity` writes it, or as facenet-pytorch publishes it
    (20180402-114759-vggface2.pt), with its classifier or without. aligned: it takes faces turned upright by their
    landmarks, not cut to their box. side: of the pictures that it takes, in pixels. distance: as DISTANCES has it.
    Raises CheckpointError when `weights` is neither.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            kept = {name: tensor for name, tensor in state.items() if not name.startswith(CLASSIFIER)}
        except FileNotFoundError:
            raise CheckpointError(f"{weights}: no such file of weights") from None
        except (OSError, EOFError, UnpicklingError, RuntimeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{weights}: not a state dict of torch.save ({type(error).__name__})") from None
        self.aligned = f"{descriptor.DOWN}.weight" in kept
        self.side = descriptor.SIDE if self.aligned else SIDE
        self.distance = DISTANCES["dlib" if self.aligned else "facenet"]
        net: nn.Module = descriptor.DescriptorNetwork() if self.aligned else embedding_network()
        try:
            net.load_state_dict(kept)
        except RuntimeError as error:
            whose = "dlib's face recognition network" if self.aligned else "facenet_pytorch's InceptionResnetV1"
            first = str(error).splitlines()[1].strip()[:160]
            raise CheckpointError(f"{weights}: not weights of {whose}: {first}") from None
        self._net, self._device = net.eval().to(device), device

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings of pictures (N,side,side,3) uint8 RGB: (N,128) float32, or facenet's (N,512) of length 1."""
        images = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).to(self._device).float()
        with torch.inference_mode():
            found: NDArray[np.float32] = self._net(images if self.aligned else (images - 127.5) / 128).cpu().numpy()
        return found

    def describe(self, face: TrackletRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """The embeddings of a tracklet's crops at `positions`, as `embed`'s. Raises StoreError."""
        crops = load_crops(face, positions)
        if not self.aligned:
            return self.embed(narrow(crops, face.margin, 1.0, self.side))
        return self.upright(crops, load_geometry(face)[2][np.asarray(positions)])

    def upright(
        self, faces: Iterable[NDArray[np.uint8]], landmarks: Iterable[NDArray[np.floating]]
    ) -> NDArray[np.float32]:
        """The embeddings of pictures (H,W,3) uint8 RGB with their `landmarks` (5,2), as `embed`'s, of aligned ones."""
        pairs = zip(faces, landmarks, strict=True)
        return self.embed(np.stack([aligned(face, five, descriptor.CHIP, self.side) for face, five in pairs]))
