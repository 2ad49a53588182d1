"""A lane runs beside an old integration, is compared with it, and goes live without a twin."""

import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.delivery.compare import Line
from isthmus.delivery.lane import Lane
from isthmus.events import ChargeDetermined
from isthmus.ops import shadowing
from isthmus.ops.errors import Refused
from isthmus.ops.selection import Selection
from isthmus.ops.shadowing import ShadowReport
from isthmus.store import audit, crosswalk, deliveries, log, receipts, shadows
from isthmus.store.face import Tx
from tests.flows.shadow_rig import INSTANCE, LANE, Beside, beside, charge

DAYS = {f"ch{n}": f"2026-10-{n:02}" for n in range(5, 13)}
"""One day each, so that a record can be only its day's."""


def day(key: str) -> dict[str, object]:
    on = date.fromisoformat(DAYS[key])
    return {"earned_on": on, "posting_on": on}


async def planted(here: Beside) -> dict[str, str]:
    """Eight charges. The old integration posts them, and goes wrong in every way it can; its records."""
    await here.tell(*(charge(key, **day(key)) for key in DAYS))
    records = {key: here.old_posts(on=DAYS[key]) for key in ("ch5", "ch6", "ch7")}
    records["ch8"] = here.old_posts(on=DAYS["ch8"], rate="100.00")
    records["ch9"] = here.old_posts("7:30", on=DAYS["ch9"])
    records["ch10"] = here.old_posts(on=DAYS["ch10"])
    records["ch10 again"] = here.old_posts(on=DAYS["ch10"])
    records["extra"] = here.old_posts("1:00", on=DAYS["ch5"], memo="workshop")
    records["ch11"] = here.old_posts(on=DAYS["ch11"], custcol_isth_charge="ch11")
    return records  # nothing for ch12


def verdicts(report: ShadowReport) -> dict[str, str]:
    return {line.about: line.verdict for line in report.lines}


async def test_every_planted_disagreement_is_in_the_report() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        assert here.bills() == len(records), "a lane in shadow writes nothing"
        report = await here.shadows("shadow").report(LANE)
        assert verdicts(report) == {
            **dict.fromkeys(("ch5", "ch6", "ch7", "ch11"), "agree"),
            "ch8": "differ",
            "ch9": "differ",
            "ch10": "ambiguous",
            "ch12": "missing",
            records["extra"]: "extra",
        }
        lines = {line.about: line for line in report.lines}
        assert [(d.field, d.ours, d.theirs) for d in lines["ch8"].differences] == [
            ("amount", "1200.00", "800.00")
        ]
        assert [d.field for d in lines["ch9"].differences] == ["amount", "quantity"]
        assert lines["ch10"].records == [records["ch10"], records["ch10 again"]]
        assert lines[records["extra"]].detail == "workshop"
        assert report.amounts["missing"] == {"EUR": Decimal("1200.00")}
        assert report.amounts["extra"] == {"EUR": Decimal("150.00")}
        assert not report.agrees


async def test_a_lane_that_was_in_shadow_sends_nothing_before_it_has_gone_live() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        await here.tell(charge("ch20"))
        why = await here.starts("live")
        assert why is not None and "8 facts were decided in shadow" in why
        assert here.bills() == len(records)


async def test_going_live_adopts_what_agrees_and_makes_no_twin() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        rehearsed = await here.shadows("live").go_live(LANE, by="ada", why="", dry_run=True)
        assert await here.open_shadows() == 8, "a rehearsal changes nothing"
        done = await here.shadows("live").go_live(LANE, by="ada", why="the old one was stopped")
        assert (done.adopted, done.exceptions, done.owed) == (4, 4, 0)
        assert (rehearsed.adopted, rehearsed.exceptions, rehearsed.owed) == (4, 4, 0)
        await here.tell(charge("ch20"))
        await here.run_until_read("live")
        assert here.bills() == len(records) + 1, "the new charge, and no twin of an old one"
        linked = await here.store.read(lambda tx: crosswalk.remote(tx, "charge", "ch5", INSTANCE))
        assert linked == records["ch5"]
        receipt = await here.store.read(lambda tx: receipts.get(tx, LANE, 1))
        assert receipt is not None and receipt.remote_id == records["ch5"]
        assert receipt.detail == "adopted, ada: the old one was stopped"
        waiting = {each.subject: each for each in await here.desk.work.list(where=LANE)}
        assert set(waiting) == {"psa:ch8", "psa:ch9", "psa:ch10", "psa:ch12"}
        assert "amount is 800.00, not 1200.00" in waiting["psa:ch8"].reason
        acts = await here.store.read(lambda tx: [each.act for each in audit.page(tx)])
        assert acts == ["lane.go-live"]


async def test_what_is_missing_is_sent_where_that_was_asked_for() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        done = await here.shadows("live").go_live(LANE, by="ada", why="agreed", send_missing=True)
        assert (done.adopted, done.exceptions, done.owed) == (4, 3, 1)
        assert await here.starts("live") is None
        await here.run_until_read("live")
        assert here.bills() == len(records) + 1
        linked = await here.store.read(lambda tx: crosswalk.remote(tx, "charge", "ch12", INSTANCE))
        assert linked is not None


async def test_the_configuration_is_the_only_place_that_says_live() -> None:
    async with beside() as here:
        await planted(here)
        await here.run_until_read("shadow")
        with pytest.raises(Refused, match=re.escape('write stage = "live" under [lanes.erp]')):
            await here.shadows("shadow").go_live(LANE, by="ada", why="now")
        assert await here.open_shadows() == 8


async def test_an_exception_of_going_live_is_resolved_with_the_other_record() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        await here.shadows("live").go_live(LANE, by="ada", why="agreed")
        number = next(each.id for each in await here.desk.work.list(where=LANE) if each.subject == "psa:ch10")
        await here.desk.work.resolve(number, records["ch10"], by="fin", why="the second was deleted by hand")
        await here.run_until_read("live")
        assert here.bills() == len(records)


async def test_going_live_that_was_interrupted_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of three, and the daemon dies after the first: the rest is settled by the same command."""
    monkeypatch.setattr(shadowing, "PAGE", 3)
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        dying = here.shadows("live")
        whole = shadowing._settle

        def breaks(tx: Tx, lane: Lane, line: Line, *rest: Any) -> Any:
            if line.about == "ch9":
                raise RuntimeError("killed")
            return whole(tx, lane, line, *rest)

        monkeypatch.setattr(shadowing, "_settle", breaks)
        with pytest.raises(RuntimeError, match="killed"):
            await dying.go_live(LANE, by="ada", why="agreed")
        assert await here.open_shadows() == 5, "a page is settled whole or not at all"
        assert "5 facts were decided in shadow" in str(await here.starts("live"))
        monkeypatch.setattr(shadowing, "_settle", whole)
        done = await here.shadows("live").go_live(LANE, by="ada", why="agreed")
        assert (done.adopted, done.exceptions) == (1, 4)
        await here.run_until_read("live")
        assert here.bills() == len(records)


async def test_what_has_another_record_beside_it_is_not_retried_in_bulk() -> None:
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        await here.shadows("live").go_live(LANE, by="ada", why="agreed")
        every = Selection(every=True, where=LANE)
        done = await here.desk.work.retry(every, by="ada", why="all of them")
        assert (done.matched, done.done) == (4, 1), "only what is missing over there"
        await here.run_until_read("live")
        assert here.bills() == len(records) + 1
        (beside_one, *_) = await here.desk.work.list(where=LANE)
        await here.desk.work.retry(Selection(ids=[beside_one.id]), by="fin", why="theirs was deleted")
        await here.run_until_read("live")
        assert here.bills() == len(records) + 2


async def test_a_reversal_goes_for_what_was_adopted_and_waits_behind_what_was_not() -> None:
    def back(key: str) -> ChargeDetermined:
        return charge(
            f"{key}r",
            amount=Decimal("-1200.00"),
            reverses=key,
            origin_key=f"psa:{key}",
            origin_revision=2,
            **day(key),
        )

    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        await here.shadows("live").go_live(LANE, by="ada", why="agreed")
        await here.tell(back("ch5"), back("ch8"))
        await here.run_until_read("live")
        assert here.bills() == len(records) + 1
        linked = await here.store.read(lambda tx: crosswalk.remote(tx, "charge", "ch5r", INSTANCE))
        assert linked == f"timeBill/{len(records) + 1}"
        states = await here.store.read(deliveries.counts)
        assert states == {(LANE, "in_doubt"): 4, (LANE, "blocked"): 1}


async def test_a_charge_taken_back_before_anybody_posted_it_asks_for_nothing() -> None:
    async with beside() as here:
        back = charge(
            "ch5r", amount=Decimal("-1200.00"), reverses="ch5", origin_key="psa:ch5", origin_revision=2
        )
        await here.tell(charge("ch5"), back)
        await here.run_until_read("shadow")
        report = await here.shadows("shadow").report(LANE)
        assert verdicts(report) == {"ch5": "cancelled", "ch5r": "cancelled"} and report.agrees
        await here.shadows("live").go_live(LANE, by="ada", why="agreed", send_missing=True)
        await here.run_until_read("live")
        assert here.bills() == 0


async def test_a_planted_bug_that_sends_instead_of_adopting_would_make_twins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The mutant: going live forgets what the lane decided, and owes it all."""

    def owes(tx: Tx, lane: Lane, line: Line, send: bool, by: str, why: str, at: datetime) -> str:
        assert line.seq is not None
        (row,) = log.by_seqs(tx, [line.seq])
        shadows.end(tx, LANE, line.seq, "owed")
        deliveries.schedule(tx, LANE, line.seq, row.subject, at)
        return "owed"

    monkeypatch.setattr(shadowing, "_settle", owes)
    async with beside() as here:
        records = await planted(here)
        await here.run_until_read("shadow")
        await here.shadows("live").go_live(LANE, by="ada", why="agreed")
        await here.run_until_read("live")
        assert here.bills() == len(records) + 8, "all are sent, and seven of them are twins"
