"""The forecast against a slow reference that counts day by day in whole hundredths and minor units.

Any order of the same facts, folded in windows of any sizes, ends in the same last statement. Each guarantee
has a mutant beside it: a planted bug that the same check must find.
"""

from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.events import (
    BusinessEvent,
    CalendarTicked,
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    Retainer,
    TimeAndMaterials,
    TimeApproved,
    TimeUnapproved,
    minor_digits,
)
from isthmus.process.rules import assigned, forecast, forecast_outlook
from isthmus.process.rules.forecast import ForecastProcess
from tests.process import agreed
from tests.process.planning import in_windows, planning

FIRST, DAYS = date(2026, 10, 1), 92
AT = datetime(2026, 10, 1, 8, tzinfo=UTC)
SERVICES = ("build", "care", "draw", "none")


@dataclass
class World:
    """Everything as integers: hours in hundredths, money in minor units, days counted from FIRST."""

    currency: str
    rates: list[dict[str, int]]
    """By revision of the contract; the second holds from day ``amended``."""
    amended: int
    included: int | None
    cap_hours: int | None
    cap_amount: int | None
    overage: str
    overage_rate: int
    lot: int
    rollover: str
    care_rate: int
    care_amount: int
    ended: int | None
    stage: str
    tick: int | None
    milestone_on: int
    milestone_amount: int
    fees: dict[int, int]
    assignments: list[tuple[str, str, int, int, int, bool]] = field(default_factory=list)
    """Resource, service, first and last day, hours a day, tentative."""
    entries: list[tuple[str, str, int, int, bool]] = field(default_factory=list)
    """Resource, service, day, hours, billable: as they stand at last."""
    charges: list[tuple[str, int, int, int]] = field(default_factory=list)
    """Line, day, hours, amount."""
    facts: list[BusinessEvent] = field(default_factory=list)


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


def a_world(seed: int) -> World:
    dice = Random(seed)
    maybe: Callable[[Any], Any] = lambda value: value if dice.random() < 0.5 else None  # noqa: E731
    world = World(
        currency=dice.choice(["EUR", "JPY", "KWD"]),
        rates=[{"build": dice.randint(1, 20000), "draw": dice.randint(1, 20000)} for _ in range(2)],
        amended=dice.randint(20, 70),
        included=maybe(dice.randint(0, 9000)),
        cap_hours=maybe(dice.randint(0, 20000)),
        cap_amount=maybe(dice.randint(0, 2_000_000)),
        overage=dice.choice(["hold", "bill", "write_off"]),
        overage_rate=dice.randint(1, 20000),
        lot=dice.choice([0, 1000, 4000]),
        rollover=dice.choice(["none", "one_period", "all"]),
        care_rate=dice.randint(1, 20000),
        care_amount=dice.randint(1, 9999),
        ended=maybe(dice.randint(40, 90)),
        stage=dice.choice(["active", "active", "active", "planned", "on_hold", "completed", "cancelled"]),
        tick=maybe(dice.randint(0, 90)),
        milestone_on=dice.randint(0, 90),
        milestone_amount=dice.randint(1, 9999),
        fees={day: dice.randint(1, 9999) for day in dice.sample(range(90), 2)},
    )
    for _ in range(dice.randint(0, 6)):
        first = dice.randint(0, 80)
        last = min(first + dice.randint(0, 40), DAYS - 1)
        hours = dice.choice([25, 400, 733, 800])
        who, what = dice.choice("xy"), dice.choice(SERVICES)
        world.assignments.append((who, what, first, last, hours, dice.random() < 0.3))
    for _ in range(dice.randint(0, 6)):
        who, what = dice.choice("xyz"), dice.choice(SERVICES)
        world.entries.append((who, what, dice.randint(0, 60), dice.randint(1, 900), dice.random() < 0.8))
    for _ in range(dice.randint(0, 4)):
        line = dice.choice(["T", "T", "R"])
        world.charges.append((line, dice.randint(0, 60), dice.randint(1, 500), dice.randint(1, 90_000)))
    world.facts = _facts(world, dice)
    return world


def _facts(world: World, dice: Random) -> list[BusinessEvent]:
    """The world as it is told, with corrections, withdrawals and repeats on the way to how it stands."""
    unit = Decimal(1).scaleb(-minor_digits(world.currency))
    money: Callable[[int], Decimal] = lambda amount: amount * unit  # noqa: E731

    def lines(revision: int) -> list[Any]:
        return [
            TimeAndMaterials(
                line="T",
                services=["build", "draw"],
                rates={name: money(rate) for name, rate in world.rates[revision].items()},
                included_hours=_hours(world.included),
                cap_hours=_hours(world.cap_hours),
                cap_amount=None if world.cap_amount is None else money(world.cap_amount),
                overage=world.overage,  # type: ignore[arg-type]
                overage_rate=money(world.overage_rate),
            ),
            Retainer(
                line="R",
                services=["care"],
                amount=money(world.care_amount),
                every="month",
                starts_on=date(2026, 10, 11),
                ends_on=date(2026, 12, 20),
                included_hours=_hours(world.lot) or Decimal(0),
                overage_rate=money(world.care_rate),
                rollover=world.rollover,  # type: ignore[arg-type]
            ),
            Milestones(
                line="M",
                milestones=[
                    MilestoneTerm(
                        milestone="m",
                        title="m",
                        amount=money(world.milestone_amount),
                        planned_on=on(world.milestone_on),
                    )
                ],
            ),
            FixedFee(
                line="F",
                amount=money(sum(world.fees.values())),
                installments=[
                    Installment(key=str(day), due_on=on(day), amount=money(amount))
                    for day, amount in world.fees.items()
                ],
            ),
        ]

    common: dict[str, Any] = {"currency": world.currency, "ends_on": None}
    change = agreed.amended(2, *lines(1), **common)
    facts: list[BusinessEvent] = [
        agreed.signed(*lines(0), **common),
        msgspec.structs.replace(change, effective_on=on(world.amended)),
    ]
    facts += [agreed.stage("active", 1), agreed.stage(world.stage, 2)]
    if world.ended is not None:
        facts.append(agreed.ended(f"{on(world.ended)}"))
    if world.tick is not None:
        for day in {world.tick, world.tick // 2}:
            facts.append(CalendarTicked(**agreed.told(), day=on(day)))
    for number, (who, what, first, last, hours, tentative) in enumerate(world.assignments):
        text = f"plan a{number} {who} {what} {on(first)} {on(last)} {_hours(hours)}"
        facts.append(planning(f"{text}{' tentative' if tentative else ''} r3"))
        if dice.random() < 0.5:
            facts.append(planning(f"plan a{number} z build 2026-10-01 2026-12-01 8.00 r1"))
            facts.append(planning(f"unplan a{number} 2026-10-02 r2"))
    for number, (who, what, day, hours, billable) in enumerate(world.entries):
        told: dict[str, Any] = {"entry": f"e{number}", "project": "P1", "resource": who, "approved_on": FIRST}
        facts.append(
            TimeApproved(
                **agreed.told(),
                **told,
                revision=3,
                service=what,
                worked_on=on(day),
                hours=_hours(hours) or Decimal(1),
                billable=billable,
            )
        )
        if dice.random() < 0.5:
            facts.append(
                TimeApproved(
                    **agreed.told(),
                    **told,
                    revision=1,
                    service="build",
                    worked_on=on(dice.randint(0, 90)),
                    hours=Decimal(5),
                    billable=True,
                )
            )
            facts.append(TimeUnapproved(**agreed.told(), entry=f"e{number}", revision=2, project="P1"))
    for number, (line, day, hours, amount) in enumerate(world.charges):
        origin = "time" if line == "T" else "retainer_overage"
        words = {"currency": world.currency, "unit_price": Decimal(1), "quantity": _hours(hours)}
        place = f"{on(day)}"
        facts.append(agreed.charged(origin, f"c{number}", f"{money(amount)}", place, line, **words))
        if dice.random() < 0.3:
            twice = agreed.charged(origin, f"d{number}", f"{money(amount)}", place, line, **words)
            back = agreed.charged(origin, f"d{number}", f"{-money(amount)}", place, line, **words)
            facts += [twice, msgspec.structs.replace(back, reverses=twice.charge)]
    dice.shuffle(facts)
    return facts


def _hours(hundredths: int | None) -> Decimal | None:
    return None if hundredths is None else Decimal(hundredths).scaleb(-2)


# The reference


@dataclass
class Months:
    """Revenue, hours, tentative revenue, tentative hours, unpaid hours."""

    rows: dict[str, list[int]] = field(default_factory=dict)

    def add(self, day: int, *values: int) -> None:
        row = self.rows.setdefault(f"{on(day):%Y-%m}", [0] * 5)
        for place, value in enumerate(values):
            row[place] += value


def half_up(hundredths: int, rate: int) -> int:
    return (2 * hundredths * rate + 100) // 200


def reference(world: World) -> tuple[dict[str, list[int]], int]:
    """Months and backlog."""
    months = Months()
    for _, day, hours, amount in world.charges:
        months.add(day, amount, hours)
    periods = [10, 41, 71]  # the 11th of each month
    due = [(day, world.care_amount) for day in periods if world.ended is None or day <= world.ended]
    due += [(world.milestone_on, world.milestone_amount), *world.fees.items()]
    due = [(day, amount) for day, amount in due if world.ended is None or day <= world.ended]
    if world.stage not in ("on_hold", "cancelled"):
        for day, amount in due:
            months.add(day, amount)
    if world.stage in ("active", "planned"):
        _plan(world, months)
    backlog = sum(amount for _, amount in due)
    spent = sum(amount for line, _, _, amount in world.charges if line == "T")
    if world.ended is None and world.stage != "completed" and world.cap_amount is not None:
        backlog += max(0, world.cap_amount - spent)
    return months.rows, 0 if world.stage == "cancelled" else backlog


def lots_of(world: World, day: int) -> list[int]:
    """The first days of the retainer's periods that a day may use; none outside of it."""
    if not 10 <= day <= 80:
        return []
    mine = [start for start in (10, 41, 71) if start <= day]
    return {"none": mine[-1:], "one_period": mine[-2:], "all": mine}[world.rollover]


def _plan(world: World, months: Months) -> None:
    covered: Callable[[int], bool] = lambda day: world.ended is None or day <= world.ended  # noqa: E731
    lots = dict.fromkeys((10, 41, 71), world.lot)
    approved = 0
    for _, service, day, hours, billable in sorted(world.entries, key=lambda entry: entry[2]):
        if not billable or not covered(day):
            continue
        if service in ("build", "draw"):
            approved += hours
        for start in lots_of(world, day) if service == "care" else ():
            part = min(hours, lots[start])
            lots[start] -= part
            hours -= part
    billed = sum(hours for line, _, hours, _ in world.charges if line == "T")
    spent = sum(amount for line, _, _, amount in world.charges if line == "T")
    included = max(0, (world.included or 0) - max(0, approved - billed))

    over = 0
    if world.tick is not None:
        month = on(world.tick).replace(day=1) - timedelta(days=1)
        over = max(0, (month.replace(day=1) - FIRST).days)
    # Hours of each service that nobody worked yet, by span: days between which nothing changes.
    spans: dict[tuple[bool, int, str], int] = {}
    began = {0, world.amended, 10, 41, 71, 81}
    began |= {(date(2026, month, 1) - FIRST).days for month in (10, 11, 12)}
    if world.ended is not None:
        began.add(world.ended + 1)
    for who, service, first, last, hours, tentative in world.assignments:
        worked = [day for other, _, day, _, _ in world.entries if other == who]
        for day in range(max([first, over, *(day + 1 for day in worked)]), last + 1):
            if on(day).weekday() < 5:
                span = max(start for start in began if start <= day)
                place = tentative, span, service
                spans[place] = spans.get(place, 0) + hours
    for tentative, day, service in sorted(spans):
        rest = hours = spans[tentative, day, service]
        paid = revenue = 0
        if covered(day) and service == "care":
            for start in lots_of(world, day):
                part = min(rest, lots[start])
                lots[start] -= part
                rest -= part
            if lots_of(world, day):
                paid, revenue = rest, half_up(rest, world.care_rate)
        elif covered(day) and service in ("build", "draw"):
            part = min(rest, included)
            included -= part
            rest -= part
            rate = world.rates[1 if day >= world.amended else 0][service]
            fits = rest if world.cap_hours is None else min(rest, max(0, world.cap_hours - billed))
            if world.cap_amount is not None:
                left = world.cap_amount - spent
                low, high = 0, fits if left > 0 else 0
                while low < high:
                    middle = (low + high + 1) // 2
                    if half_up(middle, rate) <= left:
                        low = middle
                    else:
                        high = middle - 1
                fits = low
            paid, revenue = fits, half_up(fits, rate)
            billed += fits
            spent += revenue
            if world.overage == "bill":
                revenue += half_up(rest - fits, world.overage_rate)
                paid = rest
        if tentative:
            months.add(day, 0, 0, revenue, paid)
        else:
            months.add(day, revenue, paid, 0, 0, hours - paid)


# The checks


def stated(facts: list[BusinessEvent], currency: str, *sizes: int) -> tuple[dict[str, list[int]], int]:
    said = in_windows(ForecastProcess(), facts, *sizes)["P1"]
    digits = minor_digits(currency)
    months = {
        row["month"]: [
            int(Decimal(row["revenue"]).scaleb(digits)),
            int(Decimal(row["hours"]).scaleb(2)),
            int(Decimal(row.get("tentative_revenue", "0")).scaleb(digits)),
            int(Decimal(row.get("tentative_hours", "0")).scaleb(2)),
            int(Decimal(row.get("unpaid_hours", "0")).scaleb(2)),
        ]
        for row in said["months"]
    }
    return months, int(Decimal(said["backlog"]).scaleb(digits))


def agrees(seed: int) -> bool:
    world = a_world(seed)
    return stated(world.facts, world.currency) == reference(world)


def ends_the_same(seed: int) -> bool:
    world, dice = a_world(seed), Random(seed)
    other = dice.sample(world.facts, len(world.facts))
    sizes = [dice.randint(1, 5) for _ in range(dice.randint(0, 8))]
    return in_windows(ForecastProcess(), world.facts) == in_windows(ForecastProcess(), other, *sizes)


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_a_forecast_is_what_the_reference_counts(seed: int) -> None:
    world = a_world(seed)
    assert stated(world.facts, world.currency) == reference(world)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10**9))
def test_any_order_and_any_windows_end_in_the_same_statement(seed: int) -> None:
    assert ends_the_same(seed)


def test_the_reference_knows_the_calendar() -> None:
    starts = [(on(day).day, on(day).month) for day in (10, 41, 71)]
    assert (starts, on(80), monthrange(2026, 10)[1]) == (
        [(11, 10), (11, 11), (11, 12)],
        date(2026, 12, 20),
        31,
    )


def found(check: Callable[[int], bool]) -> bool:
    return any(not check(seed) for seed in range(300))


@pytest.mark.parametrize(
    ("module", "name", "mutant"),
    [
        pytest.param(forecast, "_last_worked", lambda *_: None, id="days that were worked count again"),
        pytest.param(forecast, "_horizon", lambda day: date.min, id="no day is ever over"),
        pytest.param(
            forecast_outlook, "working_days", lambda a, b: max(0, (b - a).days + 1), id="weekends are worked"
        ),
        pytest.param(forecast_outlook, "fitting", lambda f, part, *_: part, id="a cap in money is no bound"),
        pytest.param(
            forecast_outlook, "_has_lots", lambda line: False, id="approved hours use no included hours"
        ),
        pytest.param(forecast, "HOURLY", frozenset(), id="charged hours do not count"),
        pytest.param(forecast_outlook, "_cuts", lambda *_: iter(()), id="a month is priced as a whole"),
    ],
)
def test_mutants_differ_from_the_reference(
    module: Any, name: str, mutant: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, mutant)
    assert found(agrees)


def test_mutant_a_stale_assignment_that_is_taken_depends_on_the_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = assigned.heard
    monkeypatch.setattr(
        forecast, "heard", lambda row, event: heard(msgspec.structs.replace(row, revision=0), event)
    )
    assert found(ends_the_same)


def test_mutant_a_window_that_is_not_said_ends_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    published: set[str] = set()
    publish = ForecastProcess.publish

    def only_once(self: Any, key: str, states: Any, as_of: Any, basis: Any) -> Any:
        if len(published) == 1:
            return []
        published.add(key)
        return publish(self, key, states, as_of, basis)

    def fresh(seed: int) -> bool:
        published.clear()
        world = a_world(seed)
        whole = stated(world.facts, world.currency)
        published.clear()
        return whole == stated(world.facts, world.currency, len(world.facts) // 2)

    monkeypatch.setattr(ForecastProcess, "publish", only_once)
    assert found(fresh)
