import gc
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfd.cores import available_cores
from dfd.errors import ConfigError, VideoReadError
from dfd.types import Video
from dfd.videos.workers import Limits, Outcome, each_video
from tests.processes import left_running, running

pytestmark = pytest.mark.slow
spawned = pytest.mark.usefixtures("spawned_workers")
"""Of tests of how workers start and end; what they answer does not depend on it."""


class Unloadable:
    """Can be pickled but not loaded, like a class that was renamed or whose file is missing."""

    def __init__(self, how: Any = OSError, *arguments: Any) -> None:
        self.how, self.arguments = how, arguments

    def __reduce__(self):
        return fail, (self.how, *self.arguments)


def fail(how: Any, *arguments: Any) -> None:
    raise how(*arguments)


class Mute(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def behave(video: Video, marker: Any = "") -> Any:
    """Behave like a decoder; the video's name selects how."""
    if video.name == "hangs":
        time.sleep(600)
    if video.name == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if video.name == "dies oddly":
        os.kill(os.getpid(), 40)
    if video.name == "unreadable":
        raise VideoReadError(video.path, "no video\nstream")
    if video.name == "odd":
        raise ZeroDivisionError("division by \udce9")
    if video.name == "mute":
        raise Mute
    if video.name == "lambda":
        return lambda: 0
    if video.name == "unloadable":
        return Unloadable(OSError, "gone")
    return f"{video.name}{marker}"


def hungry(video: Video) -> int:
    """Allocate the megabytes in the video's name in one piece, as numpy does for pictures."""
    return int(np.ones(int(video.name) * 1_000_000, np.uint8)[-1]) and os.getpid()


def hang(video: Video, big: int = 0) -> None:
    """Write the process id to a file, allocate this many megabytes, and hang."""
    video.path.write_text(str(os.getpid()))
    held = np.ones(big * 1_000_000, np.uint8)
    time.sleep(600 + len(held))


def note(video: Video) -> int:
    """Write the process id to the video's file."""
    video.path.write_text(str(os.getpid()))
    return os.getpid()


def slow(video: Video) -> None:
    time.sleep(0.2 if video.name == "first" else 600)


def flat(*arguments, **limits) -> Iterator[Outcome]:
    """each_video(), one outcome at a time."""
    return chain.from_iterable(each_video(*arguments, **limits))


def named(folder: Path, *names: object) -> list[Video]:
    return [Video(folder / str(name), str(name)) for name in names]


def process(video: Video) -> int:
    """Wait for the process id that hang() or note() writes, and return it."""
    until = time.monotonic() + 60
    while not (video.path.exists() and (text := video.path.read_text())):
        assert time.monotonic() < until
        time.sleep(0.02)
    return int(text)


def gone(pid: int) -> bool:
    """Whether no such process exists, not even as a zombie."""
    return not Path(f"/proc/{pid}").exists()


def test_a_failing_video_does_not_affect_the_others(tmp_path):
    for name in ("unreadable", "fine", "odd"):
        (tmp_path / name).touch()
    bad = {
        "refused": KeyError("no such store"),
        "left": SystemExit(1),
        "mute argument": Mute(),
    }
    odd = {"private": (lambda: 0,), "unloadable argument": (Unloadable(EOFError, "cut short"),)}

    def arguments(video: Video) -> tuple[Any, ...]:
        if video.name in bad:
            raise bad[video.name]
        return odd.get(video.name, ("!",))

    names = ["hangs", "dies", "dies oddly", "unreadable", "odd", "mute", "lambda", "unloadable"]
    videos = named(tmp_path, *names, *bad, *odd, "fine", "fine too")
    come = list(flat(behave, videos, arguments, Limits(2, timeout=2)))
    assert Counter(o.video.name for o in come) == Counter(video.name for video in videos)
    outcomes = {o.video.name: (o.status, o.value if o.status == "ok" else o.reason) for o in come}
    refused = re.compile("Can't pickle|cannot pickle|Can't get local")
    for name in ("lambda", "private"):
        status, reason = outcomes.pop(name)
        assert status == "error"
        assert refused.search(reason)
        assert re.match(r"\w+Error: ", reason)
    assert outcomes == {
        "hangs": ("timed_out", "killed after 2 s"),
        "dies": ("error", "its worker process was ended by SIGKILL"),
        "dies oddly": ("error", "its worker process was ended by signal 40"),
        "unreadable": ("unreadable", "no video stream"),
        "odd": ("error", "ZeroDivisionError: division by \\udce9"),
        "mute": ("error", "Mute"),
        "unloadable": ("error", "OSError: gone"),
        "refused": ("error", "KeyError: 'no such store'"),
        "left": ("error", "SystemExit: 1"),
        "mute argument": ("error", "Mute"),
        "unloadable argument": ("error", "EOFError: cut short"),
        "fine": ("ok", "fine!"),
        "fine too": ("ok", "fine too!"),
    }


def test_an_absent_file_is_missing_and_one_video_starts_one_worker(tmp_path):
    started = []

    def arguments(_: Video) -> tuple[()]:
        started.extend(child for child in multiprocessing.active_children() if child.name == "dfd-video")
        return ()

    (outcome,) = flat(behave, named(tmp_path, "unreadable"), arguments, Limits(8))
    assert outcome.status == "missing"
    assert len(started) == 1


def test_an_unpicklable_function_is_a_caller_error(tmp_path):
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        each_video(lambda _: 0, named(tmp_path, "a"))


@pytest.mark.parametrize("passed", [True, False])
def test_videos_left_after_the_deadline_are_out_of_budget(tmp_path, passed):
    videos = named(tmp_path, "first", "second", "third", "fourth")
    start = time.monotonic()
    outcomes = list(flat(hang, videos, limits=Limits(2, timeout=300, until=start - 1 if passed else start + 3)))
    assert time.monotonic() - start < (5 if passed else 20)
    assert sorted(o.video.name for o in outcomes) == sorted(video.name for video in videos)
    assert {o.status for o in outcomes} == {"out_of_budget"}
    assert all(gone(process(video)) for video in videos if video.path.exists())


def test_memory_is_limited_per_video_and_an_exhausted_worker_replaced(tmp_path):
    videos = named(tmp_path, 100, 900, 200)
    outcomes = list(flat(hungry, videos, limits=Limits(1, timeout=60, memory=0.5)))
    assert [o.status for o in outcomes] == ["ok", "error", "ok"]
    assert outcomes[1].reason == "it takes more than 0.5 GB of memory"
    assert outcomes[0].value != outcomes[2].value  # process ids differ


def test_memory_and_time_can_be_unlimited(tmp_path):
    (outcome,) = flat(hungry, named(tmp_path, 1), limits=Limits(1, timeout=math.inf, memory=math.inf, until=math.inf))
    assert outcome.status == "ok"


@spawned
def test_killing_an_idle_worker_loses_nothing(tmp_path):
    videos = named(tmp_path, *range(1, 7))
    statuses, asked = [], []

    def arguments(video: Video) -> tuple[()]:
        asked.append(video)
        return ()

    for outcome in flat(note, videos, arguments, Limits(1)):
        statuses.append(outcome.status)
        if len(statuses) == 1:
            worker = process(videos[2])  # it has read ahead as many as it may
            time.sleep(0.5)  # and waits
            os.kill(worker, signal.SIGKILL)
            os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)  # all its threads have ended
    assert statuses == ["ok"] * 6
    assert asked == videos


@spawned
def test_a_failed_worker_is_dead_before_its_outcome_is_yielded(tmp_path):
    videos = named(tmp_path, "big", "next")
    outcomes = each_video(hang, videos, lambda _: (800,), Limits(1, timeout=1.5))  # the kernel takes a while to free it
    (outcome,) = next(outcomes)
    assert gone(process(outcome.video))
    assert outcome.status == "timed_out"
    outcomes.close()


@spawned
@pytest.mark.parametrize("leave", ["closed", "lost", "lost in a cycle"])
def test_workers_start_at_once_and_end_with_the_iterator(tmp_path: Path, leave: str) -> None:
    videos = named(tmp_path, "a", "b", "c")
    held: list[Any] = [each_video(hang, videos, limits=Limits(2))]
    workers = [process(video) for video in videos[:2]]  # before the first next()
    if leave == "closed":
        held[0].close()
        assert list(held[0]) == []
    elif leave == "lost":
        held.clear()
    else:
        held.append(held)
        del held
        gc.collect()
    assert all(map(gone, workers))
    assert not videos[2].path.exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "dfd-videos"]


@spawned
def test_an_abandoned_iterator_leaves_no_process(tmp_path):
    for come in each_video(hungry, named(tmp_path, *range(1, 5)), limits=Limits(1)):
        pid = come[0].value
        break
    assert gone(pid)


@spawned
def test_workers_that_cannot_start_raise_an_error(tmp_path):
    start = time.monotonic()
    outcomes = list(flat(Unloadable(SystemExit, 3), named(tmp_path, *range(40)), limits=Limits(2)))
    assert time.monotonic() - start < 30  # for all of them
    assert sorted(int(o.video.name) for o in outcomes) == list(range(40))
    assert {(o.status, o.reason) for o in outcomes} == {("error", "no worker process could be started")}


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


def test_workers_end_when_the_parent_is_killed(tmp_path):
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
    assert left_running(parent.pid) == []


def test_outcomes_finished_meanwhile_are_yielded_together(tmp_path):
    sizes = []
    videos = named(tmp_path, *range(1, 7))
    for come in each_video(note, videos, limits=Limits(1)):
        sizes.append(len(come))
        process(videos[min(sum(sizes) + 1, 5)])  # meanwhile the worker has read two,
        time.sleep(0.2)  # and waits
    assert sum(sizes) == 6
    assert max(sizes) in (2, 3)  # a third if it had already begun one


def test_no_videos_no_outcomes():
    assert list(each_video(behave, [])) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"workers": -1}, "workers is -1: give 0 for one a core, or a number of processes"),
        ({"timeout": 0}, "timeout is 0: give a number of seconds above 0"),
        ({"timeout": math.nan}, "timeout is nan: give a number of seconds above 0"),
        ({"memory": -0.5}, "memory is -0.5: give a number of gigabytes above 0"),
        ({"memory": math.nan}, "memory is nan: give"),
        ({"workers": math.nan}, "workers is nan: give"),
        ({"until": math.nan}, "until is nan: give"),
    ],
)
def test_nonsensical_limits_are_refused(limits, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Limits(**limits)


def machine(root: Path, groups: str, files: dict[str, str]) -> Path:
    """Make a fake tree of /proc and /sys."""
    for name, text in {"proc/self/cgroup": groups, **{f"sys/fs/cgroup/{n}": t for n, t in files.items()}}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "5:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/docker/ab\n"


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "210000 100000\n"}, 3),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "900000 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "0 0\n"}, 8),
        ("0::/\n", {"cpu.max": ""}, 8),
        ("0::/a/b:c\n", {"a/b:c/cpu.max": "300000 100000", "a/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000", "a/cpu.max": "150000 100000"}, 2),
        ("0::/a\n", {"a/b/cpu.max": "100000 100000", "other/cpu.max": "100000 100000"}, 8),
        ("0::/../../x\n", {"cpu.max": "300000 100000"}, 3),
        (V1, {"cpu/docker/ab/cpu.cfs_quota_us": "250000\n", "cpu/docker/ab/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "50000", "cpu,cpuacct/cpu.cfs_period_us": "50000"}, 1),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        (V1, {"memory/docker/ab/cpu.max": "100000 100000"}, 8),
        ("", {}, 8),
    ],
)
def test_a_cpu_quota_counts_as_cores(tmp_path, monkeypatch, groups, files, cores):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(8))
    assert available_cores(machine(tmp_path, groups, files)) == cores


def test_without_control_groups_affinity_counts(tmp_path):
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))
    assert 1 <= available_cores() <= len(os.sched_getaffinity(0))
