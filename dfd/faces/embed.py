"""Face embeddings: crops of one person lie close together, so that folds can keep a person on one side.

There are two networks, and the weights file selects one: dlib's (faces/descriptor.py; `dfd weights identity` makes the
file), or facenet_pytorch's InceptionResnetV1 (Schroff et al. 2015, "FaceNet: a unified embedding for face recognition
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
"""Side in pixels of the face crops on which InceptionResnetV1 was trained."""
CLASSIFIER = "logits."
"""Its last layer, which classifies the people of its training set. Embeddings do not use it."""
DISTANCES = {"dlib": 0.5, "facenet": 1.0}
"""Euclidean distance above which two faces count as two people, by network.

dlib's: in 29 clips of 18 people no two strangers are closer than 0.49, and clusters at 0.5 are exactly the 18 people.
6,542 crops of DFDC's real videos form 796 clusters at 0.5 (the largest has 53 crops), and 154 at 0.6 (the largest has
912). facenet's: a cosine distance of 0.5, not measured."""


class Embedder:
    """One of the networks in evaluation mode.

    weights: a state dict as written by `dfd weights identity`, or as published by facenet-pytorch
    (20180402-114759-vggface2.pt), with its classifier or without. aligned: whether it takes faces aligned by their
    landmarks instead of crops of their box. side: of its input images, in pixels. distance: its entry in DISTANCES.
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
        """Embed images (N,side,side,3) uint8 RGB: (N,128) float32, or for facenet (N,512) of unit length."""
        images = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).to(self._device).float()
        with torch.inference_mode():
            found: NDArray[np.float32] = self._net(images if self.aligned else (images - 127.5) / 128).cpu().numpy()
        return found

    def describe(self, face: TrackletRecord, positions: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Embed a tracklet's crops at `positions`, as `embed` does. Raises StoreError."""
        crops = load_crops(face, positions)
        if not self.aligned:
            return self.embed(narrow(crops, face.margin, 1.0, self.side))
        return self.upright(crops, load_geometry(face)[2][np.asarray(positions)])

    def upright(
        self, faces: Iterable[NDArray[np.uint8]], landmarks: Iterable[NDArray[np.floating]]
    ) -> NDArray[np.float32]:
        """Align images (H,W,3) uint8 RGB by their `landmarks` (5,2) and embed them, as `embed` does."""
        pairs = zip(faces, landmarks, strict=True)
        return self.embed(np.stack([aligned(face, five, descriptor.CHIP, self.side) for face, five in pairs]))
