"""Score the competition's test videos with a bundle, into /kaggle/working/submission.csv."""

import shutil
from typing import Any

from kernels.session import Session

SETTINGS: dict[str, Any] = {"hours": 8.5, "timeout": 120.0, "bundle": ""}


def main() -> None:
    """Whole and valid from the first second, with 0.5 in every row; stops by its own clock."""
    with Session("predict", SETTINGS) as session:
        device, data = session.device(), session.competition()
        folder = session.attached("bundle", SETTINGS["bundle"])
        session.install_wheels()
        from dfd.faces.store import FaceStore
        from dfd.inference.bundle import load_bundle
        from dfd.inference.predict import faces_of, predict
        from dfd.videos.manifest import read_sample

        shutil.copy(data / "sample_submission.csv", session.working)
        rows = read_sample(data / "sample_submission.csv", data / "test_videos")
        bundle = load_bundle(folder, device)
        store = FaceStore.create(session.scratch / "faces", bundle.info.faces)
        records = faces_of(rows, store, timeout=SETTINGS["timeout"], until=session.until)
        names = [row.name for row in rows]
        made = predict(names, records, bundle, session.working / "submission.csv", session.tell)
        session.finish("done", prediction=made.report(), bundle_score=bundle.info.score)


if __name__ == "__main__":
    main()
