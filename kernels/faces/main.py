"""Build the dataset of faces of the attached videos, into /kaggle/working/faces/faces.tar."""

from collections import Counter
from typing import Any

from kernels.session import PACK_EVERY, Session, faces_config

SETTINGS: dict[str, Any] = {"videos": "", "unlisted": False, "options": {}, "timeout": 120.0, "hours": 8.0}


def main() -> None:
    """Run until its own time limit. The next version, pushed with RESUME=1, continues with the remaining videos."""
    with Session("faces", SETTINGS) as session:
        place = session.resume("faces", session.scratch / "faces")
        session.install_wheels()
        from dfd.faces.build import stored
        from dfd.faces.store import FaceStore
        from dfd.videos.workers import Limits

        videos = session.videos(SETTINGS["videos"], SETTINGS["unlisted"])
        store = FaceStore.create(place, faces_config(SETTINGS))
        limits, made = Limits(timeout=SETTINGS["timeout"], until=session.until), []
        for records in stored(videos, store, limits, by_time=False):  # a mount may change the times
            made += records
            session.progress(len(made), len(videos), records[-1].video)
            session.pack(place, "faces", PACK_EVERY)
        store.write_tables()
        session.pack(place, "faces")
        left = sum(record.status == "out_of_budget" for record in made)
        statuses = dict(Counter(record.status for record in store.records()))
        session.finish("unfinished" if left else "done", reason=f"{left} videos left", statuses=statuses)


if __name__ == "__main__":
    main()
