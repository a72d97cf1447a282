import io

from rich.console import Console

from dfd.report import terminal
from dfd.report.lines import Lines


class Watch:
    """A manually set clock."""

    now = 0.0

    def __call__(self):
        return self.now


def printed(steps, every=30.0):
    """Lines printed for a stage that reports (second, done, total, last)."""
    watch, lines = Watch(), []
    stage = Lines("train", lines.append, every, watch)
    for watch.now, done, total, last in steps:
        stage(done, total, last)
    return lines


def test_a_line_every_30_seconds_has_done_total_rate_and_time_left():
    lines = printed((second, second // 2, 1000, "epoch 1, loss 0.612") for second in range(0, 100, 2))
    assert lines == [
        "train: 15 of 1000 (2%), epoch 1, loss 0.612, 30.0/min, 0:32:50 left",
        "train: 30 of 1000 (3%), epoch 1, loss 0.612, 30.0/min, 0:32:20 left",
        "train: 45 of 1000 (4%), epoch 1, loss 0.612, 30.0/min, 0:31:50 left",
    ]


def test_a_short_stage_prints_nothing():
    assert printed((second, second, 29, "") for second in range(30)) == []


def test_the_rate_of_a_resumed_run_ignores_earlier_progress():
    assert printed([(0, 500, 600, "a"), (40, 540, 600, "b")]) == ["train: 540 of 600 (90%), b, 1.0/s, 0:01:00 left"]


def test_a_nested_stage_restarts_the_rate():
    lines = printed([(0, 5, 10, ""), (10, 0, 400, ""), (40, 60, 400, "scoring")])
    assert lines == ["train: 60 of 400 (15%), scoring, 2.0/s, 0:02:50 left"]


def test_a_repeated_stage_restarts_the_rate():
    """When two networks score the same videos, the second has its own rate."""
    lines = printed([(0, 0, 100, ""), (100, 100, 100, ""), (110, 10, 100, ""), (140, 40, 100, "")])
    assert lines[-1] == "train: 40 of 100 (40%), 1.0/s, 0:01:00 left"


def test_one_long_step_shows_progress_without_a_rate():
    assert printed([(31, 1, 10, "")]) == ["train: 1 of 10 (10%)"]


def test_a_pipe_gets_lines_and_a_terminal_a_bar(monkeypatch):
    pipe, screen = io.StringIO(), io.StringIO()
    watch = Watch()
    monkeypatch.setattr(terminal, "errors", Console(file=pipe, soft_wrap=True))
    with terminal.bar("faces", 30.0, watch) as tell:
        tell(1, 9, "a.mp4")
        watch.now = 30.0
        tell(4, 9, "[b].mp4")
    assert pipe.getvalue() == "faces: 4 of 9 (44%), [b].mp4, 6.0/min, 0:00:50 left\n"
    monkeypatch.setattr(terminal, "errors", Console(file=screen, force_terminal=True, width=120))
    with terminal.bar("faces", 0.0, watch) as tell:
        tell(4, 9, "[b].mp4")
    assert "\u2501" in screen.getvalue()
    assert "44%" not in screen.getvalue()
