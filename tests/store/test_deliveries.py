"""Order within a subject: who waits for whom, and who may go next."""

from collections.abc import Callable
from typing import Any

import pytest

from isthmus.store import deliveries, log
from isthmus.store.face import Store, Tx
from tests.store.given import LATER, NOW, SOON, approved

ERP = "erp"


@pytest.fixture
async def lane(store: Store) -> Store:
    """A store whose log has six events."""
    await store.write(lambda tx: log.append(tx, [approved(number) for number in range(6)], NOW))
    return store


def fail(tx: Tx, seq: int, subject: str, **changes: Any) -> None:
    fields: dict[str, Any] = {"due_at": SOON, "attempts": 1, "error_class": "Retryable", "text": "503"}
    deliveries.postpone(tx, ERP, seq, subject, **{**fields, "now": NOW, **changes})


def queue(tx: Tx, seq: int, subject: str, **changes: Any) -> str:
    return deliveries.queue_behind(tx, ERP, seq, subject, NOW, **changes)


def states(tx: Tx) -> dict[int, str]:
    return {each.seq: each.state for each in deliveries.listing(tx, ERP)}


def due(tx: Tx, at: Any = LATER, limit: int = 10) -> list[int]:
    return [each.seq for each in deliveries.due(tx, ERP, at, limit)]


async def test_a_failed_delivery_waits_until_it_is_due(lane: Store) -> None:
    await lane.write(lambda tx: fail(tx, 1, "a"))
    assert await lane.read(lambda tx: due(tx, NOW)) == []
    assert await lane.read(lambda tx: due(tx, SOON)) == [1]
    assert await lane.read(lambda tx: deliveries.next_due_at(tx, ERP)) == SOON
    assert await lane.read(lambda tx: deliveries.oldest_due(tx, ERP)) == SOON
    assert await lane.read(lambda tx: deliveries.next_due_at(tx, "crm")) is None


async def test_the_first_failure_is_remembered_over_the_next_ones(lane: Store) -> None:
    await lane.write(lambda tx: fail(tx, 1, "a"))
    await lane.write(lambda tx: fail(tx, 1, "a", attempts=2, now=LATER, text="504"))
    kept = await lane.read(lambda tx: deliveries.get(tx, ERP, 1))
    assert kept is not None
    assert (kept.first_failed_at, kept.attempts, kept.error_text) == (NOW, 2, "504")


@pytest.mark.parametrize(
    ("before", "hold_on_dead", "state"),
    [
        pytest.param(lambda tx: None, False, "waiting", id="nothing open: due at once"),
        pytest.param(lambda tx: fail(tx, 1, "a"), False, "blocked", id="an older one waits"),
        pytest.param(
            lambda tx: fail(tx, 1, "a", state="in_doubt"), False, "blocked", id="an older is in doubt"
        ),
        pytest.param(lambda tx: fail(tx, 1, "b"), False, "waiting", id="another subject does not matter"),
        pytest.param(lambda tx: fail(tx, 5, "a"), False, "waiting", id="a younger one does not matter"),
        pytest.param(lambda tx: bury(tx, 1), False, "waiting", id="a dead one lets it pass"),
        pytest.param(lambda tx: bury(tx, 1), True, "blocked", id="a dead one holds it if the lane says so"),
    ],
)
async def test_a_fact_lines_up_behind_its_subject(
    lane: Store, before: Callable[[Tx], None], hold_on_dead: bool, state: str
) -> None:
    await lane.write(before)
    assert await lane.write(lambda tx: queue(tx, 3, "a", hold_on_dead=hold_on_dead)) == state
    assert await lane.write(lambda tx: queue(tx, 3, "a")) == state  # once more changes nothing


def bury(tx: Tx, seq: int, **changes: Any) -> None:
    deliveries.bury(tx, ERP, seq, "a", "Rejected", "period closed", NOW, attempts=1, **changes)


async def test_settling_lets_the_next_of_the_subject_go_and_only_that(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a")
        queue(tx, 2, "a")
        queue(tx, 3, "a")
        fail(tx, 4, "b", due_at=NOW)

    await lane.write(unit)
    assert await lane.read(due) == [1, 4]
    assert await lane.write(lambda tx: deliveries.settle(tx, ERP, 1))
    assert await lane.read(states) == {2: "waiting", 3: "blocked", 4: "waiting"}
    assert await lane.read(lambda tx: due(tx, NOW)) == [2, 4]
    assert not await lane.write(lambda tx: deliveries.settle(tx, ERP, 1))


async def test_a_dead_delivery_lets_the_next_go_unless_the_lane_holds(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a")
        queue(tx, 2, "a")

    await lane.write(unit)
    await lane.write(lambda tx: bury(tx, 1, hold_on_dead=True))
    assert await lane.read(states) == {1: "dead", 2: "blocked"}
    await lane.write(lambda tx: bury(tx, 1))
    assert await lane.read(states) == {1: "dead", 2: "waiting"}


async def test_settling_behind_a_dead_one_keeps_holding_where_the_lane_says_so(lane: Store) -> None:
    def unit(tx: Tx) -> dict[int, str]:
        bury(tx, 1, hold_on_dead=True)
        fail(tx, 2, "a")
        queue(tx, 3, "a", hold_on_dead=True)
        deliveries.settle(tx, ERP, 2, hold_on_dead=True)
        return states(tx)

    assert await lane.write(unit) == {1: "dead", 3: "blocked"}


async def test_a_revived_delivery_starts_anew_and_goes_before_what_is_younger(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a", attempts=9)
        bury(tx, 1)
        queue(tx, 2, "a")

    await lane.write(unit)
    assert await lane.read(due) == [2]
    assert await lane.write(lambda tx: deliveries.revive(tx, ERP, 1, NOW))
    assert await lane.read(due) == [1]
    revived = await lane.read(lambda tx: deliveries.get(tx, ERP, 1))
    assert revived is not None and (revived.attempts, revived.first_failed_at) == (0, None)
    assert not await lane.write(lambda tx: deliveries.revive(tx, ERP, 2, NOW))


async def test_a_revived_delivery_waits_behind_what_is_older(lane: Store) -> None:
    def unit(tx: Tx) -> dict[int, str]:
        bury(tx, 2)
        fail(tx, 1, "a")
        deliveries.revive(tx, ERP, 2, NOW)
        return states(tx)

    assert await lane.write(unit) == {1: "waiting", 2: "blocked"}


async def test_crashes_are_counted_apart_from_attempts(lane: Store) -> None:
    seen = [await lane.write(lambda tx: deliveries.crashed(tx, ERP, 1, "a", NOW)) for _ in range(3)]
    assert seen == [1, 2, 3]
    kept = await lane.read(lambda tx: deliveries.get(tx, ERP, 1))
    assert kept is not None and kept.attempts == 0


async def test_a_subject_is_held_by_what_is_open(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a")
        deliveries.bury(tx, ERP, 2, "b", "Rejected", "", NOW)

    await lane.write(unit)
    subjects = ["a", "b", "c"]
    assert await lane.read(lambda tx: deliveries.held_subjects(tx, ERP, subjects)) == {"a"}
    held = await lane.read(lambda tx: deliveries.held_subjects(tx, ERP, subjects, hold_on_dead=True))
    assert held == {"a", "b"}
    assert await lane.read(lambda tx: deliveries.held_subjects(tx, "crm", subjects)) == set()


async def test_a_replay_is_scheduled_once(lane: Store) -> None:
    assert await lane.write(lambda tx: deliveries.schedule(tx, ERP, 1, "a", NOW))
    assert not await lane.write(lambda tx: deliveries.schedule(tx, ERP, 1, "a", NOW))
    assert [each.lane for each in await lane.read(lambda tx: deliveries.of_event(tx, 1))] == [ERP]


async def test_where_more_is_due_than_asked_for_the_longest_waiting_go_first(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a", due_at=LATER)
        fail(tx, 2, "b", due_at=NOW)
        fail(tx, 3, "c", due_at=SOON)

    await lane.write(unit)
    assert await lane.read(lambda tx: due(tx, limit=2)) == [2, 3]
    assert await lane.read(due) == [1, 2, 3]


async def test_troubles_are_counted_by_lane_and_state(lane: Store) -> None:
    def unit(tx: Tx) -> None:
        fail(tx, 1, "a")
        fail(tx, 2, "b")
        fail(tx, 3, "c", state="in_doubt")

    await lane.write(unit)
    assert await lane.read(deliveries.counts) == {(ERP, "waiting"): 2, (ERP, "in_doubt"): 1}
