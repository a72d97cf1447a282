"""Train every fold of a recipe on an attached dataset of faces, into /kaggle/working/run; then a bundle and a page."""

from typing import Any

from kernels import inputs
from kernels.session import Session, training_recipe

SETTINGS: dict[str, Any] = {"recipe": "cpu", "folds": 5, "weights": "imagenet-lite0", "options": {}, "hours": 8.5}


def main() -> None:
    """Run until its own time limit. The next version, pushed with RESUME=1, continues from there."""
    with Session("train", SETTINGS) as session:
        (_, devices), faces = session.device(), session.attached("faces")
        session.install_wheels()
        from dfd.errors import OutOfTimeError
        from dfd.faces.store import FaceStore
        from dfd.inference.pack import pack_runs
        from dfd.models.weights import extract_weights
        from dfd.report.run_page import write_run_page
        from dfd.training.clock import Runtime
        from dfd.training.crossval import crossval

        store = FaceStore.open(inputs.unpack(faces, "faces", session.scratch / "faces"))
        run = session.resume("run", session.working / "run")
        weights = session.scratch / f"{SETTINGS['weights']}.pt" if SETTINGS["weights"] else None
        if weights:
            extract_weights(SETTINGS["weights"], weights)
        try:
            recipe = training_recipe(SETTINGS, weights)
            made = crossval(store, recipe, SETTINGS["folds"], run, Runtime(session.progress, session.until, devices))
        except OutOfTimeError as stopped:
            session.finish("unfinished", reason=str(stopped))
        else:
            pack_runs([run], session.scratch / "bundle")
            session.pack(session.scratch / "bundle", "bundle")
            with session.page("run.html") as page:
                write_run_page([run], page, [store.folder])
            session.finish("done", score=made.score)


if __name__ == "__main__":
    main()
