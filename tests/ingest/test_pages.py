"""What becomes of a page: facts, links, refusals and cursor are kept together, and once."""

from hashlib import sha256

import msgspec

from isthmus.ingest.record import record, record_facts
from isthmus.sdk.connector import Link
from isthmus.store import audit, crosswalk, deliveries, log
from isthmus.store.face import Store, Tx
from tests.ingest.given import INSTANCE, STREAM, applied, cursor, ids, letters, now, page, refused, time


def linked(key: str, remote_id: str) -> Link:
    return Link(kind="project", key=key, remote_id=remote_id)


async def test_a_page_seen_twice_counts_once(store: Store) -> None:
    told = page(time("e1"), time("e2"), to="1")
    first = await record(store, INSTANCE, STREAM, told, now())
    again = await record(store, INSTANCE, STREAM, told, now())
    assert (first.new, first.duplicates) == (2, 0)
    assert (again.new, again.duplicates) == (0, 2)
    assert await ids(store) == ["psa/time.approved/e1/1", "psa/time.approved/e2/1"]
    assert await letters(store) == []


async def test_a_fact_twice_on_one_page_counts_once(store: Store) -> None:
    kept = await record(store, INSTANCE, STREAM, page(time("e1"), time("e1"), to="1"), now())
    assert (kept.new, kept.duplicates) == (1, 1)


async def test_the_cursor_stands_behind_the_page(store: Store) -> None:
    assert await cursor(store) is None
    await record(store, INSTANCE, STREAM, page(time("e1"), to="opaque-\x00-17"), now())
    assert await cursor(store) == b"opaque-\x00-17"


async def test_a_refused_payload_becomes_one_work_item_and_the_page_goes_on(store: Store) -> None:
    raw = b'{"id": 7, "hours": "many"}'
    told = page(time("e1"), time("e2"), to="1", refused=[refused(raw)])
    kept = await record(store, INSTANCE, STREAM, told, now())
    assert (kept.new, kept.refused) == (2, 1)
    (letter,) = await letters(store)
    assert (letter.origin, letter.lane_or_source, letter.state) == ("intake", INSTANCE, "open")
    assert (letter.error_class, letter.reason) == ("value", "hours: not a number")
    assert (letter.payload_place, letter.payload_hash) == ("time_entries/7", sha256(raw).hexdigest())
    assert letter.payload is None, "a payload may hold what nobody else is to see"
    assert await cursor(store) == b"1"


async def test_a_payload_refused_again_adds_no_work_item(store: Store) -> None:
    told = page(to="1", refused=[refused(b"bad")])
    assert (await record(store, INSTANCE, STREAM, told, now())).refused == 1
    assert (await record(store, INSTANCE, STREAM, told, now())).refused == 0
    assert len(await letters(store)) == 1


async def test_a_payload_that_changed_and_is_refused_again_is_another_work_item(store: Store) -> None:
    for raw in (b"bad", b"worse"):
        await record(store, INSTANCE, STREAM, page(to="1", refused=[refused(raw)]), now())
    assert len({letter.payload_hash for letter in await letters(store)}) == 2


async def test_a_stale_revision_is_recorded_and_never_applied(store: Store) -> None:
    await record(store, INSTANCE, STREAM, page(time("e1", 2, "5.00"), to="1"), now())
    kept = await record(store, INSTANCE, STREAM, page(time("e1", 1, "7.50"), to="2"), now())
    assert (kept.new, kept.stale) == (1, 1)
    assert await ids(store) == ["psa/time.approved/e1/2", "psa/time.approved/e1/1"]
    assert await applied(store) == ["psa/time.approved/e1/2"]


async def test_changed_content_under_one_revision_is_a_work_item_and_the_first_is_kept(store: Store) -> None:
    await record(store, INSTANCE, STREAM, page(time("e1", hours="7.50"), to="1"), now())
    for _ in range(2):
        await record(store, INSTANCE, STREAM, page(time("e1", hours="9.00"), time("e2"), to="2"), now())
    (letter,) = await letters(store)
    assert (letter.origin, letter.error_class) == ("intake", "duplicate")
    assert letter.payload_place == "psa/time.approved/e1/1"
    assert "the first is kept" in letter.reason
    (row, _) = await store.read(lambda tx: log.search(tx))
    assert msgspec.to_builtins(row.event())["hours"] == "7.50"


async def test_links_of_a_page_are_kept_with_it(store: Store) -> None:
    await record(store, INSTANCE, STREAM, page(to="1", links=[linked("crm:p1", "4711")]), now())
    assert await store.read(lambda tx: crosswalk.remote(tx, "project", "crm:p1", INSTANCE)) == "4711"


async def test_a_link_that_contradicts_another_is_a_work_item_and_the_page_goes_on(store: Store) -> None:
    await record(store, INSTANCE, STREAM, page(to="1", links=[linked("crm:p1", "4711")]), now())
    for _ in range(2):
        told = page(time("e1"), to="2", links=[linked("crm:p1", "4712"), linked("crm:p2", "4713")])
        await record(store, INSTANCE, STREAM, told, now())
    (letter,) = await letters(store)
    assert (letter.error_class, letter.payload_place) == ("duplicate", "crm:p1")
    assert letter.reason == "project crm:p1 is 4711 in psa; it cannot be 4712 as well"
    assert await store.read(lambda tx: crosswalk.remote(tx, "project", "crm:p1", INSTANCE)) == "4711"
    assert await store.read(lambda tx: crosswalk.remote(tx, "project", "crm:p2", INSTANCE)) == "4713"
    assert (await ids(store), await cursor(store)) == (["psa/time.approved/e1/1"], b"2")


async def test_a_new_link_wakes_what_waits_for_it_and_a_known_one_does_not(store: Store) -> None:
    lane = "psa.projects"
    at = now()

    def waits(tx: Tx) -> None:
        log.append(tx, [time("e9")], at)
        later = at.replace(year=2027)
        deliveries.postpone(tx, lane, 1, "e9", later, 1, "Unmet", "no project yet", at, "waiting")

    await store.write(waits)
    told = page(to="1", links=[linked("crm:p1", "4711")])
    assert (await record(store, INSTANCE, STREAM, told, now(), lanes=[lane])).woken == 1
    (due,) = await store.read(lambda tx: deliveries.due(tx, lane, at, 10))
    assert due.seq == 1
    assert (await record(store, INSTANCE, STREAM, told, now(), lanes=[lane])).woken == 0


async def test_the_audit_trail_says_which_facts_a_page_brought(store: Store) -> None:
    await record(store, INSTANCE, STREAM, page(time("e1"), time("e2"), to="1"), now())
    await record(store, INSTANCE, STREAM, page(time("e1"), to="2"), now())
    (row,) = await store.read(lambda tx: audit.page(tx))
    assert (row.actor, row.act) == (INSTANCE, "recorded")
    assert msgspec.json.decode(row.detail) == {"stream": STREAM, "first": 1, "last": 2}


async def test_what_is_submitted_twice_counts_once(store: Store) -> None:
    facts = [time("e1"), time("e2")]
    kept = await store.write(lambda tx: record_facts(tx, "admin", facts, now()))
    again = await store.write(lambda tx: record_facts(tx, "admin", facts, now()))
    assert (kept.new, again.new, again.duplicates) == ([1, 2], [], 2)
    assert len(await ids(store)) == 2
    assert await cursor(store) is None
