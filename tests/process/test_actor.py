"""The actor of a process: in log order, all or nothing, past what breaks it, and on time."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, TypeVar, get_args

import pytest
import trio

from isthmus.process import actor
from isthmus.process.actor import BATCH
from isthmus.store import log
from isthmus.store.errors import StoreFailed, StoreFull
from isthmus.store.face import Row, Store, Tx
from isthmus.store.open import open_memory_store
from tests.process.dying import Died, DyingStore, Moment
from tests.process.fakes import (
    LANE,
    WINDOW_S,
    Stand,
    Tally,
    Total,
    Totals,
    at_work,
    noise,
    now,
    stand,
    tell,
    work,
)

T = TypeVar("T")


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with open_memory_store(now=now) as opened:
        yield opened


async def settled(store: Store, process: Tally | Totals, wait_s: float = 1.0) -> Stand:
    """Run until nothing is left to do; what the store then holds."""
    async with at_work(process, store):
        await trio.sleep(wait_s)
    return await stand(store, process.name)


# Transactional


async def test_facts_are_taken_in_log_order_over_many_batches(store: Store) -> None:
    entries = [f"e{n}" for n in range(2 * BATCH + 50)]
    await tell(store, (work(entry) for entry in entries))
    done = await settled(store, Tally())
    assert done.tally == [(entry, f"{n}.00") for n, entry in enumerate(entries, start=1)]


async def test_facts_it_does_not_consume_are_passed_over(store: Store) -> None:
    await tell(store, [noise("A"), work("e1"), noise("B")])
    done = await settled(store, Tally())
    assert (done.tally, done.position) == ([("e1", "1.00")], 4), "its own event is the fourth"


async def test_it_sleeps_until_the_bell_rings(store: Store) -> None:
    async with at_work(Tally(), store) as actor:
        await trio.sleep(1)
        turns = actor.turns
        await trio.sleep(3600)
        assert actor.turns == turns
        await actor.tell(work("e1"))
        await trio.sleep(0.1)
        assert (await stand(store, "tally")).tally == [("e1", "1.00")]


async def test_only_a_turn_that_derived_something_is_announced(store: Store) -> None:
    async with at_work(Tally(), store) as actor:
        await actor.tell(noise("A"))
        await trio.sleep(1)
        assert actor.announced == 0
        await actor.tell(work("e1"), work("e2"))
        await trio.sleep(1)
        assert actor.announced == 1


async def test_facts_of_other_entities_are_not_its_business(store: Store) -> None:
    await tell(store, [work("e1", entity="us01"), work("e2", entity="de01"), work("e3", entity="us01")])
    async with at_work(Tally(), store, entities=frozenset({"de01"})):
        await trio.sleep(1)
    done = await stand(store, "tally")
    assert (done.tally, done.position) == ([("e2", "1.00")], 4)


async def test_a_restart_goes_on_where_it_stood(store: Store) -> None:
    await tell(store, [work("e1"), work("e2")])
    await settled(store, Tally())
    await tell(store, [work("e3")])
    done = await settled(store, Tally())
    assert done.tally == [("e1", "1.00"), ("e2", "2.00"), ("e3", "3.00")]


# What concerns very many rows


class Wide(Tally):
    """Looks at more rows than a turn may look at while others wait for it."""

    def apply(self, event: Any, states: Any) -> Any:
        for n in range(9):
            states.get(f"total:other{n}", Total)
        return super().apply(event, states)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "ROWS", 8)


@pytest.mark.usefixtures("narrow")
async def test_it_is_decided_in_a_read_so_that_no_writer_waits_for_it(store: Store) -> None:
    looked: list[str] = []

    class Watched(DyingStore):
        """Notes in which transactions all the rows of a fact were looked at."""

        async def write(self, unit: Callable[[Tx], T]) -> T:
            return await super().write(lambda tx: unit(Watching(tx, "write")))

        async def read(self, unit: Callable[[Tx], T], *, limit_s: float = 10.0) -> T:
            return await super().read(lambda tx: unit(Watching(tx, "read")), limit_s=limit_s)

    class Watching(SickTx):
        def __init__(self, inner: Tx, where: str) -> None:
            super().__init__(inner)
            self.where = where

        def one(self, name: str, /, **params: Any) -> Row | None:
            if name == "state_get" and params["key"] == "total:P1":
                looked.append(self.where)
            return self._inner.one(name, **params)

    await tell(store, [work("e1"), work("e2")])
    done = await settled(Watched(store), Wide())
    assert done.tally == [("e1", "1.00"), ("e2", "2.00")]
    assert looked == ["read", "read"]


@pytest.mark.usefixtures("narrow")
async def test_it_leaves_what_it_would_leave_in_one_transaction() -> None:
    wide, died = await outcomes(Wide())
    usual, _ = await outcomes(Tally())
    assert same(wide, usual)
    assert all(same(left, wide) for left in died)


# What breaks it


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param([0], id="the first of all"),
        pytest.param([BATCH - 1], id="the last of a batch"),
        pytest.param([BATCH + 7], id="in the second batch"),
        pytest.param([3, 4, 5], id="three in a row"),
        pytest.param([5, BATCH + 60, 2 * BATCH + 9], id="far from each other"),
        pytest.param([2 * BATCH + 19], id="the newest of all"),
    ],
)
async def test_an_event_that_breaks_a_rule_is_set_aside_and_the_others_go_on(
    store: Store, bad: list[int]
) -> None:
    entries = [("bad" if n in bad else "e") + str(n) for n in range(2 * BATCH + 20)]
    await tell(store, (work(entry) for entry in entries))
    done = await settled(store, Tally())
    healthy = [entry for entry in entries if entry.startswith("e")]
    assert done.tally == [(entry, f"{n}.00") for n, entry in enumerate(healthy, start=1)]
    assert [letter.subject for letter in done.letters] == [f"bad{n}" for n in bad]


async def test_the_work_item_names_lane_event_and_reason(store: Store) -> None:
    event = work("bad1")
    await tell(store, [work("e1"), event, work("e2")])
    (letter,) = (await settled(store, Tally())).letters
    row = await store.read(lambda tx: log.by_id(tx, event.id))
    assert row is not None
    assert (letter.origin, letter.lane_or_source, letter.state) == ("process", LANE, "open")
    assert (letter.seq, letter.payload_place) == (2, event.id)
    assert letter.payload_hash == sha256(row.payload).hexdigest()
    assert letter.reason == "ZeroDivisionError('bad1')"


async def test_an_event_set_aside_is_not_taken_again_after_a_restart(store: Store) -> None:
    await tell(store, [work("bad1"), work("e1")])
    first = await settled(store, Tally())
    again = await settled(store, Tally())
    assert (again.tally, again.letters, again.rows) == (first.tally, first.letters, first.rows)


async def test_derived_events_that_cannot_be_kept_are_the_fault_of_their_cause(store: Store) -> None:
    class Twisted(Tally):
        def apply(self, event: Any, states: Any) -> Any:
            derived = super().apply(event, states)
            return [object()] if event.entry == "e2" else derived

    await tell(store, [work("e1"), work("e2"), work("e3")])
    done = await settled(store, Twisted())
    assert done.tally == [("e1", "1.00"), ("e3", "2.00")]
    assert [letter.subject for letter in done.letters] == ["e2"]


class SickTx:
    """A transaction whose disk cannot read the rows of a process."""

    def __init__(self, inner: Tx) -> None:
        self._inner = inner

    def run(self, name: str, /, **params: Any) -> int:
        return self._inner.run(name, **params)

    def many(self, name: str, rows: Iterable[Mapping[str, Any] | Sequence[Any]], /) -> int:
        return self._inner.many(name, rows)

    def one(self, name: str, /, **params: Any) -> Row | None:
        if name == "state_get" and str(params["key"]).startswith("total:"):
            raise StoreFailed("state_get: disk I/O error")
        return self._inner.one(name, **params)

    def all(self, name: str, /, **params: Any) -> list[Row]:
        return self._inner.all(name, **params)


class SickStore(DyingStore):
    """A store whose disk cannot read the rows of a process."""

    async def write(self, unit: Callable[[Tx], T]) -> T:
        return await super().write(lambda tx: unit(SickTx(tx)))


@pytest.mark.parametrize(
    "process", [pytest.param(Tally(), id="transactional"), pytest.param(Totals(), id="analytical")]
)
async def test_a_disk_that_fails_under_a_rule_is_no_fault_of_the_event(
    store: Store, process: Tally | Totals
) -> None:
    await tell(store, [work("e1")])
    with trio.fail_after(5), pytest.RaisesGroup(StoreFailed):
        async with at_work(process, SickStore(store)):
            await trio.sleep_forever()
    left = await stand(store, process.name)
    assert (left.letters, left.position) == ([], 0)


async def test_a_full_disk_is_waited_out(store: Store) -> None:
    class Full(DyingStore):
        async def write(self, unit: Callable[[Tx], T]) -> T:
            self.writes += 1
            if self.writes <= 3:
                raise StoreFull("no space")
            return await self._inner.write(unit)

    await tell(store, [work("bad1"), work("e1")])
    async with at_work(Tally(), Full(store)):
        await trio.sleep(60)
    done = await stand(store, "tally")
    assert (done.tally, len(done.letters)) == ([("e1", "1.00")], 1)


# Dying in the middle

FACTS = [work("e1"), noise("A"), work("e2", project="P2"), work("bad1"), work("e3"), work("e4", project="P2")]


class InTwo(DyingStore):
    """The planted bug: the rows of the process are written in a transaction after that of its events."""

    async def write(self, unit: Callable[[Tx], T]) -> T:
        late: list[tuple[str, list[Any]]] = []

        class Later(SickTx):
            def many(self, name: str, rows: Iterable[Mapping[str, Any] | Sequence[Any]], /) -> int:
                if name == "state_put":
                    late.append((name, list(rows)))
                    return 0
                return self._inner.many(name, rows)

            def one(self, name: str, /, **params: Any) -> Row | None:
                return self._inner.one(name, **params)

        def begun(tx: Tx) -> T:
            late.clear()
            return unit(Later(tx))

        done = await super().write(begun)
        for name, rows in late:
            if rows:
                await super().write(lambda tx, name=name, rows=rows: tx.many(name, rows))  # type: ignore[misc]
        return done


async def outcomes(
    process: Tally | Totals, kind: type[DyingStore] = DyingStore, wait_s: float = 1.0
) -> tuple[Stand, list[Stand]]:
    """What is left without a death, and after a death at each write, before and after its commit."""

    async def one(at: int, moment: Moment) -> tuple[Stand, int]:
        async with open_memory_store(now=now) as store:
            await tell(store, FACTS)
            dying = kind(store, at, moment)
            try:
                async with at_work(process, dying):
                    await trio.sleep(wait_s)
            except* Died:
                pass
            return await settled(store, process, wait_s), dying.writes

    healthy, writes = await one(0, "before the commit")
    assert writes > 5
    died = [await one(at, moment) for at in range(1, writes + 1) for moment in get_args(Moment)]
    return healthy, [left for left, _ in died]


def same(left: Stand, right: Stand) -> bool:
    """Whether nobody could tell which of the two died on the way."""
    return (
        left.tally == right.tally
        and left.rows == right.rows
        and [letter.subject for letter in left.letters] == [letter.subject for letter in right.letters]
    )


async def test_a_death_at_any_write_leaves_events_rows_and_position_together() -> None:
    healthy, died = await outcomes(Tally())
    assert healthy.tally == [("e1", "1.00"), ("e2", "1.00"), ("e3", "2.00"), ("e4", "2.00")]
    assert [same(left, healthy) for left in died] == [True] * len(died)


async def test_mutant_rows_written_apart_from_events_are_lost_by_a_death() -> None:
    healthy, died = await outcomes(Tally(), InTwo)
    assert not all(same(left, healthy) for left in died), "the check above would not see it"


async def test_a_death_at_any_write_of_an_analytical_process_loses_no_hour() -> None:
    def last(left: Stand) -> dict[str, str]:
        return {project: hours for project, hours, _ in left.totals}

    healthy, died = await outcomes(Totals(), wait_s=3 * WINDOW_S)
    assert last(healthy) == {"P1": "2.00", "P2": "2.00"}
    assert [last(left) for left in died] == [last(healthy)] * len(died)
    assert all(len(left.said) == 2 and len(left.letters) == 1 for left in died)


# Analytical


async def test_facts_of_one_window_are_one_statement_with_its_basis(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        await actor.tell(work("e1", "2.00"))
        await trio.sleep(WINDOW_S / 2)
        await actor.tell(work("e2", "0.50"), work("e3", "1.00"))
        await trio.sleep(WINDOW_S / 2 - 1)
        assert (await stand(store, "totals")).said == [], "the window is open"
        assert actor.announced == 0
        await trio.sleep(2)
        assert (await stand(store, "totals")).totals == [("P1", "3.50", ["e1", "e2", "e3"])]
        assert actor.announced == 1
        await trio.sleep(10 * WINDOW_S)
        assert len((await stand(store, "totals")).said) == 1, "without news nothing is said again"


async def test_a_window_begins_with_the_first_fact_of_its_key(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        await actor.tell(work("e1", project="P1"))
        await trio.sleep(40)
        await actor.tell(work("e2", project="P2"))
        await trio.sleep(WINDOW_S - 40 + 1)
        assert (await stand(store, "totals")).totals == [("P1", "1.00", ["e1"])]
        await trio.sleep(40)
        assert (await stand(store, "totals")).totals[1:] == [("P2", "1.00", ["e2"])]


async def test_facts_that_never_pause_are_stated_once_per_window_all_the_same(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        for n in range(300):
            await actor.tell(work(f"e{n}"))
            await trio.sleep(1)
        await trio.sleep(2 * WINDOW_S)
    done = await stand(store, "totals")
    assert 5 <= len(done.said) <= 6
    assert [entry for _, _, basis in done.totals for entry in basis] == [f"e{n}" for n in range(300)]
    assert done.totals[-1][1] == "300.00"


async def test_many_keys_of_one_window_are_stated_in_turns(store: Store) -> None:
    said: list[int] = []

    class Counted(DyingStore):
        """Notes how many statements a transaction makes."""

        async def write(self, unit: Callable[[Tx], T]) -> T:
            before = await self.read(log.head)
            done = await super().write(unit)
            said.append(await self.read(log.head) - before)
            return done

    await tell(store, (work(f"e{n}", project=f"P{n}") for n in range(2 * BATCH + 50)))
    done = await settled(Counted(store), Totals(), 2 * WINDOW_S)
    assert [each for each in said if each] == [BATCH, BATCH, 50]
    assert len(done.said) == 2 * BATCH + 50


async def test_the_next_window_names_only_what_came_since(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        for entry in ("e1", "e2"):
            await actor.tell(work(entry))
            await trio.sleep(2 * WINDOW_S)
    assert (await stand(store, "totals")).totals == [("P1", "1.00", ["e1"]), ("P1", "2.00", ["e2"])]


async def test_a_restart_within_the_window_publishes_when_it_was_due(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        await actor.tell(work("e1"))
        await trio.sleep(WINDOW_S / 2)
    await tell(store, [work("e2")])
    async with at_work(Totals(), store):
        await trio.sleep(WINDOW_S / 2 - 1)
        assert (await stand(store, "totals")).said == []
        await trio.sleep(2)
        assert (await stand(store, "totals")).totals == [("P1", "2.00", ["e1", "e2"])]


async def test_what_fell_due_while_nobody_ran_is_published_at_once(store: Store) -> None:
    async with at_work(Totals(), store) as actor:
        await actor.tell(work("e1"))
        await trio.sleep(1)
    await trio.sleep(100 * WINDOW_S)
    assert (await settled(store, Totals(), 0.1)).totals == [("P1", "1.00", ["e1"])]


async def test_a_key_that_cannot_be_published_holds_up_no_other_and_returns_with_news(store: Store) -> None:
    await tell(store, [work("e1", project="P1"), work("e2", project="P2")])
    broken = await settled(store, Totals(unpublishable="P1"), 2 * WINDOW_S)
    assert broken.totals == [("P2", "1.00", ["e2"])]
    (letter,) = broken.letters
    assert (letter.seq, letter.reason) == (1, "publishing P1: ZeroDivisionError('P1')")
    await tell(store, [work("e3", project="P1")])
    mended = await settled(store, Totals(), 2 * WINDOW_S)
    assert mended.totals[1:] == [("P1", "2.00", ["e3"])]


async def test_an_event_that_breaks_an_analytical_rule_is_set_aside(store: Store) -> None:
    await tell(store, [work("e1"), work("bad1"), work("e2")])
    done = await settled(store, Totals(), 2 * WINDOW_S)
    assert done.totals == [("P1", "2.00", ["e1", "e2"])]
    assert [letter.subject for letter in done.letters] == ["bad1"]


async def test_an_analytical_process_takes_its_own_entities_alone(store: Store) -> None:
    await tell(store, [work("e1", entity="us01"), work("e2", entity="de01")])
    async with at_work(Totals(), store, entities=frozenset({"de01"})):
        await trio.sleep(2 * WINDOW_S)
    assert (await stand(store, "totals")).totals == [("P1", "1.00", ["e2"])]
