import itertools
import random

import pytest

from dfd.inference.budget import FULL, MIRRORED, SPEEDS, Budget


class Machine:
    """A clock and a machine: a video takes `seconds` at full speed, and `shares` of that at other speeds."""

    def __init__(self, seconds, shares, seed=0):
        self.now, self.seconds, self.shares, self.draw = 1000.0, seconds, shares, random.Random(seed)

    def __call__(self):
        return self.now

    def run(self, budget, videos, change=lambda done: 1.0):
        """Run all videos; return the seconds taken and the number done in time."""
        start = self.now
        for done in range(videos):
            if budget.left() <= 0:
                return self.now - start, done
            speed = budget.begin(str(done))
            assert budget.speed(str(done)) == SPEEDS[speed]
            took = self.seconds * self.shares[speed] * self.draw.uniform(0.5, 1.5) * change(done)
            self.now += took
            budget.finish({str(done): took * 0.7}, took * 0.3)
        return self.now - start, videos


AS_GUESSED = tuple(speed.cost for speed in SPEEDS)
HOURS = 8.5 * 3600


@pytest.mark.parametrize("shares", [AS_GUESSED, (2, 1, 0.8, 0.2), (1, 1, 0.2, 0.05)])
@pytest.mark.parametrize("seconds", [2.0, 7.5, 9.0, 14.0, 24.0, 60.0])
@pytest.mark.parametrize(
    "change", [lambda _: 1.0, lambda done: 1.8 if done > 1500 else 1.0, lambda done: 2 - done / 4000]
)
def test_four_thousand_videos_finish_within_their_hours_if_possible(seconds, shares, change):
    machine = Machine(seconds, shares)
    budget = Budget(4000, HOURS, clock=machine)
    took, done = machine.run(budget, 4000, change)
    assert took <= HOURS
    least = sum(seconds * min(shares) * change(number) for number in range(4000))
    if least < 0.9 * HOURS:
        assert done == 4000
    if sum(seconds * change(number) for number in range(4000)) < 0.7 * HOURS:
        assert not budget.changes
    else:
        assert budget.changes
        assert len(budget.changes) < 100  # when a cost estimate is half of the true cost
        if done == 4000 and least < 0.5 * HOURS:
            assert took > 0.6 * HOURS  # the available time is used


def test_a_speed_change_is_reported_and_recorded():
    machine, notes = Machine(10.0, AS_GUESSED), []
    budget = Budget(100, 500, clock=machine, tell=notes.append)
    machine.run(budget, 100)
    assert len(notes) == len(budget.changes) >= 1
    first = budget.changes[0]
    assert notes[0] == f"{100 - first.done} videos left and {first.left:.0f} s for them: from here on {first.speed}."
    assert sum(budget.used.values()) == 100
    assert set(budget.used) >= {first.speed}


def test_the_clock_holds_a_reserve_and_expires():
    machine = Machine(1.0, AS_GUESSED)
    budget = Budget(10, 100, clock=machine)
    assert budget.left() == pytest.approx(98)
    assert Budget(10, 5, clock=machine).left() == pytest.approx(4.5)
    assert Budget(10, HOURS, clock=machine).left() == pytest.approx(0.99 * HOURS)
    machine.now += 98.5
    assert budget.left() < 0


def test_scoring_is_never_more_thorough_than_detection_was():
    machine = Machine(1.0, AS_GUESSED)
    budget = Budget(1000, 100, clock=machine)
    assert budget.begin("early") == FULL
    machine.run(budget, 5)
    late = budget.begin("late")
    assert late > FULL
    assert budget.speed("early") == SPEEDS[late]
    assert budget.speed("never begun: it was on record") == SPEEDS[late]


def test_a_stored_video_costs_only_its_scoring():
    machine = Machine(1.0, AS_GUESSED)
    budget = Budget(1000, 100, clock=machine)
    budget.finish({"on record": 3600.0}, 0.05)
    assert not budget.changes


def test_videos_finished_together_are_counted_individually():
    budget = Budget(100, 1000, clock=(machine := Machine(1.0, AS_GUESSED)))
    names = [f"{number}" for number in range(8)]
    for name in names:
        budget.begin(name)
    machine.now += 16.0
    budget.finish(dict.fromkeys(names, 1.0), 8.0)
    assert budget.used == {SPEEDS[FULL].name: 8}
    assert not budget.changes  # 92 at two seconds each fit 974 seconds


@pytest.mark.parametrize(("seconds", "time_for_it"), [(0.5, True), (1.0, False), (4.0, False)])
def test_mirrored_clips_are_dropped_first(seconds, time_for_it):
    budget = Budget(100, 125, clock=(machine := Machine(seconds, AS_GUESSED)), best=MIRRORED)
    took, _ = machine.run(budget, 100)
    assert took <= 125
    used = budget.used[SPEEDS[MIRRORED].name]
    assert used == 100 if time_for_it else 1 <= used < 50
    assert time_for_it == (not budget.changes)


def test_each_speed_does_less_work_than_the_previous_one():
    for more, less in itertools.pairwise(SPEEDS):
        assert less.cost < more.cost
        assert less.segments <= more.segments
        assert less.members <= more.members
        assert less.mirror <= more.mirror
