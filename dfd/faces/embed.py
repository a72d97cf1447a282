"""Whose face it is: pictures of one person lie near one another, for folds that keep a person on one side.

Source: Schroff et al. 2015, "FaceNet: a unified embedding for face recognition and clustering"; the network is
facenet_pytorch's InceptionResnetV1 (Szegedy et al. 2016), whose weights are a file.
"""

from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray

from dfd.errors import CheckpointError
from dfd.faces.detect import embedding_network

SIDE = 160
"""Side in pixels of the pictures that it was trained on, cut to the face's box."""
CLASSIFIER = "logits."
"""Its last layer, which names the people of its training set: no part of an embedding."""


class Embedder:
    """InceptionResnetV1 in evaluation mode.

    weights: a state dict as facenet-pytorch publishes it (20180402-114759-vggface2.pt), with its classifier or without.
    Raises CheckpointError when it is not one.
    """

    def __init__(self, weights: Path, device: torch.device | str = "cpu") -> None:
        try:
            state = torch.load(weights, map_location="cpu", weights_only=True)
            kept = {name: tensor for name, tensor in state.items() if not name.startswith(CLASSIFIER)}
        except FileNotFoundError:
            raise CheckpointError(f"{weights}: no such file of weights") from None
        except (OSError, EOFError, UnpicklingError, RuntimeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{weights}: not a state dict of torch.save ({type(error).__name__})") from None
        net = embedding_network()
        try:
            net.load_state_dict(kept)
        except RuntimeError as error:
            first = str(error).splitlines()[1].strip()[:160]
            raise CheckpointError(f"{weights}: not weights of facenet_pytorch's InceptionResnetV1: {first}") from None
        self._net, self._device = net.eval().to(device), device

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embeddings (N,512) float32 of length 1 of pictures (N,SIDE,SIDE,3) uint8 RGB, cut to the face's box."""
        images = torch.from_numpy(np.ascontiguousarray(faces.transpose(0, 3, 1, 2))).to(self._device)
        with torch.inference_mode():
            found: NDArray[np.float32] = self._net((images.float() - 127.5) / 128).cpu().numpy()
        return found
