"""Order per subject, one in flight, a position that passes nothing unsettled: under any interleaving."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from isthmus.delivery.lane import Group, Item
from isthmus.delivery.window import Window

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
SUBJECTS = st.sampled_from(["c1", "c2", "c3", "c4"])


def item(seq: int, subject: str, **changes: bool) -> Item:
    made = Item(seq=seq, event_id=f"e{seq}", subject=subject, recorded_at=NOW, payload=b"")
    made.row, made.in_doubt = changes.get("row", False), changes.get("in_doubt", False)
    return made


class Lane(RuleBasedStateMachine):
    """The window with a model of the store beside it: what is settled, what has a row, what is in flight."""

    window_type: Callable[..., Window] = Window
    fold = False

    def __init__(self) -> None:
        super().__init__()
        self.batch_max = 3
        fold_after_s = 0.0 if self.fold else None
        self.window = self.window_type(0, batch_max=self.batch_max, fold_after_s=fold_after_s)
        self.seq = 0
        self.settled: set[int] = set()
        self.subjects: dict[int, str] = {}
        self.rows: dict[int, str] = {}
        self.dead: dict[int, str] = {}
        self.were_dead: set[int] = set()
        self.in_flight: list[tuple[Group, list[Item]]] = []

    # What may happen, in any order

    @rule(subject=SUBJECTS)
    def read(self, subject: str) -> None:
        """A fact is read from the log; behind a row of its subject it gets a row of its own."""
        self.seq += 1
        self.subjects[self.seq] = subject
        if subject in self.rows.values():
            behind = item(self.seq, subject)
            self.window.lay_aside(behind)
            self.window.head = self.seq
            assert self.window.position_without(()) < self.seq
            self.rows[self.seq] = subject
            self.window.written([behind])
        else:
            self.window.add(item(self.seq, subject))
            self.window.head = self.seq

    @rule(in_doubt=st.booleans())
    def look(self, in_doubt: bool) -> None:
        """Of each subject its oldest row is due."""
        oldest: dict[str, int] = {}
        for seq, subject in sorted(self.rows.items()):
            oldest.setdefault(subject, seq)
        for subject, seq in oldest.items():
            self.window.add_due(item(seq, subject, row=True, in_doubt=in_doubt))

    @rule()
    def launch(self) -> None:
        group = self.window.next_group(NOW)
        if group is None:
            return
        subjects = [each.subject for each in group.items]
        flying = [each.subject for other, _ in self.in_flight for each in other.items]
        assert len(subjects) == len(set(subjects)), "a subject twice in one call"
        assert not set(subjects) & set(flying), "a subject twice in flight"
        assert len(subjects) <= self.batch_max
        assert len(subjects) == 1 or not any(each.in_doubt for each in group.items)
        for each in group.items:
            folded = {other.seq for other in group.folded.get(each.seq, ())}
            over = self.settled | self.were_dead | folded
            older = {
                seq for seq in range(1, each.seq) if self.subjects[seq] == each.subject and seq not in over
            }
            assert not older, f"{each.seq} goes before {older}"
        self.in_flight.append((group, list(group.items)))

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A call ends; each of its items is delivered, fails, or is put back."""
        place = data.draw(st.integers(0, len(self.in_flight) - 1), label="call")
        group, items = self.in_flight.pop(place)
        for each in items:
            outcome = data.draw(st.sampled_from(["delivered", "failed", "dead", "put back"]))
            folded = group.folded.get(each.seq, [])
            if outcome == "put back":
                self.window.put_back(each, folded)
                continue
            self.window.folded(folded)
            self.settled |= {other.seq for other in folded}
            if outcome == "delivered":
                self.settled.add(each.seq)
                self.rows.pop(each.seq, None)
                self.window.settled(each)
            else:
                behind = self.window.behind(each)
                self.rows.update({other.seq: other.subject for other in behind})
                self.rows.pop(each.seq, None)
                if outcome == "dead":
                    self.dead[each.seq] = each.subject
                    self.were_dead.add(each.seq)
                else:
                    self.rows[each.seq] = each.subject
                self.window.drop_behind(each, behind)

    @precondition(lambda self: self.dead)
    @rule()
    def revive(self) -> None:
        """A person lets a dead letter go again, while later facts of its subject are under way."""
        self.rows.update(self.dead)
        self.dead.clear()

    # What must hold at every moment

    @invariant()
    def the_position_passes_nothing_unsettled(self) -> None:
        position = self.window.position_without(())
        assert set(range(1, position + 1)) <= self.done()

    @invariant()
    def the_position_is_as_far_as_it_can_be(self) -> None:
        furthest = next((seq - 1 for seq in range(1, self.seq + 1) if seq not in self.done()), self.seq)
        assert self.window.position_without(()) == furthest

    def teardown(self) -> None:
        """Whatever happened, everything can still be delivered."""
        for group, items in self.in_flight:
            for each in items:
                self.window.put_back(each, group.folded.get(each.seq, ()))
        self.in_flight.clear()
        self.revive()
        for _ in range(3 * self.seq + 3):
            self.look(in_doubt=False)
            self.launch()
            for group, items in self.in_flight:
                for each in items:
                    self.window.folded(group.folded.get(each.seq, ()))
                    self.settled |= {other.seq for other in group.folded.get(each.seq, ())}
                    self.settled.add(each.seq)
                    self.rows.pop(each.seq, None)
                    self.window.settled(each)
            self.in_flight.clear()
        assert self.settled == set(range(1, self.seq + 1)), "something is stuck"
        assert len(self.window) == 0 and self.window.position_without(()) == self.seq

    def done(self) -> set[int]:
        """What the position may pass: settled, or kept in a row of its own."""
        return self.settled | set(self.rows) | set(self.dead)


class FoldingLane(Lane):
    """The same of an analytical lane, whose lag window is over at once."""

    fold = True


CHECK = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
SEARCH = settings(CHECK, phases=[Phase.generate], max_examples=4000, derandomize=True)
"""For a planted bug: it ends with the first example that shows it, the same one each time."""


@pytest.mark.parametrize(
    "machine",
    [pytest.param(Lane, id="transactional"), pytest.param(FoldingLane, id="analytical")],
)
def test_any_interleaving_keeps_order_and_loses_nothing(machine: type[Lane]) -> None:
    run_state_machine_as_test(machine, settings=CHECK)


class ForgetsWhoIsBusy(Window):
    """Planted: a due row goes although one of its subject is in flight."""

    def _pick(self, now: datetime, group: Group) -> Item | None:
        for subject in self._due:
            return self._due.pop(subject)
        return super()._pick(now, group)


class DropsWhatWasFolded(Window):
    """Planted: a call that is put back forgets the facts it had folded."""

    def put_back(self, each: Item, folded: object = ()) -> None:
        super().put_back(each)


class PassesTheFailed(Window):
    """Planted: the position runs ahead of what is in flight."""

    def position_without(self, settled: object) -> int:
        return self.head


class LetsTheNextGo(Window):
    """Planted: what waits behind a failed one stays ready."""

    def drop_behind(self, each: Item, behind: object) -> None:
        self.settled(each)


@pytest.mark.parametrize(
    ("planted", "machine"),
    [
        pytest.param(ForgetsWhoIsBusy, Lane, id="two of a subject in flight"),
        pytest.param(DropsWhatWasFolded, FoldingLane, id="folded facts lost"),
        pytest.param(PassesTheFailed, Lane, id="the position passes what is in flight"),
        pytest.param(LetsTheNextGo, Lane, id="the next goes before the failed one"),
    ],
)
def test_a_planted_bug_is_found(planted: type[Window], machine: type[Lane]) -> None:
    faulty = type("Faulty", (machine,), {"window_type": planted})
    with pytest.raises((AssertionError, KeyError, IndexError)):
        run_state_machine_as_test(faulty, settings=SEARCH)


def ripe(window: Window, after_s: float) -> list[int]:
    group = window.next_group(NOW + timedelta(seconds=after_s))
    return [] if group is None else [each.seq for each in group.items]


def test_an_analytical_item_waits_for_its_lag_window_and_the_newest_goes() -> None:
    window = Window(0, fold_after_s=60)
    for seq in (1, 2, 3):
        window.add(item(seq, "c1"))
    window.add(item(4, "c2"))
    assert window.ripe_at(NOW) == NOW + timedelta(seconds=60)
    assert ripe(window, 59) == []
    group = window.next_group(NOW + timedelta(seconds=60))
    assert group is not None
    assert [each.seq for each in group.items] == [3]
    assert [each.seq for each in group.folded[3]] == [1, 2]
    assert ripe(window, 60) == [4]


def test_a_ripe_item_that_may_not_go_yet_is_no_reason_to_wake() -> None:
    window = Window(0, fold_after_s=60)
    window.add(item(1, "c1"))
    assert window.ripe_at(NOW + timedelta(seconds=61)) is None


def test_a_row_older_than_what_waits_goes_first_and_a_newer_one_after_it() -> None:
    window = Window(0)
    window.add(item(5, "c1"))
    window.add_due(item(7, "c1", row=True))
    assert ripe(window, 0) == [5]
    window.settled(item(5, "c1"))
    assert ripe(window, 0) == [7]
    window.settled(item(7, "c1", row=True))
    window.add(item(9, "c1"))
    window.add_due(item(3, "c1", row=True))
    assert ripe(window, 0) == [3]


def test_a_replayed_fact_that_is_still_in_the_window_goes_once() -> None:
    window = Window(0)
    window.add(item(1, "c1"))
    window.add_due(item(1, "c1", row=True))
    assert ripe(window, 0) == [1]
    window.settled(item(1, "c1"))
    assert ripe(window, 0) == []


def test_ten_thousand_put_backs_do_not_fill_the_memory() -> None:
    window = Window(0)
    window.add(item(1, "c1"))
    for _ in range(10_000):
        group = window.next_group(NOW)
        assert group is not None
        window.put_back(group.items[0])
    assert len(window._ready) == 1
