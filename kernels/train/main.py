"""Train every fold of a recipe on an attached dataset of faces, into /kaggle/working/run; then a bundle and a page."""

from typing import Any

from kernels.session import Session

SETTINGS: dict[str, Any] = {
    "recipe": "cpu", "folds": 5, "weights": "imagenet-lite0", "options": {}, "hours": 8.5, "faces": "",
}  # fmt: skip


def main() -> None:
    """Stops by its own clock; the next version, pushed with RESUME=1, goes on from it."""
    with Session("train", SETTINGS) as session:
        session.device()
        faces = session.attached("faces", SETTINGS["faces"])
        session.install_wheels()
        from dfd.errors import OutOfTimeError
        from dfd.faces.store import FaceStore
        from dfd.inference.pack import pack_runs
        from dfd.models.weights import extract_weights
        from dfd.report.run_page import write_run_page
        from dfd.training.clock import Runtime
        from dfd.training.crossval import crossval
        from dfd.training.recipes import Recipe, recipe

        store = FaceStore.open(session.unpack(faces, "faces", session.scratch / "faces"))
        run, settings = session.go_on("run", session.working / "run"), recipe(SETTINGS["recipe"]).model_dump()
        if SETTINGS["weights"]:
            settings["model"]["weights"] = session.scratch / f"{SETTINGS['weights']}.pt"
            extract_weights(SETTINGS["weights"], settings["model"]["weights"])
        for part, changes in SETTINGS["options"].items():
            settings[part] |= changes
        try:
            runtime = Runtime(session.tell, session.until, session.cards())
            made = crossval(store, Recipe.read(settings, "options"), SETTINGS["folds"], run, runtime)
        except OutOfTimeError as stopped:
            session.finish("unfinished", reason=str(stopped))
        else:
            pack_runs([run], session.working / "bundle")
            session.make(session.working / "bundle", "bundle")
            write_run_page([run], session.working / "run.html", [store.folder])
            session.finish("done", score=made.score)


if __name__ == "__main__":
    main()
