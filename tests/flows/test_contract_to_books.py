"""The whole daemon, from a signed contract to charges in the books, over a real file."""

from decimal import Decimal
from pathlib import Path

import pytest
import trio
from msgspec.structs import replace

from isthmus.app.daemon import Daemon
from isthmus.sdk.errors import Rejected
from isthmus.store import lanes
from tests.flows.firm import (
    Firm,
    contract,
    entry,
    ledger,
    read_from_the_beginning,
    stopped_ledger,
    wait_until,
)


@pytest.fixture
def firm(tmp_path: Path) -> Firm:
    return Firm(tmp_path / "state")


async def test_a_signed_contract_becomes_projects_and_approved_time_becomes_posted_charges(
    firm: Firm,
) -> None:
    # The time is told first: whoever comes first waits for the other.
    firm.psa.source.facts = [entry("e1", hours="2.00"), entry("e2", hours="0.50")]
    async with firm.at_work() as running:
        await running.wait_quiet()
        firm.crm.source.facts = [contract()]
        await running.wait_quiet()
        firm.psa.source.facts.append(entry("e1", revision=2, hours="3.00"))
        await running.wait_quiet()
        book = await ledger(running.store, firm)
    assert [event.key for event in firm.psa.books.records.values()] == ["crm:p1"]
    assert sorted((charge.origin_key, str(charge.amount)) for charge in firm.erp.books.charges()) == [
        ("e1", "-300.00"),
        ("e1", "300.00"),
        ("e1", "450.00"),
        ("e2", "75.00"),
    ]
    assert book.kinds["project.created"] == 1
    assert book.kinds["charge.posted"] == book.kinds["charge.determined"] == 4
    assert book.receipts == {"psa.projects": 1, "erp.projects": 1, "erp.charges": 4}
    assert (book.letters, book.unfinished) == ([], 0)


async def test_a_second_run_over_the_same_state_adds_nothing(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry(f"e{n}") for n in range(70)]
    async with firm.at_work() as running:
        await running.wait_quiet()
    first, calls = await stopped_ledger(firm), len(firm.erp.books.calls)
    assert calls == 71
    async with firm.at_work() as running:
        await running.wait_quiet()
        await running.wait_polled()
        await running.wait_quiet()
    assert (await stopped_ledger(firm), len(firm.erp.books.calls)) == (first, calls)


async def test_reading_everything_again_adds_nothing(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry(f"e{n}") for n in range(70)]
    async with firm.at_work() as running:
        await running.wait_quiet()
    first, calls = await stopped_ledger(firm), len(firm.erp.books.calls)
    await read_from_the_beginning(firm)
    async with firm.at_work() as running:
        await running.wait_polled()
        await running.wait_quiet()
    assert (await stopped_ledger(firm), len(firm.erp.books.calls)) == (first, calls)


async def test_mutant_a_source_that_gives_new_ids_when_it_is_read_again_is_noticed(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry(f"e{n}") for n in range(5)]
    async with firm.at_work() as running:
        await running.wait_quiet()
    first = await stopped_ledger(firm)
    firm.psa.source.facts = [replace(fact, id=f"{fact.id}/again") for fact in firm.psa.source.facts]
    await read_from_the_beginning(firm)
    async with firm.at_work() as running:
        await running.wait_polled()
        await running.wait_quiet()
    assert await stopped_ledger(firm) != first


async def test_a_poisoned_subject_beside_two_hundred_healthy_ones_is_one_dead_letter(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry(f"e{n}") for n in range(100)]
    firm.psa.source.facts += [entry("poison"), *[entry(f"e{n}") for n in range(100, 200)]]
    firm.erp.books.refusals["poison"] = Rejected("period closed", reason="period", peer_words="PERIOD_CLOSED")
    async with firm.at_work() as running:
        await running.wait_quiet()
        book = await ledger(running.store, firm)
    (letter,) = book.letters
    assert (letter.origin, letter.lane_or_source, letter.subject) == ("delivery", "erp.charges", "poison")
    assert (letter.error_class, letter.peer_words) == ("period", "PERIOD_CLOSED")
    charges = firm.erp.books.charges()
    assert sorted(charge.origin_key for charge in charges) == sorted(f"e{n}" for n in range(200))
    assert sum(charge.amount for charge in charges) == Decimal(200 * 2 * 150)
    assert book.receipts["erp.charges"] == book.kinds["charge.posted"] == 200


async def test_a_stop_finishes_the_calls_in_hand_and_begins_no_other(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    async with firm.at_work() as running:
        await running.wait_quiet()
        books = firm.erp.books
        books.gate, books.began = trio.Event(), trio.Event()
        firm.psa.source.facts = [entry(f"e{n}") for n in range(40)]
        await wait_until(lambda: _started(firm, 1 + books.concurrency))
        running.stop.set()
        await wait_until(lambda: _draining(running.daemon))
        await trio.sleep(0.1)
        assert len(books.charges()) == 0, "the stop waits for them"
        books.gate.set()
    in_hand = books.concurrency
    assert (len(books.calls), len(books.charges())) == (1 + in_hand, in_hand)
    book = await stopped_ledger(firm)
    assert (book.receipts["erp.charges"], book.unfinished) == (in_hand, 0)
    books.gate = None
    async with firm.at_work() as running:
        await running.wait_quiet()
    assert len(books.charges()) == 40
    assert len(books.calls) == 41, "nothing was sent twice"


async def test_a_call_that_outlasts_the_drain_is_left_to_the_next_start_under_the_same_key(
    firm: Firm,
) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry("e1")]
    books = firm.erp.books
    async with firm.at_work(drain_s=0.2) as running:
        books.gate = trio.Event()
        await wait_until(lambda: _started(firm, 2))
    assert (await stopped_ledger(firm)).unfinished >= 1
    books.gate = None
    async with firm.at_work() as running:
        await running.wait_quiet()
    assert len(books.charges()) == 1
    keys = [call.key for call in books.calls if call.event.subject == "e1"]
    assert len(keys) == 2 and len(set(keys)) == 1
    book = await stopped_ledger(firm)
    assert (book.receipts["erp.charges"], book.unfinished, book.letters) == (1, 0, [])


async def test_a_parked_connector_holds_up_no_other_and_goes_on_when_it_is_resumed(firm: Firm) -> None:
    firm.crm.source.facts = [contract()]
    firm.psa.source.facts = [entry("e1")]
    firm.erp.locked = "the key was revoked"
    async with firm.at_work() as running:
        parking = running.daemon.parking
        await wait_until(lambda: _delivered(firm))
        await wait_until(lambda: _parked(running.daemon))
        state = await running.store.read(lambda tx: lanes.get(tx, "erp"))
        assert state is not None and (state.state, state.reason) == ("parked", "the key was revoked")
        assert running.daemon.peer_state("erp") == "parked"
        assert firm.erp.books.calls == []
        firm.erp.locked = ""
        assert await parking.resume("erp", "admin", "a new key")
        await running.wait_quiet()
        state = await running.store.read(lambda tx: lanes.get(tx, "erp"))
        assert state is not None and (state.state, state.by) == ("running", "admin")
    assert [charge.origin_key for charge in firm.erp.books.charges()] == ["e1"]


async def test_a_start_tries_a_parked_connector_again(firm: Firm) -> None:
    firm.erp.locked = "the key was revoked"
    async with firm.at_work() as running:
        await wait_until(lambda: _parked(running.daemon))
    firm.erp.locked = ""
    firm.crm.source.facts = [contract()]
    async with firm.at_work() as running:
        await running.wait_quiet()
        assert running.daemon.parking.reasons == {}
    assert firm.erp.opened == 1


async def _started(firm: Firm, calls: int) -> bool:
    await trio.lowlevel.checkpoint()
    return len(firm.erp.books.calls) >= calls


async def _delivered(firm: Firm) -> bool:
    await trio.lowlevel.checkpoint()
    return len(firm.psa.books.records) == 1


async def _draining(daemon: Daemon) -> bool:
    await trio.lowlevel.checkpoint()
    return daemon.draining


async def _parked(daemon: Daemon) -> bool:
    await trio.lowlevel.checkpoint()
    return "erp" in daemon.parking.reasons
