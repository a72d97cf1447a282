import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from dfd.errors import VideoReadError
from dfd.types import Video
from dfd.videos import workers
from dfd.videos.workers import Limits, Outcome, each_video
from tests.processes import left_running, running


def behave(video: Video, marker: str = "") -> str:
    """What a decoder may do, by the video's name."""
    if video.name == "hangs":
        time.sleep(600)
    if video.name == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if video.name == "unreadable":
        raise VideoReadError(video.path, "no video\nstream")
    if video.name == "odd":
        raise ZeroDivisionError("division by zero")
    return f"{video.name}{marker}"


def hungry(video: Video) -> int:
    """Takes as many megabytes as its name says, in one piece, as numpy does for pictures."""
    return int(np.ones(int(video.name) * 1_000_000, np.uint8)[-1]) and os.getpid()


def slow(video: Video) -> None:
    time.sleep(0.2 if video.name == "first" else 600)


def flat(*arguments, **limits) -> Iterator[Outcome]:
    """each_video(), an outcome at a time."""
    return chain.from_iterable(each_video(*arguments, **limits))


@pytest.fixture
def videos(tmp_path):
    for name in ("unreadable", "fine", "odd"):
        (tmp_path / name).touch()
    return [Video(tmp_path / name, name) for name in ("hangs", "dies", "unreadable", "odd", "fine", "fine too")]


def test_whatever_happens_to_one_video_the_others_go_on(videos):
    outcomes = {o.video.name: o for o in flat(behave, videos, lambda _: ("!",), Limits(2, timeout=2))}
    assert {name: o.status for name, o in outcomes.items()} == {
        "hangs": "timed_out",
        "dies": "error",
        "unreadable": "unreadable",
        "odd": "error",
        "fine": "ok",
        "fine too": "ok",
    }
    assert outcomes["fine"].value == "fine!"
    assert outcomes["hangs"].reason == "killed after 2 s"
    assert outcomes["unreadable"].reason == "no video stream"
    assert outcomes["odd"].reason == "ZeroDivisionError: division by zero"
    assert outcomes["dies"].reason == "its worker process was ended by SIGKILL"


def test_a_file_that_is_not_there_is_missing(tmp_path):
    (outcome,) = flat(behave, [Video(tmp_path / "gone", "unreadable")], limits=Limits(1))
    assert outcome.status == "missing"


def test_when_the_time_is_up_the_rest_is_out_of_budget(tmp_path):
    videos = [Video(tmp_path / name, name) for name in ("first", "second", "third", "fourth", "fifth")]
    start = time.monotonic()
    outcomes = list(flat(slow, videos, limits=Limits(1, timeout=300, until=start + 8)))
    assert time.monotonic() - start < 20
    assert [o.status for o in outcomes] == ["ok"] + ["out_of_budget"] * 4
    assert [o.video.name for o in outcomes] == ["first", "second", "third", "fourth", "fifth"]


def test_memory_is_limited_a_video_and_a_worker_that_ran_out_is_replaced(tmp_path):
    videos = [Video(tmp_path / str(n), str(n)) for n in (100, 900, 200, 1900, 300)]
    outcomes = list(flat(hungry, videos, limits=Limits(1, timeout=60, memory=0.5)))
    assert [o.status for o in outcomes] == ["ok", "error", "ok", "error", "ok"]
    assert outcomes[1].reason == outcomes[3].reason == "it takes more than 0.5 GB of memory"
    assert len({o.value for o in outcomes if o.status == "ok"}) == 3  # processes


def test_a_worker_that_is_killed_while_it_waits_costs_nothing(tmp_path):
    videos = [Video(tmp_path / str(n), str(n)) for n in range(1, 9)]
    statuses = []
    for outcome in flat(hungry, videos, limits=Limits(1)):
        statuses.append(outcome.status)
        if len(statuses) == 1:
            time.sleep(1.0)  # it has done what it may do ahead of the caller, and waits
            os.kill(outcome.value, signal.SIGKILL)
            time.sleep(0.3)
    assert statuses == ["ok"] * 8


def test_workers_that_cannot_start_end_it(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_serve", os.abort)
    outcomes = list(flat(hungry, [Video(tmp_path / "1", "1"), Video(tmp_path / "2", "2")], limits=Limits(1)))
    assert [(o.video.name, o.status, o.reason) for o in outcomes] == [
        ("1", "error", "no worker process could be started"),
        ("2", "error", "no worker process could be started"),
    ]


PARENT = """
import sys, time
from pathlib import Path
from dfd.types import Video
from dfd.videos import workers
from dfd.videos.workers import Limits, each_video
from tests.processes import left_running, running
from tests.test_workers import slow
if __name__ == "__main__":
    for outcome in each_video(slow, [Video(Path("first"), "first"), Video(Path("x"), "x")], limits=Limits(2)):
        print("working", flush=True)
"""


def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "parent.py"],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert parent.stdout
    assert parent.stdout.readline() == b"working\n"
    assert len(running(parent.pid)) >= 3
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert left_running(parent.pid, patience=2.0) == []


def test_what_has_come_while_the_caller_did_something_else_comes_together(tmp_path):
    videos = [Video(tmp_path / str(n), str(n)) for n in range(1, 10)]
    sizes = []
    for come in each_video(hungry, videos, limits=Limits(1)):
        sizes.append(len(come))
        time.sleep(0.5)  # meanwhile one worker does two, and waits
    assert sum(sizes) == 9
    assert max(sizes) in (2, 3)  # a third when it had begun one as the two were taken


def test_no_videos_no_outcomes():
    assert list(flat(behave, [])) == []
