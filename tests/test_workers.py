import os
import signal
import time

import pytest

from dfd.errors import VideoReadError
from dfd.types import Video
from dfd.videos.workers import each_video


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


def slow(video: Video) -> None:
    time.sleep(0.2 if video.name == "first" else 600)


@pytest.fixture
def videos(tmp_path):
    for name in ("unreadable", "fine", "odd"):
        (tmp_path / name).touch()
    return [Video(tmp_path / name, name) for name in ("hangs", "dies", "unreadable", "odd", "fine", "fine too")]


def test_whatever_happens_to_one_video_the_others_go_on(videos):
    outcomes = {o.video.name: o for o in each_video(behave, videos, "!", workers=2, timeout=6)}
    assert {name: o.status for name, o in outcomes.items()} == {
        "hangs": "timed_out",
        "dies": "error",
        "unreadable": "unreadable",
        "odd": "error",
        "fine": "ok",
        "fine too": "ok",
    }
    assert outcomes["fine"].value == "fine!"
    assert outcomes["hangs"].reason == "killed after 6 s"
    assert outcomes["unreadable"].reason == "no video stream"
    assert outcomes["odd"].reason == "ZeroDivisionError: division by zero"
    assert "died" in outcomes["dies"].reason


def test_a_file_that_is_not_there_is_missing(tmp_path):
    (outcome,) = each_video(behave, [Video(tmp_path / "gone", "unreadable")], workers=1)
    assert outcome.status == "missing"


def test_when_the_time_is_up_the_rest_is_out_of_budget(tmp_path):
    videos = [Video(tmp_path / name, name) for name in ("first", "second", "third", "fourth", "fifth")]
    start = time.monotonic()
    outcomes = list(each_video(slow, videos, workers=1, timeout=300, until=start + 6))
    assert time.monotonic() - start < 20
    assert [o.status for o in outcomes] == ["ok"] + ["out_of_budget"] * 4
    assert [o.video.name for o in outcomes] == ["first", "second", "third", "fourth", "fifth"]


def test_no_videos_no_outcomes():
    assert list(each_video(behave, [])) == []
