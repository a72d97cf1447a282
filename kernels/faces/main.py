"""Build a face-track dataset of the attached videos, into /kaggle/working/faces/faces.tar."""

from collections import Counter
from typing import Any

from kernels.session import Session

SETTINGS: dict[str, Any] = {"videos": "", "options": {}, "timeout": 120.0, "hours": 8.0}


def main() -> None:
    """Stops by its own clock; the next version, pushed with RESUME=1, goes on with the videos that are left."""
    with Session("faces", SETTINGS) as session:
        earlier = session.earlier("faces")
        session.install_wheels()
        from dfd.faces.build import store_videos
        from dfd.faces.extract import FacesConfig
        from dfd.faces.store import FaceStore

        videos = session.videos(SETTINGS["videos"])
        place = session.scratch / "faces"
        if earlier:
            session.unpack(earlier, place)
        store = FaceStore.create(place, FacesConfig.read(SETTINGS["options"], "options"))
        todo = [video for video in videos if store.record(video, by_time=False) is None]
        made = []
        for come in store_videos(store, todo, timeout=SETTINGS["timeout"], until=session.until):
            made += come
            session.tell(len(made), len(todo), come[-1].video)
            session.pack_now_and_then(place)
        store.write_tables()
        session.pack(place)
        left = sum(record.status == "out_of_budget" for record in made)
        statuses = dict(Counter(record.status for record in store.records()))
        session.finish("unfinished" if left else "done", reason=f"{left} videos left", statuses=statuses)


if __name__ == "__main__":
    main()
