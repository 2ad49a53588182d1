"""What counts as unbilled approved time, case by case, written by hand."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import trio
import trio.testing

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.ops import unbilled
from isthmus.ops.unbilled import UnbilledLedger, follow, open_work_items, read_page
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import dead_letters
from isthmus.store import log as event_log
from isthmus.store.face import Store
from isthmus.store.open import open_memory_store

NOW = datetime(2026, 10, 30, 12, tzinfo=UTC)
DAY = date(2026, 10, 30)


def approved(hours: str = "8", revision: int = 1, *, entry: str = "psa:1", **more: Any) -> TimeApproved:
    age: timedelta = more.pop("age", timedelta(hours=1))
    values: dict[str, Any] = {"billable": True, **more}
    return TimeApproved(
        source="psa",
        occurred_at=NOW - age,
        entity="acme-us",
        entry=entry,
        revision=revision,
        project="crm:p",
        resource="psa:r",
        service="consulting",
        worked_on=DAY,
        hours=Decimal(hours),
        approved_on=DAY,
        **values,
    )


def withdrawn(revision: int) -> TimeUnapproved:
    return TimeUnapproved(
        source="psa", occurred_at=NOW, entity="acme-us", entry="psa:1", revision=revision, project="crm:p"
    )


def determined(
    charge: str,
    hours: str = "8",
    revision: int = 1,
    *,
    reverses: str | None = None,
    cause: str | None = None,
) -> ChargeDetermined:
    return ChargeDetermined(
        source="billing",
        occurred_at=NOW,
        entity="acme-us",
        id=f"billing/{charge}",
        causation=cause,
        charge=charge,
        contract="crm:c",
        line="T",
        project="crm:p",
        origin="time",
        origin_key="psa:1",
        origin_revision=revision,
        quantity=Decimal(hours),
        unit_price=Decimal(100),
        amount=Decimal(hours) * (-100 if reverses else 100),
        currency="USD",
        earned_on=DAY,
        posting_on=DAY,
        dimensions={},
        explanation=[],
        reverses=reverses,
    )


def posted(charge: str) -> ChargePosted:
    return ChargePosted(
        source="erp",
        occurred_at=NOW,
        entity="acme-us",
        charge=charge,
        system="erp",
        remote_id=f"R-{charge}",
        posted_on=DAY,
        amount=Decimal(800),
        currency="USD",
    )


def waived(
    hours: str, revision: int = 1, reason: str = "included", n: int = 1, *, cause: str | None = None
) -> ChargeWaived:
    return ChargeWaived(
        source="billing",
        occurred_at=NOW,
        entity="acme-us",
        id=f"billing/waived/{hours}/{revision}/{n}",
        causation=cause,
        origin="time",
        origin_key="psa:1",
        origin_revision=revision,
        reason=reason,
        quantity=Decimal(hours),
    )


def _hold(type: type[ChargeHeld] | type[ChargeReleased], revision: int) -> BusinessEvent:
    return type(
        source="billing",
        occurred_at=NOW,
        entity="acme-us",
        id=f"billing/{type.__name__}/{revision}",
        origin="time",
        origin_key="psa:1",
        origin_revision=revision,
        reason="cap_reached",
        detail="",
    )


def held(revision: int = 1) -> BusinessEvent:
    return _hold(ChargeHeld, revision)


def released(revision: int = 1) -> BusinessEvent:
    return _hold(ChargeReleased, revision)


FLIGHT, BLOCKED = "in_flight", "blocked"

CASES = [
    pytest.param([approved("8")], (FLIGHT, 1, "8"), id="approved, and nobody decided yet"),
    pytest.param([approved("8", billable=False)], None, id="work that is not billable is never unbilled"),
    pytest.param([approved("8"), determined("a")], (FLIGHT, 1, "8"), id="decided, and on its way"),
    pytest.param([approved("8"), determined("a"), posted("a")], None, id="posted: it is billed"),
    pytest.param(
        [approved("8"), waived("8", reason="not_billable")], None, id="waived: it is decided, not unbilled"
    ),
    pytest.param(
        [approved("8"), waived("2"), determined("a", "6")],
        (FLIGHT, 1, "6"),
        id="the rest, if hours are included",
    ),
    pytest.param([approved("8"), held()], (BLOCKED, 1, "8"), id="held by our rules"),
    pytest.param(
        [approved("8"), determined("a", "5"), held(), posted("a")],
        (BLOCKED, 1, "3"),
        id="what a cap leaves over is held, the rest is billed",
    ),
    pytest.param(
        [approved("8"), held(), determined("a"), released()],
        (FLIGHT, 1, "8"),
        id="a hold ended, its charge is on its way",
    ),
    pytest.param(
        [approved("8"), held(), determined("a"), released(), posted("a")], None, id="a hold ended and posted"
    ),
    pytest.param([approved("8"), withdrawn(2)], None, id="an approval that was withdrawn"),
    pytest.param(
        [approved("8"), withdrawn(2), approved("7", 3)], (FLIGHT, 1, "7"), id="approved again after that"
    ),
    pytest.param(
        [approved("8"), determined("a"), posted("a"), approved("8", 2, note="typo")],
        None,
        id="billed, and approved again with nothing changed for billing",
    ),
    pytest.param(
        [approved("8"), determined("a"), posted("a"), approved("9", 2)],
        (FLIGHT, 1, "1"),
        id="an hour more: what is billed stands until it is taken back",
    ),
    pytest.param(
        [
            *[approved("8"), determined("a"), posted("a"), approved("9", 2)],
            *[determined("-a", "8", reverses="a"), determined("b", "9", 2)],
        ],
        (FLIGHT, 1, "9"),
        id="corrected: taken back, and the new charge is on its way",
    ),
    pytest.param(
        [
            *[approved("8"), determined("a"), posted("a"), approved("9", 2)],
            *[determined("-a", "8", reverses="a"), determined("b", "9", 2), posted("-a"), posted("b")],
        ],
        None,
        id="corrected and posted",
    ),
    pytest.param(
        [approved("8"), determined("a"), posted("a"), approved("9", 2), held(2)],
        (BLOCKED, 1, "1"),
        id="a correction that waits for a closed period: what was billed stands",
    ),
    pytest.param(
        [approved("8"), determined("a"), posted("a"), approved("6", 2), held(2)],
        None,
        id="a correction downwards that waits leaves nothing unbilled",
    ),
    pytest.param(
        [
            *[approved("8"), waived("2"), determined("a", "6"), posted("a")],
            *[determined("-a", "6", reverses="a"), waived("2", n=2), determined("b", "6")],
        ],
        (FLIGHT, 1, "6"),
        id="re-rated by an amendment, hours included before are included again",
    ),
    pytest.param(
        [
            *[approved("8"), waived("2"), determined("a", "3"), held(), posted("a")],
            *[determined("-a", "3", reverses="a", cause="amended"), waived("2", n=2, cause="amended")],
            *[determined("b", "3", cause="amended"), posted("b")],
        ],
        (BLOCKED, 1, "3"),
        id="so with a part that is held: what is included again is not included twice",
    ),
    pytest.param(
        [
            *[approved("8"), waived("2"), determined("a", "6"), determined("-a", "6", reverses="a")],
            *[determined("b", "6"), posted("b")],
        ],
        None,
        id="a charge that a close overtook is made again, hours that were included stay so",
    ),
    pytest.param(
        [approved("8"), waived("8"), approved("6", 2), determined("a", "6", 2)],
        (FLIGHT, 1, "6"),
        id="was included, is charged after its correction",
    ),
    pytest.param(
        [approved("8", 2), approved("5", 1)],
        (FLIGHT, 1, "8"),
        id="an older revision comes late",
    ),
    pytest.param([determined("x"), posted("x")], None, id="charges of an entry nobody approved"),
]


async def count(store: Store) -> UnbilledLedger:
    ledger = UnbilledLedger()
    while True:
        page = await store.read(lambda tx: read_page(tx, ledger))
        moved = page.upto > ledger.upto
        ledger.apply(page)
        if not moved:
            return ledger


@pytest.mark.parametrize("page", [pytest.param(500, id="one page"), pytest.param(1, id="fact by fact")])
@pytest.mark.parametrize(("events", "expected"), CASES)
async def test_what_is_unbilled(
    events: Sequence[BusinessEvent],
    expected: tuple[str, int, str] | None,
    page: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unbilled, "PAGE", page)
    async with open_memory_store() as store:
        for event in events:
            # One by one, as they are learnt: a later fact must not be known to an earlier one.
            await store.write(lambda tx, event=event: event_log.append(tx, [event], NOW))  # type: ignore[misc]
        ledger = await count(store)
    rows = [(row.cause, row.entries, f"{row.hours:f}") for row in ledger.rows(NOW)]
    assert rows == ([] if expected is None else [expected])
    assert len(ledger) == len(rows), "only what is unbilled is kept"


@pytest.mark.parametrize(
    ("age", "label"),
    [
        pytest.param(timedelta(hours=23, minutes=59), "lt_1d", id="within the day"),
        pytest.param(timedelta(days=1), "lt_3d", id="a day old"),
        pytest.param(timedelta(days=6, hours=23), "lt_7d", id="nearly a week"),
        pytest.param(timedelta(days=7), "gt_7d", id="a week"),
    ],
)
async def test_its_age_counts_from_the_approval(age: timedelta, label: str) -> None:
    async with open_memory_store() as store:
        await store.write(lambda tx: event_log.append(tx, [approved(age=age)], NOW))
        assert [row.age for row in (await count(store)).rows(NOW)] == [label]


async def test_being_approved_again_while_it_is_held_makes_it_no_younger() -> None:
    facts = [approved(age=timedelta(days=9)), held(), approved(revision=2, note="typo")]
    async with open_memory_store() as store:
        await store.write(lambda tx: event_log.append(tx, facts, NOW))
        (row,) = (await count(store)).rows(NOW)
    assert (row.age, row.cause) == ("gt_7d", "blocked")


@pytest.mark.parametrize(
    ("events", "lane", "origin", "of", "cause"),
    [
        pytest.param([approved(), determined("a")], "erp", "delivery", 2, "dead_letter", id="its charge"),
        pytest.param([approved()], "billing", "process", 1, "dead_letter", id="its approval, in billing"),
        pytest.param(
            [approved()], "planner", "delivery", 1, "in_flight", id="not its approval, in another lane"
        ),
        pytest.param(
            [approved(), determined("a")],
            "planner",
            "delivery",
            1,
            "in_flight",
            id="not its planner",
        ),
    ],
)
async def test_a_dead_letter_is_its_cause_while_a_person_has_to_act(
    events: Sequence[BusinessEvent], lane: str, origin: Any, of: int, cause: str
) -> None:
    async with open_memory_store() as store:
        await store.write(lambda tx: event_log.append(tx, events, NOW))
        letter = await store.write(
            lambda tx: dead_letters.open_one(tx, origin, lane, "period", "closed", NOW, seq=of)
        )
        ledger = await count(store)
        assert [row.cause for row in ledger.rows(NOW, await store.read(open_work_items))] == [cause]
        assert letter is not None
        await store.write(lambda tx: dead_letters.mark(tx, letter, "retrying", "someone", NOW))
        assert [row.cause for row in ledger.rows(NOW, await store.read(open_work_items))] == ["in_flight"]


async def test_an_entry_stands_under_one_cause_so_that_sums_are_true() -> None:
    facts = [
        *[approved("8"), determined("a", "5"), held()],
        *[approved("2", entry="psa:2"), approved("3", entry="psa:3", age=timedelta(days=2))],
    ]
    async with open_memory_store() as store:
        await store.write(lambda tx: event_log.append(tx, facts, NOW))
        rows = (await count(store)).rows(NOW)
    assert {(row.cause, row.age): (row.entries, row.hours) for row in rows} == {
        ("blocked", "lt_1d"): (1, Decimal(8)),
        ("in_flight", "lt_1d"): (1, Decimal(2)),
        ("in_flight", "lt_3d"): (1, Decimal(3)),
    }


async def test_it_follows_the_log_and_says_when_it_has_seen_all_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_memory_store() as store, trio.open_nursery() as nursery:
        await store.write(lambda tx: event_log.append(tx, [approved()], NOW))
        ledger, bell = UnbilledLedger(), Doorbell()
        assert not ledger.whole
        nursery.start_soon(follow, ledger, store, bell)
        await trio.sleep(1)
        assert (ledger.whole, len(ledger)) == (True, 1)
        await store.write(lambda tx: event_log.append(tx, [determined("a"), posted("a")], NOW))
        bell.ring()
        await trio.sleep(5)
        assert (ledger.upto, len(ledger)) == (3, 0)
        nursery.cancel_scope.cancel()


async def test_mutant_without_histories_a_billed_entry_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Why `read_page` reads what was forgotten: a repeated approval would stay unbilled for ever."""
    facts = [approved("8"), determined("a"), posted("a"), approved("8", 2, note="typo")]
    monkeypatch.setattr(unbilled, "PAGE", 1)
    monkeypatch.setattr(unbilled, "_history", lambda tx, entry, upto: [])
    async with open_memory_store() as store:
        for fact in facts:
            await store.write(lambda tx, fact=fact: event_log.append(tx, [fact], NOW))  # type: ignore[misc]
        assert len((await count(store)).rows(NOW)) == 1
