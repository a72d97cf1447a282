"""Score the competition's test videos with a bundle, into /kaggle/working/submission.csv."""

import shutil
import time
from typing import Any

from kernels.session import Session

SETTINGS: dict[str, Any] = {"hours": 8.5, "timeout": 120.0, "bundle": ""}


def main() -> None:
    """Whole and valid from the first second, with 0.5 in every row; stops by its own clock."""
    with Session("predict", SETTINGS) as session:
        device, data = session.device(), session.competition()
        folder = session.attached("bundle", SETTINGS["bundle"])
        session.install_wheels()
        from dfd.inference.bundle import load_bundle
        from dfd.inference.info import read_info
        from dfd.inference.run import Settings, run
        from dfd.videos.manifest import read_sample

        shutil.copy(data / "sample_submission.csv", session.working)
        rows = read_sample(data / "sample_submission.csv", data / "test_videos")
        info = read_info(folder)
        settings = Settings(seconds=session.until - time.monotonic(), timeout=SETTINGS["timeout"], device=device)
        out = session.working / "submission.csv"
        made = run(rows, info, lambda: load_bundle(folder, device), out, settings, session.tell, session.say)
        session.finish("done", prediction=made.report(), bundle_score=info.score)


if __name__ == "__main__":
    main()
