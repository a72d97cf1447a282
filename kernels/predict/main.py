"""Score the competition's test videos with a bundle, into /kaggle/working/submission.csv.

explain.html shows why the videos with the highest scores got them; SETTINGS["explained"] is how many, 0 for no page.
"""

import shutil
import time
from functools import cache
from typing import Any

from kernels.session import Session

SETTINGS: dict[str, Any] = {"hours": 8.5, "timeout": 120.0, "explained": 8}


def main() -> None:
    """Predict until its own time limit. The submission is valid from the start, with 0.5 in every row."""
    with Session("predict", SETTINGS) as session:
        (device, _), data = session.device(), session.competition()
        folder = session.attached("bundle")
        session.install_wheels()
        from dfd.inference.bundle import load_bundle
        from dfd.inference.info import read_info
        from dfd.inference.looking import explained
        from dfd.inference.run import Settings, run
        from dfd.report.explain import page
        from dfd.report.page import write_page
        from dfd.videos.manifest import read_sample
        from dfd.videos.workers import Limits

        shutil.copy(data / "sample_submission.csv", session.working)
        rows = read_sample(data / "sample_submission.csv", data / "test_videos")
        info, load = read_info(folder), cache(lambda: load_bundle(folder, device))
        limits = Limits(timeout=SETTINGS["timeout"], until=session.until)
        settings = Settings(
            session.until - time.monotonic(), limits, device=device, progress=session.progress, tell=session.log
        )
        made = run(rows, info, load, session.working / "submission.csv", settings)

        scored = sorted((s for s in made.scores if s.status == "ok"), key=lambda score: -score.probability)
        highest = {score.name for score in scored[: SETTINGS["explained"]]}
        if highest and time.monotonic() < session.until:
            with session.page("explain.html") as out:
                shown = [video for video in rows if video.name in highest]
                write_page(out, page(explained(shown, info, load, False, 40 // max(8, len(shown)), limits), load()))
        session.finish("done", prediction=made.report(), bundle_score=info.score)


if __name__ == "__main__":
    main()
