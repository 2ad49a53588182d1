"""Random contracts and histories: after every fact the engine says what the slow reference says.

Each guarantee has a mutant beside it: a planted bug that the same check must find.
"""

import dataclasses
import json
import os
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from isthmus.events import Milestones, MilestoneTerm, Retainer, TimeAndMaterials, encode
from isthmus.process.rules import (
    agreements,
    billing,
    calendar,
    contracts,
    deferral,
    desk,
    holds,
    models,
    periods,
    retainer,
    schedules,
    time_and_materials,
)
from isthmus.process.rules.plan import Plan
from tests.process.histories import ROLL, SETTING, Json, histories, written
from tests.process.played import again, encoded, play

MORE = int(os.environ.get("HISTORIES", "0"))
EVERY = settings(
    max_examples=MORE or 2_000,
    deadline=None,
    derandomize=not MORE,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
"""The same two thousand histories each time; with ``HISTORIES=50000`` in the environment, so many others."""


@pytest.mark.timeout(1_200)  # forty seconds of a free core, or as many more histories as are asked for
@EVERY
@given(history=histories, disorder=st.integers(0, 2**32))
def test_every_history_is_billed_as_the_reference_bills_it(
    history: tuple[bytes, list[bytes]], disorder: int
) -> None:
    books, told = play(written(history))
    assert again(repeated(told, Random(disorder))) == encoded(books.derived), "what came twice, or late"


def repeated(facts: list[Json], random: Random) -> list[Json]:
    """The log as a careless source would tell it: facts come again, and old revisions after newer ones."""
    said: list[Json] = []
    for number, fact in enumerate(facts):
        said.append(fact)
        for _ in range(random.choice([0, 0, 1, 2])):
            old = facts[random.randrange(number + 1)]
            said.append(stale(old) if random.random() < 0.5 else old)
    return said


def stale(fact: Json) -> Json:
    """The same revision with other words: an older state of the fact, or one that was read twice."""
    changed: dict[str, Any] = {
        "hours": "3.33",
        "amount": "77",
        "worked_on": "2027-11-02",
        "stage": "cancelled",
    }
    if "revision" not in fact:
        return fact
    kept = {name: value for name, value in changed.items() if name in fact}
    return {**fact, **kept, "id": fact["id"] + "/late"}


# Planted bugs

Plant = Callable[[pytest.MonkeyPatch], None]


def _lots_are_not_given_back(patch: pytest.MonkeyPatch) -> None:
    use = desk.Desk._use

    def sticky(self: Any, contract: str, lot: str, hours: Decimal) -> None:
        if hours > 0 or "@" not in lot:
            use(self, contract, lot, hours)

    patch.setattr(desk.Desk, "_use", sticky)


def _periods_end_a_day_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(schedules, "DAY", timedelta(days=2))


def _one_period_rolls_for_ever(patch: pytest.MonkeyPatch) -> None:
    lots = schedules.retainer_lots

    def generous(line: Any, day: Any) -> Any:
        return lots(replace(line, rollover="none" if line.rollover == "none" else "all"), day)

    patch.setattr(retainer, "retainer_lots", generous)


def _overage_counts_in_the_cap(patch: pytest.MonkeyPatch) -> None:
    charge = desk.Desk._charge

    def inside(
        self: Any, fact: Any, work: Any, ready: Any, part: Any, price: Any, pot: Any, words: Any
    ) -> Any:
        return charge(self, fact, work, ready, part, price, pot or ready.plan.pot, words)

    patch.setattr(desk.Desk, "_charge", inside)


def _reversals_ignore_the_period(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk, "first_open_day", lambda entity, day, states: day)


def _new_work_ignores_the_period(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(contracts, "closed_on", lambda entity, day, states: None)


def _half_a_correction_in_a_closed_period(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk.Desk, "blocked", lambda self, fact, work: None)


def _amendments_rate_from_the_first_day(patch: pytest.MonkeyPatch) -> None:
    keep = contracts.keep_terms

    def early(event: Any, states: Any) -> Any:
        changes = {"effective_on": event.starts_on} if hasattr(event, "effective_on") else {}
        return keep(replace(event, **changes), states)

    patch.setattr(agreements, "keep_terms", early)


def _amendments_rate_nothing_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agreements, "_rerated", lambda *_: [])


def _a_re_rating_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(billing, "differs", lambda *_: False)


def _caps_may_fall_under_what_is_billed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(agreements, "_overdrawn", lambda *_: None)


def _the_newest_hold_goes_first(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        holds, "merge", lambda *found: sorted((each for one in found for each in one), reverse=True)
    )


def _a_credit_wakes_nobody(patch: pytest.MonkeyPatch) -> None:
    look = holds._look
    patch.setattr(holds, "_look", lambda *words: look(*words) and False)


def _credits_go_whatever_the_cap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(desk.Desk, "_used_by_others", lambda *_: None)


def _the_hour_cap_is_ignored(patch: pytest.MonkeyPatch) -> None:
    plan = time_and_materials.plan

    def endless(*words: Any) -> Any:
        made = plan(*words)
        return dataclasses.replace(made, cap_hours=None) if isinstance(made, Plan) else made

    patch.setattr(time_and_materials, "plan", endless)


def _any_line_takes_the_service(patch: pytest.MonkeyPatch) -> None:
    def first(terms: Any, work: Any) -> Any:
        fits = [line for line in terms.lines if models.MODELS[type(line)].fit(line, work) != "no"]
        return fits[0] if fits else None

    patch.setattr(contracts, "choose_line", first)


def _deferrals_survive_their_charge(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(deferral, "take_back", lambda out, fact, on: replace(fact, deferred=None))


def _a_month_end_counts_a_day_less(patch: pytest.MonkeyPatch) -> None:
    earned = deferral.earned_by
    patch.setattr(deferral, "earned_by", lambda deferred, day: earned(deferred, day - timedelta(days=1)))


def _reopening_releases_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(calendar, "earn_reopened", lambda *_: None)


def _an_achievement_is_dropped_with_its_advance(patch: pytest.MonkeyPatch) -> None:
    change = calendar._change
    patch.setattr(
        calendar,
        "_change",
        lambda key, contract, fact, item, states: change(
            key, contract, replace(fact, achieved_on=None), item, states
        ),
    )


def _late_words_about_periods_count(patch: pytest.MonkeyPatch) -> None:
    record = periods.record
    patch.setattr(periods, "record", lambda event, states: record(replace(event, revision=99), states))


@pytest.mark.parametrize(
    ("plant", "number"),
    [
        pytest.param(_lots_are_not_given_back, 11, id="a retainer's hours are not given back"),
        pytest.param(_periods_end_a_day_early, 0, id="a period ends a day early"),
        pytest.param(_one_period_rolls_for_ever, 142, id="hours roll over without end"),
        pytest.param(_overage_counts_in_the_cap, 0, id="overage counts in the cap"),
        pytest.param(_reversals_ignore_the_period, 0, id="a reversal posts into a closed period"),
        pytest.param(_new_work_ignores_the_period, 0, id="work posts into a closed period"),
        pytest.param(_half_a_correction_in_a_closed_period, 0, id="half a correction in a closed period"),
        pytest.param(_amendments_rate_from_the_first_day, 0, id="re-rated before effective_on"),
        pytest.param(_amendments_rate_nothing_again, 0, id="never re-rated"),
        pytest.param(_caps_may_fall_under_what_is_billed, 0, id="a cap falls under what is billed"),
        pytest.param(_the_newest_hold_goes_first, 0, id="the newest hold goes first"),
        pytest.param(_a_credit_wakes_nobody, 0, id="a held credit wakes nobody"),
        pytest.param(_the_hour_cap_is_ignored, 0, id="the cap in hours is ignored"),
        pytest.param(_any_line_takes_the_service, 0, id="the first line takes every service"),
        pytest.param(_deferrals_survive_their_charge, 17, id="a reversal leaves its deferral"),
        pytest.param(_a_month_end_counts_a_day_less, 0, id="a month earns a day less"),
        pytest.param(_late_words_about_periods_count, 0, id="an old word about a period counts"),
    ],
)
def test_the_check_finds_a_planted_bug(monkeypatch: pytest.MonkeyPatch, plant: Plant, number: int) -> None:
    """
    Args:
        number: Where the search begins, so that it is short; every number leads to the bug in the end.
    """
    plant(monkeypatch)
    assert any(parts_ways(each) for each in range(number, number + 3_000))


def parts_ways(number: int) -> bool:
    """Whether a history made of this number betrays a bug."""
    random = Random(number)
    steps = [random.randbytes(ROLL) for _ in range(random.randint(20, 60))]
    try:
        books, told = play(written((random.randbytes(SETTING), steps)))
        return again(repeated(told, random)) != encoded(books.derived)
    except (AssertionError, KeyError):
        return True


# Bugs that random histories seldom meet: a story of its own leads to each.

TIME = TimeAndMaterials(line="T", default_rate=Decimal(100))
DEARER = TimeAndMaterials(line="T", default_rate=Decimal(120))
TRAVEL = TimeAndMaterials(line="T", expenses=True, expense_cap=Decimal(100))
CARE = Retainer(
    line="R",
    amount=Decimal("310.00"),
    every="month",
    starts_on=date(2026, 10, 15),
    included_hours=Decimal(10),
    overage_rate=Decimal(90),
)


def step(*, advance: bool) -> Milestones:
    term = MilestoneTerm(milestone="m1", title="Kick-off", amount=Decimal(500), advance=advance)
    return Milestones(line="M", milestones=[term])


def _a_closed_month_is_reopened(book: Any) -> None:
    book.sign(CARE)
    for sentence in ("tick 10-15", "close 10", "tick 11-02", "open 10"):
        book.tell(sentence)


def _an_achieved_advance_is_given_up(book: Any) -> None:
    book.sign(step(advance=True))
    for sentence in ("close 10", "tick 10-01", "milestone m1 r1 11-10"):
        book.tell(sentence)
    book.amend(2, step(advance=False), effective_on="10-01")


def _a_credit_is_taken_back_when_its_room_is_used(book: Any) -> None:
    book.sign(TRAVEL)
    for sentence in ("expense a r1 100.00 10-05", "expense y r1 -30.00 10-05", "expense b r1 30.00 10-05"):
        book.tell(sentence)
    book.tell("unexpense y r2")


def _a_correction_is_taken_back_after_a_re_rating(book: Any) -> None:
    book.sign(TIME)
    for sentence in ("time a r1 1.00 10-05", "close 10", "time a r2 2.00 10-05"):
        book.tell(sentence)
    book.amend(2, DEARER, effective_on="10-01")
    for sentence in ("time a r3 1.00 10-05", "open 10"):
        book.tell(sentence)


@pytest.mark.parametrize(
    ("plant", "story"),
    [
        pytest.param(_reopening_releases_nothing, _a_closed_month_is_reopened, id="revenue is left behind"),
        pytest.param(
            _an_achievement_is_dropped_with_its_advance,
            _an_achieved_advance_is_given_up,
            id="an achievement is lost with its advance",
        ),
        pytest.param(
            _credits_go_whatever_the_cap,
            _a_credit_is_taken_back_when_its_room_is_used,
            id="a withdrawn credit lifts a line above its cap",
        ),
        pytest.param(
            _a_re_rating_is_forgotten,
            _a_correction_is_taken_back_after_a_re_rating,
            id="a re-rating that waits is forgotten",
        ),
    ],
)
def test_the_check_finds_a_planted_bug_in_a_story(
    ledger: Any, monkeypatch: pytest.MonkeyPatch, plant: Plant, story: Callable[[Any], None]
) -> None:
    story(ledger)
    facts = [json.loads(encode(event)) for event in ledger.told]
    play(facts)
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        play(facts)
