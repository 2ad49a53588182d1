"""Shadow replay: everything is derived again and compared; a changed rule names exactly what would differ."""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from isthmus.events import TimeAndMaterials
from isthmus.process.actor import ProcessSurroundings, run_analytical, run_process
from isthmus.process.replay import Difference, Entry, Replay
from isthmus.process.rules import forecast, forecast_outlook, time_and_materials
from isthmus.process.rules.billing import Billing
from isthmus.process.rules.burn import BurnProcess
from isthmus.process.rules.forecast import ForecastProcess
from isthmus.process.rules.plan import Plan
from isthmus.process.rules.utilization import UtilizationProcess
from isthmus.runtime.doorbell import Doorbells
from isthmus.store import lanes, log
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.delivery.given import now
from tests.process.conftest import Ledger
from tests.process.planning import planning

CAPPED = TimeAndMaterials(line="T", default_rate=Decimal("100.00"), cap_amount=Decimal("700.00"))
PROCESSES: dict[str, Any] = {"money": (Billing(), None), "hours": (BurnProcess(), None)}
ANALYTICAL: dict[str, Any] = {
    "hours": (BurnProcess(), None),
    "outlook": (ForecastProcess(), None),
    "weeks": (UtilizationProcess(), None),
}


async def recorded(*sentences: str) -> tuple[list[Entry], dict[str, int]]:
    """A log as the actors wrote it, and how far each of them has read."""
    book = Ledger()
    book.tell("project P1")
    book.sign(CAPPED)
    for sentence in sentences:
        if sentence.startswith("amend"):
            book.amend(2, CAPPED, effective_on="10-20")
        elif sentence.split()[0] in ("plan", "unplan", "resource"):
            book.told.append(planning(sentence))
        else:
            book.tell(sentence)
    bells = Doorbells()
    async with open_memory_store(now=now) as store:

        def around(lane: str) -> ProcessSurroundings:
            return ProcessSurroundings(
                lane=lane, store=store, bell=bells.of(lane), now=now, announce=bells.ring_all
            )

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_process, Billing(), around("money"))
            for lane, (process, _) in ANALYTICAL.items():
                nursery.start_soon(partial(run_analytical, process, around(lane), lag_window_s=2.0))
            for fact in book.told:
                await store.write(lambda tx, fact=fact: log.append(tx, [fact], now()))  # type: ignore[misc]
                bells.ring_all()
                await trio.sleep(0.9)
            await trio.sleep(30)
            nursery.cancel_scope.cancel()
        return await _read(store)


async def _read(store: Store) -> tuple[list[Entry], dict[str, int]]:
    def unit(tx: Tx) -> tuple[list[Entry], dict[str, int]]:
        rows = log.search(tx, limit=10_000)
        entries = [
            Entry(
                seq=row.seq,
                id=row.id,
                kind=row.kind,
                entity=row.entity,
                stale=row.stale,
                payload=row.payload if isinstance(row.payload, str) else row.payload.decode(),
            )
            for row in rows
        ]
        return entries, lanes.positions(tx)

    return await store.read(unit)


def replayed(
    entries: list[Entry], positions: dict[str, int], processes: dict[str, Any] = PROCESSES
) -> tuple[int, list[Difference]]:
    """How many statements agree, and what differs."""
    replay = Replay(processes)
    replay.expect(entries)
    replay.take(entries)
    verdicts = replay.verdicts(positions)
    return sum(each.equal for each in verdicts), [
        each for verdict in verdicts for each in verdict.differences
    ]


TICK = forecast._tick
HISTORY = (
    "time a r1 2.00 10-05",
    "time b r1 8.00 10-05",
    "time a r2 3.00 10-05",
    "time a r1 9.00 10-05",
    "untime b r2",
    "close 10",
    "time c r1 1.00 10-06",
    "open 10",
)


async def test_the_same_rules_say_the_same() -> None:
    entries, positions = await recorded(*HISTORY)
    derived = [entry for entry in entries if entry.id.startswith(("billing/", "burn/"))]
    assert {entry.kind for entry in derived} >= {"charge.determined", "charge.held", "burn.revised"}
    assert replayed(entries, positions) == (len(derived), [])


PLANNED = (
    "resource R1 40.00",
    "plan A R1 consulting 10-05 10-14 8.00",
    "tick 10-05",
    "time a r1 2.00 10-05",
    "plan B R2 design 10-12 10-23 4.00 tentative",
    "stage on_hold r1",
    "stage active r2",
    "time a r2 2.00 10-06",
    "plan A R1 consulting 10-05 10-14 8.00 r2",
    "amend",
    "untime a r3",
    "resource R2 20.00",
    "unplan B 10-19 r2",
    "tick 12-01",
    "plan C R1 consulting 12-07 12-08 8.00",
)


async def test_what_was_said_of_months_and_weeks_is_said_again() -> None:
    entries, positions = await recorded(*PLANNED)
    said = [entry for entry in entries if entry.id.startswith(("burn/", "forecast/", "utilization/"))]
    kinds = [entry.kind for entry in said]
    assert kinds.count("forecast.revised") >= 4
    assert kinds.count("utilization.revised") >= 4
    assert replayed(entries, positions, ANALYTICAL) == (len(said), [])


async def test_another_working_week_shows_in_the_statements_that_look_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries, positions = await recorded(*PLANNED)
    monkeypatch.setattr(forecast_outlook, "working_days", lambda first, last: max(0, (last - first).days + 1))
    _, differences = replayed(entries, positions, ANALYTICAL)
    assert {(each.what, each.process, *each.changed) for each in differences} == {
        ("differs", "forecast", "months")
    }


async def test_mutant_a_tick_that_names_no_project_is_found_by_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever a statement is made of must name its key: a replay states it right after its basis."""
    monkeypatch.setattr(forecast, "_tick", lambda event, states: TICK(event, states) and set())
    entries, positions = await recorded("plan A R1 consulting 10-05 10-14 8.00", "tick 12-01")
    _, differences = replayed(entries, positions, ANALYTICAL)
    assert differences != []


async def test_a_changed_rule_shows_exactly_the_charges_that_would_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    entries, positions = await recorded(*HISTORY)
    plan = time_and_materials.plan

    def dearer_c(line: Any, newest: Any, work: Any, currency: str) -> Any:
        found = plan(line, newest, work, currency)
        if work.key != "c" or not isinstance(found, Plan):
            return found
        return replace(found, price=Decimal("110.00"))

    monkeypatch.setattr(time_and_materials, "plan", dearer_c)
    _, differences = replayed(entries, positions)
    charges = [each for each in differences if each.kind == "charge.determined"]
    assert [each.changed["amount"] for each in charges] == [("100.00", "110.00")]
    assert [each.changed["unit_price"] for each in charges] == [("100.00", "110.00")]
    assert {each.process for each in differences} == {"billing"}


async def test_a_recorded_charge_that_was_altered_is_found() -> None:
    entries, positions = await recorded(*HISTORY)
    at = next(n for n, entry in enumerate(entries) if entry.kind == "charge.determined")
    payload = msgspec.json.decode(entries[at].payload)
    altered = msgspec.json.encode({**payload, "amount": "1.00"}).decode()
    entries[at] = msgspec.structs.replace(entries[at], payload=altered)
    (found,) = replayed(entries, positions)[1]
    assert (found.what, found.id, found.changed) == (
        "differs",
        entries[at].id,
        {"amount": ("1.00", payload["amount"])},
    )


async def test_what_was_lost_and_what_was_slipped_in_is_found() -> None:
    entries, positions = await recorded(*HISTORY)
    places = [n for n, entry in enumerate(entries) if entry.kind == "charge.determined"]
    lost = entries.pop(places[-1])
    forged = msgspec.structs.replace(entries[places[0]], id="billing/charge.determined/nothing/1")
    entries.append(forged)
    found = {(each.what, each.id) for each in replayed(entries, positions)[1]}
    assert found == {("extra", lost.id), ("missing", forged.id)}


async def test_facts_the_daemon_has_not_read_yet_are_no_difference() -> None:
    entries, positions = await recorded(*HISTORY)
    told = [entry for entry in entries if not entry.id.startswith(("billing/", "burn/"))]
    assert replayed(told, dict.fromkeys(positions, 0))[1] == []
    assert replayed(told, positions)[1] != []


async def test_a_rule_that_breaks_is_told_and_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, positions = await recorded(*HISTORY)
    plan = time_and_materials.plan

    def breaks_on_c(line: Any, newest: Any, work: Any, currency: str) -> Any:
        if work.key == "c":
            raise ZeroDivisionError
        return plan(line, newest, work, currency)

    monkeypatch.setattr(time_and_materials, "plan", breaks_on_c)
    replay = Replay(PROCESSES)
    replay.expect(entries)
    replay.take(entries)
    money, hours = replay.verdicts(positions)
    (unread,) = [entry.id for entry in entries if entry.id in money.unread]
    assert '"entry":"c"' in next(entry.payload for entry in entries if entry.id == unread)
    assert hours.agrees
