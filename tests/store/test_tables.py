"""What each table promises, on disk and in memory alike."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import BusinessEvent
from isthmus.store import (
    audit,
    check,
    crosswalk,
    cursors,
    dead_letters,
    deliveries,
    intents,
    lanes,
    log,
    receipts,
    states,
)
from isthmus.store.errors import ConstraintBroken, CrosswalkConflict
from isthmus.store.face import Store, Tx
from tests.store.given import LATER, NOW, SOON, achieved, approved, unapproved

TIME = frozenset({"time.approved"})


async def logged(store: Store, *events: BusinessEvent) -> log.Appended:
    return await store.write(lambda tx: log.append(tx, events, NOW))


# The log


async def test_a_page_seen_twice_counts_once(store: Store) -> None:
    page = [approved(1), approved(2)]
    assert (await logged(store, *page)).new == [1, 2]
    again = await logged(store, *page, approved(3))
    assert again == log.Appended(new=[3], duplicates=2, stale=0, conflicts=[])
    assert await store.read(log.count) == 3


async def test_a_fact_that_stands_twice_in_one_page_counts_once(store: Store) -> None:
    result = await logged(store, approved(1), approved(1), approved(2))
    assert (result.new, result.duplicates) == ([1, 2], 1)


async def test_an_id_with_another_content_is_reported_and_never_merged(store: Store) -> None:
    await logged(store, approved(1, hours=Decimal("7.50")))
    result = await logged(store, approved(1, hours=Decimal("8.00")))
    assert result.conflicts == ["psa/time.approved/psa:1/1"]
    row = await store.read(lambda tx: log.by_id(tx, "psa/time.approved/psa:1/1"))
    assert row is not None and row.event() == approved(1, hours=Decimal("7.50"))


async def test_the_same_fact_told_at_another_time_is_no_conflict(store: Store) -> None:
    await logged(store, approved(1))
    assert (await logged(store, approved(1, occurred_at=LATER))).conflicts == []


@pytest.mark.parametrize(
    ("known", "comes", "stale"),
    [
        pytest.param(approved(1, 2), approved(1, 1), 1, id="an older revision is stale"),
        pytest.param(approved(1, 1), approved(1, 2), 0, id="a newer revision is not"),
        pytest.param(
            unapproved(1, 3), approved(1, 2), 1, id="an approval after its newer withdrawal is stale"
        ),
        pytest.param(approved(2, 5), approved(1, 1), 0, id="another entry does not matter"),
        pytest.param(
            achieved(1, 2), achieved(1, 1), 0, id="a type whose revision is optional is never stale"
        ),
    ],
)
async def test_a_stale_fact_is_recorded_and_never_read_by_a_lane(
    store: Store, known: BusinessEvent, comes: BusinessEvent, stale: int
) -> None:
    await logged(store, known)
    result = await logged(store, comes)
    assert (result.new, result.stale) == ([2], stale)
    kinds = frozenset({"time.approved", "milestone.achieved"})
    rows, scanned_to = await store.read(lambda tx: log.read_after(tx, 1, kinds, 10))
    assert [row.seq for row in rows] == ([] if stale else [2])
    assert scanned_to == 2


async def test_staleness_is_seen_within_one_page_too(store: Store) -> None:
    assert (await logged(store, approved(1, 2), approved(1, 1))).stale == 1


async def test_a_lane_reads_its_kinds_and_learns_how_far_it_may_advance(store: Store) -> None:
    await logged(store, approved(1), achieved(1), approved(2), achieved(2), achieved(3))
    rows, scanned_to = await store.read(lambda tx: log.read_after(tx, 0, TIME, 1))
    assert ([row.seq for row in rows], scanned_to) == ([1], 1)
    rows, scanned_to = await store.read(lambda tx: log.read_after(tx, 1, TIME, 10))
    assert ([row.seq for row in rows], scanned_to) == ([3], 5)
    assert await store.read(lambda tx: log.read_after(tx, 5, TIME, 10)) == ([], 5)


async def test_a_lane_that_wants_little_is_led_through_the_log_window_by_window(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "SCAN_WINDOW", 3)
    await logged(store, *(achieved(number) for number in range(7)), approved(1))
    at, found = 0, []
    while at < 8:
        rows, at = await store.read(lambda tx, at=at: log.read_after(tx, at, TIME, 2))  # type: ignore[misc]
        found += rows
    assert [row.seq for row in found] == [8]


async def test_a_row_gives_back_the_event_it_was_made_of(store: Store) -> None:
    await logged(store, approved(1, note="Übergabe, 1\x00½ Tage"))
    (row,) = await store.read(lambda tx: log.by_seqs(tx, [1]))
    assert row.event() == approved(1, note="Übergabe, 1\x00½ Tage")
    assert (row.type, row.kind, row.thread, row.recorded_at) == (
        "time.approved/1",
        "time.approved",
        "psa:p1",
        NOW,
    )


@pytest.mark.parametrize(
    ("ask", "seqs"),
    [
        pytest.param(lambda tx: log.by_subject(tx, "psa:1"), [1, 2], id="by business key"),
        pytest.param(lambda tx: log.by_thread(tx, "psa:p1"), [1, 2, 3, 4], id="by project"),
        pytest.param(
            lambda tx: log.by_thread(tx, "psa:p1", after=2, limit=1), [3], id="by project, one page"
        ),
        pytest.param(lambda tx: log.search(tx), [1, 2, 3, 4], id="everything"),
        pytest.param(lambda tx: log.search(tx, kind="milestone.achieved"), [4], id="by kind"),
        pytest.param(lambda tx: log.search(tx, key="psa:1"), [1, 2], id="by key"),
        pytest.param(
            lambda tx: log.search(tx, kind="time.unapproved", key="psa:p1"), [2], id="by kind and thread"
        ),
        pytest.param(lambda tx: log.search(tx, after=1, limit=2), [2, 3], id="a page of it"),
        pytest.param(lambda tx: log.search(tx, kind="no.such"), [], id="an unknown kind"),
    ],
)
async def test_events_are_found(store: Store, ask: Callable[[Tx], list[log.LogRow]], seqs: list[int]) -> None:
    await logged(store, approved(1), unapproved(1, 2), approved(2), achieved(1))
    assert [row.seq for row in await store.read(ask)] == seqs


# Lanes, intents, receipts, cursors


async def test_a_position_moves_forward_only(store: Store) -> None:
    def unit(tx: Tx) -> tuple[int, int]:
        before = lanes.position(tx, "erp")
        lanes.advance(tx, "erp", 7)
        lanes.advance(tx, "erp", 5)
        return before, lanes.position(tx, "erp")

    assert await store.write(unit) == (0, 7)
    assert await store.read(lanes.positions) == {"erp": 7}


async def test_a_parked_lane_says_why_and_who_let_it_run_again(store: Store) -> None:
    def unit(tx: Tx) -> None:
        lanes.park(tx, "erp", "key revoked", "supervisor", NOW)

    await store.write(unit)
    parked = lanes.LaneState("erp", "parked", "key revoked", "supervisor", NOW)
    assert await store.read(lambda tx: lanes.get(tx, "erp")) == parked
    await store.write(lambda tx: lanes.resume(tx, "erp", "ada", LATER))
    running = lanes.LaneState("erp", "running", "", "ada", LATER)
    assert await store.read(lanes.listing) == [running]
    assert await store.read(lambda tx: lanes.get(tx, "crm")) is None


async def test_a_call_whose_end_nobody_wrote_down_is_found_again(store: Store) -> None:
    first = await store.write(lambda tx: intents.open_call(tx, "erp", [3, 4], NOW, 9))
    second = await store.write(lambda tx: intents.open_call(tx, "erp", [5], NOW, 9))
    await store.write(lambda tx: intents.close_call(tx, first))
    assert await store.read(lambda tx: intents.unfinished(tx, "erp")) == [
        intents.Intent(second, "erp", [5], NOW, 9)
    ]


async def test_the_first_receipt_stays(store: Store) -> None:
    await logged(store, approved(1), approved(1, 2), unapproved(1, 3))

    def unit(tx: Tx) -> tuple[int, bool]:
        added = receipts.add_many(tx, "erp", [(1, "INV-1", ""), (2, "INV-2", "posted")], NOW)
        receipts.add(tx, "planner", 1, "P-1", NOW)
        return added, receipts.add(tx, "erp", 1, "INV-9", LATER)

    assert await store.write(unit) == (2, False)
    kept = await store.read(lambda tx: receipts.of_event(tx, 1))
    assert [(each.lane, each.remote_id) for each in kept] == [("erp", "INV-1"), ("planner", "P-1")]
    assert await store.read(lambda tx: receipts.done_since(tx, "erp", 1)) == {2}
    assert await store.read(lambda tx: receipts.newest_for_subject(tx, "erp", "psa:1")) == 2
    assert await store.read(lambda tx: receipts.newest_for_subject(tx, "erp", "psa:1", "contract")) is None
    assert await store.read(lambda tx: receipts.newest_for_subject(tx, "crm", "psa:1")) is None


async def test_a_cursor_is_kept_byte_for_byte(store: Store) -> None:
    assert await store.read(lambda tx: cursors.get(tx, "psa", "time")) is None
    await store.write(lambda tx: cursors.move(tx, "psa", "time", b"\x00\xff1", NOW))
    await store.write(lambda tx: cursors.move(tx, "psa", "time", b"\x00\xff2", LATER))
    assert await store.read(cursors.listing) == [cursors.Cursor("psa", "time", b"\x00\xff2", LATER)]
    assert await store.write(lambda tx: cursors.forget(tx, "psa", "time"))
    assert await store.read(lambda tx: cursors.get(tx, "psa", "time")) is None


# The crosswalk


async def test_a_link_can_be_said_again_and_is_found_from_both_ends(store: Store) -> None:
    def unit(tx: Tx) -> list[bool]:
        first = crosswalk.link(tx, "project", "crm:1", "erp", "P100", NOW)
        second = crosswalk.link(tx, "project", "crm:1", "erp", "P100", LATER)
        crosswalk.link(tx, "customer", "crm:1", "erp", "P100", NOW)
        crosswalk.link(tx, "project", "crm:1", "planner", "77", NOW)
        return [first, second]

    assert await store.write(unit) == [True, False]
    assert await store.read(lambda tx: crosswalk.remote(tx, "project", "crm:1", "erp")) == "P100"
    assert await store.read(lambda tx: crosswalk.key_of(tx, "erp", "project", "P100")) == "crm:1"
    links = await store.read(lambda tx: crosswalk.systems_of(tx, "crm:1"))
    assert [(link.kind, link.system) for link in links] == [
        ("customer", "erp"),
        ("project", "erp"),
        ("project", "planner"),
    ]


@pytest.mark.parametrize(
    ("key", "remote_id", "names"),
    [
        pytest.param("crm:1", "P200", ("P100", "P200"), id="a key cannot be two records"),
        pytest.param("crm:2", "P100", ("crm:1", "crm:2"), id="a record cannot be two keys"),
    ],
)
async def test_a_conflicting_link_is_refused_and_named(
    store: Store, key: str, remote_id: str, names: tuple[str, str]
) -> None:
    await store.write(lambda tx: crosswalk.link(tx, "project", "crm:1", "erp", "P100", NOW))
    with pytest.raises(CrosswalkConflict) as refused:
        await store.write(lambda tx: crosswalk.link(tx, "project", key, "erp", remote_id, NOW))
    assert all(name in str(refused.value) for name in names)
    await store.write(lambda tx: crosswalk.unlink(tx, "project", "crm:1", "erp"))
    assert await store.write(lambda tx: crosswalk.link(tx, "project", key, "erp", remote_id, NOW))


# Dead letters, process state, audit


def refused(tx: Tx, **changes: Any) -> int | None:
    fields: dict[str, Any] = {"payload_hash": "h1", "payload_place": "page 3, row 5", "payload": b"{"}
    return dead_letters.open_one(
        tx, "intake", "psa", "EventRefused", "hours must be more than 0", NOW, **{**fields, **changes}
    )


async def test_a_record_refused_twice_is_one_work_item(store: Store) -> None:
    assert await store.write(refused) == 1
    assert await store.write(refused) is None
    assert await store.write(lambda tx: refused(tx, payload_place="page 4, row 1")) not in (None, 1)
    kept = await store.read(lambda tx: dead_letters.get(tx, 1))
    assert kept is not None and (kept.payload, kept.state, kept.opened_at) == (b"{", "open", NOW)


async def test_a_delivery_has_one_unsolved_work_item(store: Store) -> None:
    def fail(tx: Tx, words: str) -> int | None:
        return dead_letters.open_one(
            tx, "delivery", "erp", "Rejected", "refused", NOW, seq=4, subject="psa:1", peer_words=words
        )

    first = await store.write(lambda tx: fail(tx, "period closed"))
    assert first is not None
    await store.write(lambda tx: dead_letters.mark(tx, first, "retrying", "ada", NOW))
    assert await store.write(lambda tx: fail(tx, "still closed")) == first
    item = await store.read(lambda tx: dead_letters.unsolved(tx, "erp", 4))
    assert item is not None and (item.peer_words, item.state) == ("still closed", "open")
    assert await store.read(dead_letters.counts) == {("delivery", "erp", "open"): 1}
    await store.write(lambda tx: dead_letters.mark(tx, first, "skipped", "ada", LATER, "billed by hand"))
    done = await store.read(lambda tx: dead_letters.get(tx, first))
    assert done is not None
    assert (done.state, done.resolved_at, done.resolved_by, done.note) == (
        "skipped",
        LATER,
        "ada",
        "billed by hand",
    )
    assert await store.write(lambda tx: fail(tx, "again")) != first


@pytest.mark.parametrize(
    ("wanted", "ids"),
    [
        pytest.param(dead_letters.Filter(), [1, 3], id="what is open"),
        pytest.param(dead_letters.Filter(state=None), [1, 2, 3], id="everything"),
        pytest.param(dead_letters.Filter(origin="process"), [3], id="by origin"),
        pytest.param(dead_letters.Filter(state=None, lane_or_source="erp"), [2], id="by lane"),
        pytest.param(dead_letters.Filter(state=None, subject="psa:1"), [2], id="by business key"),
        pytest.param(dead_letters.Filter(error_class="EventRefused"), [1], id="by class"),
        pytest.param(dead_letters.Filter(state=None, after=1, limit=1), [2], id="a page"),
    ],
)
async def test_work_items_are_listed(store: Store, wanted: dead_letters.Filter, ids: list[int]) -> None:
    def unit(tx: Tx) -> None:
        refused(tx)
        dead_letters.open_one(tx, "delivery", "erp", "Rejected", "no", NOW, seq=4, subject="psa:1")
        dead_letters.open_one(tx, "process", "billing", "RuleFailed", "no rate", NOW, seq=4)
        dead_letters.mark(tx, 2, "resolved", "ada", NOW)

    await store.write(unit)
    assert [item.id for item in await store.read(lambda tx: dead_letters.listing(tx, wanted))] == ids


async def test_a_process_remembers(store: Store) -> None:
    await store.write(lambda tx: states.put_many(tx, "billing", {"a": "1", "b": "2", "c": "3"}))
    await store.write(lambda tx: states.put(tx, "billing", "b", "22"))
    assert await store.read(lambda tx: states.get_many(tx, "billing", ["b", "c", "z"])) == {
        "b": "22",
        "c": "3",
    }
    assert await store.read(lambda tx: states.page(tx, "billing", after="a", limit=1)) == [("b", "22")]
    assert await store.write(lambda tx: states.drop(tx, "billing", "a"))
    assert await store.write(lambda tx: states.drop_all(tx, "billing")) == 2
    assert await store.read(lambda tx: states.get(tx, "billing", "b")) is None


async def test_the_audit_trail_tells_acts_in_their_order(store: Store) -> None:
    for number in range(3):
        await store.write(lambda tx, n=number: audit.append(tx, "ada", "lane.resume", {"n": n}, NOW))  # type: ignore[misc]
    assert [row.detail for row in await store.read(audit.page)] == ['{"n":0}', '{"n":1}', '{"n":2}']


async def test_a_delivery_of_an_unknown_event_is_refused(store: Store) -> None:
    with pytest.raises(ConstraintBroken, match="FOREIGN KEY"):
        await store.write(lambda tx: deliveries.schedule(tx, "erp", 99, "psa:1", NOW))


@pytest.mark.parametrize("full", [False, True], ids=["quickly", "in full"])
async def test_a_sound_file_is_found_sound(store: Store, full: bool) -> None:
    await logged(store, *(approved(number) for number in range(50)))
    assert await store.read(lambda tx: check.problems(tx, full=full)) == []


async def test_instants_bound_by_name_come_back_as_they_were(store: Store) -> None:
    odd = (NOW + timedelta(microseconds=1)).astimezone(tz=None)
    await logged(store, approved(1))
    await store.write(lambda tx: deliveries.postpone(tx, "erp", 1, "psa:1", odd, 1, "Retryable", "", SOON))
    assert await store.read(lambda tx: deliveries.next_due_at(tx, "erp")) == odd
