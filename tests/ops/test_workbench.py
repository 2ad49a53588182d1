"""What people do about exceptions: once, with a reason, with a second person where much is at stake."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from isthmus.app.gates import ChargeGate
from isthmus.delivery.gate import NOT_SENT, NotSent
from isthmus.delivery.lane import Item
from isthmus.delivery.recover import item_of
from isthmus.events import ChargeDetermined, ChargePosted, CustomerChanged
from isthmus.ops import workbench
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.selection import Selection
from isthmus.ops.workbench import Site, Workbench
from isthmus.store import audit, crosswalk, dead_letters, deliveries, edits, log, receipts
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.process.dying import Died, DyingStore, Moment
from tests.store.given import NOW, approved

LANE = "erp-charges"


def charge(number: int, amount: str = "120.00", reverses: str | None = None) -> ChargeDetermined:
    return ChargeDetermined(
        source="billing",
        occurred_at=NOW,
        entity="de01",
        id=f"billing/charge.determined/x/{number}{'r' if reverses else ''}",
        charge=f"billing:ch{number}{'r' if reverses else ''}",
        contract="crm:c1",
        line="T",
        project="psa:p1",
        origin="time",
        origin_key=f"psa:{number}",
        origin_revision=1,
        quantity=D(1),
        unit_price=D(amount),
        amount=D(amount),
        currency="EUR",
        earned_on=date(2026, 10, 5),
        posting_on=date(2026, 10, 5),
        dimensions={},
        explanation=[],
        reverses=reverses,
    )


class Bench:
    """A store with refused deliveries, and people at work on them."""

    def __init__(self, store: Store, **site: Any) -> None:
        self.store = store
        self.rung: list[str] = []
        known = {"instances": {LANE: "erp"}, "owners": {"finance": "ar-team"}}
        self.work = Workbench(store, now=lambda: NOW, ring=self.rung.append, site=Site(**{**known, **site}))

    async def refused(self, *events: Any, state: str = "dead", error_class: str = "period") -> list[int]:
        """Deliveries the peer refused, or that nobody knows the end of; the ids of their exceptions."""

        def unit(tx: Tx) -> list[int]:
            ids = []
            for seq, event in zip(log.append(tx, events, NOW).new, events, strict=True):
                subject = event.subject
                if state == "dead":
                    deliveries.bury(tx, LANE, seq, subject, error_class, "no", NOW)
                else:
                    deliveries.postpone(tx, LANE, seq, subject, NOW, 1, "Unsure", "", NOW, "in_doubt")
                found = dead_letters.open_one(
                    tx,
                    "delivery",
                    LANE,
                    error_class,
                    "the period is closed",
                    NOW,
                    seq=seq,
                    subject=subject,
                    peer_words="period 10 is closed",
                    payload_place=event.id,
                )
                assert found is not None
                ids.append(found)
            return ids

        return await self.store.write(unit)

    async def states(self) -> dict[int, str]:
        wanted = dead_letters.Filter(state=None, limit=5000)
        letters = await self.store.read(lambda tx: dead_letters.listing(tx, wanted))
        return {letter.id: letter.state for letter in letters}

    async def acts(self) -> list[tuple[str, str]]:
        return [(row.actor, row.act) for row in await self.store.read(lambda tx: audit.page(tx, limit=5000))]


def these(*ids: int) -> Selection:
    return Selection(ids=list(ids))


@pytest.fixture
async def bench() -> Any:
    async with open_memory_store() as store:
        yield Bench(store)


async def test_an_exception_says_whose_it_is_what_is_at_stake_and_what_to_try(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1, "1234.50"))
    (line,) = await bench.work.list()
    assert (line.domain, line.owner, str(line.stake and line.stake.amount)) == (
        "finance",
        "ar-team",
        "1234.50",
    )
    page = await bench.work.show(number)
    assert page.event is not None
    assert page.event["charge"] == "billing:ch1"
    assert (page.exception.peer_words, page.suggestion[:17]) == ("period 10 is closed", "reopen the period")


@pytest.mark.parametrize(
    ("event", "domain"),
    [
        pytest.param(charge(1), "finance", id="charges are of finance"),
        pytest.param(approved(1), "delivery", id="time is of delivery"),
    ],
)
async def test_an_exception_belongs_to_the_domain_of_its_fact(bench: Bench, event: Any, domain: str) -> None:
    await bench.refused(event)
    (line,) = await bench.work.list()
    assert (line.domain, line.owner) == (domain, {"finance": "ar-team"}.get(domain, domain))


async def test_it_is_assigned_and_noted_for_whoever_looks_next(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1))
    await bench.work.assign(these(number), "dora", by="ada")
    await bench.work.note(number, "customer changed its tax id", by="ada")
    page = await bench.work.show(number)
    assert page.exception.owner == "dora"
    assert [(note.by, note.text) for note in page.notes] == [("ada", "customer changed its tax id")]
    assert await bench.acts() == [("ada", "exception.assign"), ("ada", "exception.note")]


async def test_of_two_who_retry_one_wins_and_the_other_is_told_by_whom(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1))
    first = await bench.work.retry(these(number), by="ada", why="period reopened")
    assert (first.matched, first.done, first.stakes) == (1, 1, {"EUR": D("120.00")})
    assert bench.rung == [LANE]
    with pytest.raises(NotFound, match=r"exception 1 is retrying already, by ada: period reopened"):
        await bench.work.retry(these(number), by="bob", why="me too")
    with pytest.raises(NotFound, match=r"retrying already, by ada"):
        await bench.work.skip(these(number), by="bob", why="no")
    assert await bench.acts() == [("ada", "exception.retry")]


async def test_what_is_skipped_is_never_sent_and_neither_is_its_reversal(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1))
    await bench.work.skip(these(number), by="ada", why="billed by hand")
    receipt = await bench.store.read(lambda tx: receipts.get(tx, LANE, 1))
    assert receipt is not None
    assert (receipt.remote_id, receipt.detail) == (NOT_SENT, "skipped by ada: billed by hand")
    assert await bench.store.read(lambda tx: deliveries.get(tx, LANE, 1)) is None
    assert await bench.states() == {number: "skipped"}
    reversal = charge(1, "-120.00", reverses="billing:ch1")
    await bench.store.write(lambda tx: log.append(tx, [reversal], NOW))
    gate = ChargeGate(LANE, "erp", lambda: NOW)
    answer = await bench.store.read(lambda tx: gate(tx, reversal, 2))
    assert isinstance(answer, NotSent)


async def test_what_may_have_arrived_is_not_skipped_before_somebody_looked(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1), state="in_doubt", error_class="in_doubt")
    with pytest.raises(Refused, match=r"may have arrived at erp-charges; look there: resolve it"):
        await bench.work.skip(these(number), by="ada", why="enough")
    assert await bench.states() == {number: "open"}
    done = await bench.work.skip(these(number), by="ada", why="looked, not there", not_there=True)
    assert done.done == 1


async def test_a_record_found_by_hand_settles_a_charge_as_its_answer_would_have(bench: Bench) -> None:
    (number,) = await bench.refused(charge(1), state="in_doubt", error_class="in_doubt")
    await bench.work.resolve(number, "timeBill/901", by="ada", why="found by its memo")
    receipt = await bench.store.read(lambda tx: receipts.get(tx, LANE, 1))
    assert receipt is not None
    assert receipt.remote_id == "timeBill/901"
    (posted,) = [
        row.event() for row in await bench.store.read(lambda tx: log.search(tx, kind="charge.posted"))
    ]
    assert isinstance(posted, ChargePosted)
    assert (posted.charge, posted.system, posted.amount) == ("billing:ch1", "erp", D("120.00"))
    link = await bench.store.read(lambda tx: crosswalk.remote(tx, "charge", "billing:ch1", "erp"))
    assert link == "timeBill/901"
    assert await bench.states() == {number: "resolved"}


async def test_a_record_of_another_fact_is_refused_and_nothing_is_settled(bench: Bench) -> None:
    first, second = await bench.refused(charge(1), charge(2))
    await bench.work.resolve(first, "timeBill/901", by="ada", why="x")
    with pytest.raises(Refused, match="timeBill/901 is charge billing:ch1"):
        await bench.work.resolve(second, "timeBill/901", by="ada", why="x")
    assert await bench.states() == {first: "resolved", second: "open"}
    assert await bench.store.read(lambda tx: receipts.get(tx, LANE, 2)) is None


# A second person


@pytest.fixture
async def strict() -> Any:
    async with open_memory_store() as store:
        yield Bench(store, second_person_above=D("1000.00"))


async def skip(bench: Bench, number: int, by: str) -> Any:
    return await bench.work.skip(these(number), by=by, why="billed by hand")


async def resolve(bench: Bench, number: int, by: str) -> Any:
    return await bench.work.resolve(number, "timeBill/901", by=by, why="found")


@pytest.mark.parametrize(
    ("act", "state"), [(skip, "skipped"), (resolve, "resolved")], ids=["skip", "resolve"]
)
async def test_much_money_needs_a_second_person(strict: Bench, act: Callable[..., Any], state: str) -> None:
    (number,) = await strict.refused(charge(1, "1000.01"))
    done = await act(strict, number, "ada")
    assert (done.done, done.proposed) == (0, 1)
    assert await strict.states() == {number: "open"}
    page = await strict.work.show(number)
    assert page.proposal is not None
    assert (page.proposal.by, page.proposal.act) == ("ada", act.__name__)
    with pytest.raises(Refused, match=rf"ada proposed to {act.__name__} it; somebody else must approve"):
        await strict.work.approve(number, by="ada", why="sure")
    await strict.work.approve(number, by="bob", why="seen the invoice")
    assert await strict.states() == {number: state}
    assert await strict.acts() == [("ada", "exception.propose"), ("bob", f"exception.{act.__name__}")]
    (last,) = (await strict.store.read(audit.page))[-1:]
    assert "proposed by ada, approved by bob: seen the invoice" in last.detail


@pytest.mark.parametrize("amount", ["1000.00", "-1000.00", "0.01"])
async def test_up_to_the_amount_one_person_is_enough(strict: Bench, amount: str) -> None:
    (number,) = await strict.refused(charge(1, amount))
    assert (await skip(strict, number, "ada")).done == 1


async def test_a_retry_moots_what_was_proposed(strict: Bench) -> None:
    (number,) = await strict.refused(charge(1, "5000.00"))
    await skip(strict, number, "ada")
    await strict.work.retry(these(number), by="bob", why="period reopened")
    with pytest.raises(NotFound, match="retrying already, by bob"):
        await strict.work.approve(number, by="cyd", why="late")


async def test_what_nobody_proposed_is_not_approved(strict: Bench) -> None:
    (number,) = await strict.refused(charge(1))
    with pytest.raises(NotFound, match="nothing waits for a second person at exception 1"):
        await strict.work.approve(number, by="bob", why="x")


# In bulk


async def test_a_filter_takes_all_that_fit_and_shows_their_sum_first(bench: Bench) -> None:
    await bench.refused(charge(1, "10.00"), charge(2, "20.00"))
    await bench.refused(charge(3, "400.00"), error_class="mapping")
    chosen = Selection(every=True, error_class="period")
    shown = await bench.work.retry(chosen, by="ada", why="", dry_run=True)
    assert (shown.matched, shown.done, shown.stakes) == (2, 0, {"EUR": D("30.00")})
    assert set((await bench.states()).values()) == {"open"}
    done = await bench.work.retry(chosen, by="ada", why="period reopened")
    assert (done.matched, done.done) == (2, 2)
    assert list((await bench.states()).values()) == ["retrying", "retrying", "open"]


@pytest.mark.parametrize(("moment", "kept"), [("before the commit", 400), ("after the commit", 500)])
async def test_a_bulk_retry_that_dies_midway_goes_on_and_doubles_nothing(
    monkeypatch: pytest.MonkeyPatch, moment: Moment, kept: int
) -> None:
    monkeypatch.setattr(workbench, "PAGE", 100)
    async with open_memory_store() as store:
        await Bench(store).refused(*[charge(number) for number in range(1000)])
        dying = Bench(DyingStore(store, 5, moment))
        with pytest.raises(Died):
            await dying.work.retry(Selection(every=True), by="ada", why="reopened")
        bench = Bench(store)
        assert list((await bench.states()).values()).count("retrying") == kept, "whole pages only"
        done = await bench.work.retry(Selection(every=True), by="ada", why="reopened")
        assert done.done == 1000 - kept
        assert set((await bench.states()).values()) == {"retrying"}
        assert (await bench.acts()).count(("ada", "exception.retry")) == 1000


async def test_mutant_a_skip_without_a_receipt_would_be_sent_after_a_restart(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why a skip leaves a receipt: a lane that starts again reads what has none."""
    monkeypatch.setattr("isthmus.ops.workbench.receipts.add", lambda *given: True)
    (number,) = await bench.refused(charge(1))
    await bench.work.skip(these(number), by="ada", why="billed by hand")
    assert await bench.store.read(lambda tx: receipts.done_since(tx, LANE, 0)) == set()


# Edited and sent again


def renamed(number: int, name: str = "Harbour Logistics Holding AG") -> CustomerChanged:
    return CustomerChanged(
        source="crm",
        occurred_at=NOW,
        entity="de01",
        customer=f"crm:{number}",
        name=name,
        currency="EUR",
        revision=1,
    )


async def test_what_is_edited_is_sent_again_and_the_fact_stays_as_it_was_told(bench: Bench) -> None:
    (number,) = await bench.refused(renamed(1), error_class="value")
    shown = await bench.work.edit(number, {"name": "Harbour AG"}, by="ada", why="", dry_run=True)
    assert shown.diff == {"name": ("Harbour Logistics Holding AG", "Harbour AG")}
    assert await bench.states() == {number: "open"}
    done = await bench.work.edit(number, {"name": "Harbour AG"}, by="ada", why="30 characters at most")
    assert done.done.done == 1
    assert await bench.states() == {number: "retrying"}
    (item,) = await bench.store.read(lambda tx: due_items(tx))
    assert msgspec.json.decode(item.payload)["name"] == "Harbour AG"
    (told,) = await bench.store.read(lambda tx: log.by_seqs(tx, [1]))
    assert b"Holding" in told.payload
    page = await bench.work.show(number)
    assert page.edit is not None
    assert (page.edit.by, page.edit.reason) == ("ada", "30 characters at most")
    (act,) = await bench.store.read(audit.page)
    assert '"name":["Harbour Logistics Holding AG","Harbour AG"]' in act.detail


def due_items(tx: Tx) -> list[Item]:
    """What the lane takes next, as its actor looks it up."""
    held = {each.seq: each for each in deliveries.due(tx, LANE, NOW, 10)}
    changed = edits.of(tx, LANE, held)
    return [item_of(row, held[row.seq], changed.get(row.seq)) for row in log.by_seqs(tx, held)]


@pytest.mark.parametrize(
    ("event", "changes", "says"),
    [
        pytest.param(renamed(1), {"nmae": "x"}, "customer.changed has no field 'nmae'; it has", id="a typo"),
        pytest.param(renamed(1), {"customer": "crm:2"}, "customer says which fact it is", id="its key"),
        pytest.param(renamed(1), {"revision": 2}, "revision says which fact it is", id="its revision"),
        pytest.param(charge(1), {"amount": "1.00"}, "amount is corrected where it comes from", id="money"),
        pytest.param(
            charge(1), {"currency": "USD"}, "currency is corrected where it comes from", id="a currency"
        ),
        pytest.param(charge(1), {"posting_on": "soon"}, "posting_on", id="a value that is none"),
    ],
)
async def test_what_may_not_be_edited_is_told_by_field(
    bench: Bench, event: Any, changes: dict[str, Any], says: str
) -> None:
    (number,) = await bench.refused(event)
    with pytest.raises(Refused, match=says):
        await bench.work.edit(number, changes, by="ada", why="x")
    assert await bench.states() == {number: "open"}


async def test_what_may_have_arrived_is_not_edited(bench: Bench) -> None:
    (number,) = await bench.refused(renamed(1), state="in_doubt", error_class="in_doubt")
    with pytest.raises(Refused, match="may have arrived as it was"):
        await bench.work.edit(number, {"name": "x"}, by="ada", why="x")


async def test_an_edit_where_much_is_at_stake_needs_a_second_person(strict: Bench) -> None:
    (number,) = await strict.refused(charge(1, "5000.00"))
    done = await strict.work.edit(number, {"posting_on": "2026-11-01"}, by="ada", why="closed")
    assert (done.done.done, done.done.proposed) == (0, 1)
    assert await strict.store.read(lambda tx: edits.of(tx, LANE, [1])) == {}
    await strict.work.approve(number, by="bob", why="agreed")
    (edit,) = (await strict.store.read(lambda tx: edits.of(tx, LANE, [1]))).values()
    assert msgspec.json.decode(edit.payload)["posting_on"] == "2026-11-01"
