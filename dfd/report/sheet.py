"""A contact sheet of training clips, for inspecting a recipe before training."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from dfd.clips.augment import Draw
from dfd.clips.dataset import changed
from dfd.clips.distort import UNCHANGED
from dfd.clips.pairs import Pair, PairDataset
from dfd.errors import ConfigError
from dfd.faces.store import FaceStore
from dfd.files import write_bytes
from dfd.training.datasets import labelled, usable
from dfd.training.fit import check_margin
from dfd.training.material import clip_recipe
from dfd.training.recipes import Recipe
from dfd.types import Rgb

WIDTH = 2400
"""Approximate width of a sheet in pixels."""
GAP, LINE = 6, 14
"""Pixels between two pairs, and height of the line with a pair's name."""


def write_sheet(store: FaceStore, recipe: Recipe, out: Path, count: int) -> int:
    """Draw `count` pairs, spread evenly over an epoch of `recipe`, into the image `out`. Returns their number.

    A pair shows the real face, the fake, and the mask of changed pixels (white; empty if the fake is not self-blended),
    in the clips' middle frame, as the network sees them, under the real video's name.
    Raises ConfigError when `out` does not have an image suffix, a class is missing, or the clips are wider than the
    stored crops; StoreError naming a film that cannot be read.
    """
    if not cv2.haveImageWriter(str(out)):
        raise ConfigError(f"{out} has no ending of a picture: name it .jpg or .png")
    videos = usable(labelled(store))
    check_margin(videos, recipe.clip.margin)
    data = PairDataset(videos, clip_recipe(recipe))
    numbers = np.linspace(0, len(data), min(count, len(data)), endpoint=False).astype(int)
    tiles = []
    for number in numbers:
        rng = np.random.default_rng([recipe.train.seed, 0, number])
        pair = data.pairs(0, int(number), rng)[0]
        tiles.append(_tile(pair, Draw.of(rng, recipe.augment), recipe))
    across = max(1, WIDTH // tiles[0].shape[1])
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % across)
    sheet = np.vstack([np.hstack(tiles[row : row + across]) for row in range(0, len(tiles), across)])
    code = cv2.imencode(out.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
    write_bytes(out, code.tobytes())
    return len(numbers)


def _tile(pair: Pair, draw: Draw, recipe: Recipe) -> Rgb:
    """Real face, fake and mask side by side on white, under a name: (size + GAP + LINE, 3 size + GAP, 3)."""
    size, middle = recipe.clip.size, len(pair.real.images) // 2
    shown = [changed(raw, draw, recipe.clip)[middle] for raw in (pair.real, pair.fake)]
    if pair.mask is None:
        shown.append(np.full_like(shown[0], 255))
    else:
        grey = np.round(255 * pair.mask[..., None].repeat(3, axis=3)).astype(np.uint8)
        only_cut = replace(UNCHANGED, flip=draw.flip, zoom=draw.zoom, shift=draw.shift)
        shown.append(changed(replace(pair.real, images=grey), only_cut, recipe.clip)[middle])
    tile = np.full((LINE + size + GAP, 3 * size + GAP, 3), 255, np.uint8)
    tile[LINE:-GAP, :-GAP] = np.hstack(shown)
    cv2.putText(tile, pair.real.video, (2, LINE - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1, cv2.LINE_AA)
    return tile
