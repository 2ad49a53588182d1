"""What a contract's billing schedule says after each thing that happens: `LINE KEY DAY AMOUNT STATE`."""

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.events import (
    BusinessEvent,
    ChangeOrderStepped,
    ContractLine,
    FixedFee,
    Installment,
    ScheduleRevised,
    decode,
    encode,
)
from isthmus.process.rules.schedule import Schedule
from isthmus.process.states import MemoryStates
from tests.process.agreed import (
    CARE,
    FEE,
    HOURS,
    LICENCE,
    STEPS,
    achieved,
    amended,
    charged,
    ended,
    held,
    released,
    signed,
    stage,
    told,
)


class Told:
    """The process over memory; ``said`` is all it derived."""

    def __init__(self, *events: BusinessEvent) -> None:
        self.states = MemoryStates()
        self.said: list[BusinessEvent] = []
        for event in events:
            self.take(event)

    def take(self, event: BusinessEvent) -> list[BusinessEvent]:
        out = Schedule().apply(event, self.states)
        assert [decode(encode(each)) for each in out] == out
        self.said += out
        return out

    @property
    def newest(self) -> ScheduleRevised:
        return [event for event in self.said if isinstance(event, ScheduleRevised)][-1]

    @property
    def rows(self) -> list[str]:
        return [
            f"{row.line} {row.key.removeprefix('C1/')} {row.due_on} {row.amount} {row.state}"
            for row in self.newest.installments
        ]


def ordered(revision: int, **changes: Any) -> ChangeOrderStepped:
    given = {"change": f"C1/{revision}", "contract": "C1", "project": "P1", "step": "schedule"}
    return ChangeOrderStepped(
        **told(source="change-order"), **{**given, "state": "ordered", "detail": "", **changes}
    )


@pytest.mark.parametrize(
    ("lines", "rows"),
    [
        pytest.param(
            [FEE],
            ["F F/1 2026-10-01 300.00 planned", "F F/2 2026-12-01 600.00 planned"],
            id="instalments stand on their days",
        ),
        pytest.param(
            [STEPS],
            ["M m1 2026-10-01 100.00 planned", "M m2 2026-11-15 200.00 planned"],
            id="a milestone stands on its planned day, in advance on the first, without a day nowhere",
        ),
        pytest.param(
            [CARE],
            [
                "R R/2026-10-31 2026-10-31 50.00 planned",
                "R R/2026-11-30 2026-11-30 50.00 planned",
                "R R/2026-12-31 2026-12-31 50.00 planned",
            ],
            id="a retainer stands with its periods up to its end",
        ),
    ],
)
def test_a_signed_contract_tells_its_schedule(lines: list[ContractLine], rows: list[str]) -> None:
    told = Told(signed(*lines))
    assert told.rows == rows
    assert (told.newest.revision, told.newest.project, told.newest.currency) == (1, "P1", "EUR")


def test_a_contract_of_hours_alone_tells_nothing() -> None:
    assert Told(signed(HOURS), stage("on_hold", 2), ended("2026-12-01")).said == []


def test_without_an_end_a_subscription_shows_twelve_periods_behind_the_last_billed_one() -> None:
    told = Told(signed(LICENCE))
    assert len(told.rows) == 12
    assert told.rows[0] == "S S/2026-10-11 2026-10-11 21.00 planned"
    told.take(charged("subscription", "C1/S/2026-10-11", "21.00", "2026-10-11", "S"))
    assert len(told.rows) == 13
    assert told.rows[0] == "S S/2026-10-11 2026-10-11 21.00 billed"
    assert told.rows[-1] == "S S/2027-10-01 2027-10-01 31.00 planned"


def test_an_end_that_means_never_does_not_fill_the_schedule() -> None:
    assert len(Told(signed(LICENCE, ends_on=date(9999, 12, 31))).rows) == 120


FIRST = ("installment", "C1/F/1")
BILLED = charged(*FIRST, "300.00", "2026-10-01", "F")
BACK = charged(*FIRST, "-300.00", "2026-10-01", "F", reverses=BILLED.charge)
AGAIN = charged(*FIRST, "300.00", "2026-10-01", "F", reverses=BACK.charge)


@pytest.mark.parametrize(
    ("events", "state"),
    [
        pytest.param([BILLED], "billed", id="a charge bills it"),
        pytest.param([BILLED, BACK], "planned", id="its reversal plans it again"),
        pytest.param([BILLED, BACK, AGAIN], "billed", id="a reversal of the reversal bills it again"),
        pytest.param([held(*FIRST)], "held", id="a hold holds it"),
        pytest.param([held(*FIRST), released(*FIRST)], "planned", id="a release plans it"),
        pytest.param([held(*FIRST), released(*FIRST), BILLED], "billed", id="released and charged"),
        pytest.param([BILLED, held(*FIRST)], "billed", id="a correction that waits leaves it billed"),
        pytest.param([stage("on_hold", 2)], "paused", id="a project on hold pauses it"),
        pytest.param([stage("on_hold", 2), held(*FIRST)], "paused", id="billing's hold on it is the pause"),
        pytest.param(
            [held(*FIRST), stage("on_hold", 2), stage("active", 3)], "held", id="active: held again"
        ),
        pytest.param([stage("on_hold", 2), stage("active", 3)], "planned", id="active: planned again"),
        pytest.param([stage("cancelled", 2)], "cancelled", id="a cancelled project cancels it"),
        pytest.param([stage("completed", 2)], "planned", id="a completed project changes nothing"),
        pytest.param([BILLED, stage("cancelled", 2)], "billed", id="what is billed stays billed"),
        pytest.param([stage("active", 3), stage("on_hold", 2)], "planned", id="an old stage is not believed"),
        pytest.param([held("contract", "C1")], "held", id="terms that are held bill nothing"),
        pytest.param([held("contract", "C1"), released("contract", "C1")], "planned", id="until they govern"),
        pytest.param([held("contract", "C1", revision=2)], "planned", id="a held amendment is not meant"),
    ],
)
def test_the_state_of_an_instalment(events: list[BusinessEvent], state: str) -> None:
    told = Told(signed(FEE), *events)
    assert told.rows[0] == f"F F/1 2026-10-01 300.00 {state}"


def test_the_stage_of_a_project_may_come_before_its_contract() -> None:
    assert Told(stage("on_hold", 2), signed(FEE)).rows[0].endswith("paused")


def test_an_achieved_milestone_stands_on_its_day_once_billing_speaks_of_it() -> None:
    told = Told(signed(STEPS))
    assert told.take(achieved("m3", "2026-11-20")) == []
    told.take(held("milestone", "m3"))
    assert told.rows[-1] == "M m3 2026-11-20 400.00 held"
    told.take(released("milestone", "m3"))
    told.take(charged("milestone", "m3", "400.00", "2026-11-20", "M"))
    assert told.rows[-1] == "M m3 2026-11-20 400.00 billed"


def test_an_ended_contract_has_no_later_periods_and_a_part_of_the_last() -> None:
    told = Told(signed(LICENCE), ended("2026-11-15"))
    assert told.rows == [
        "S S/2026-10-11 2026-10-11 21.00 planned",
        "S S/2026-11-01 2026-11-01 15.50 planned",
    ]


LARGER = FixedFee(
    line="F",
    amount=D("1000.00"),
    installments=[
        Installment(key="1", due_on=date(2026, 10, 1), amount=D("300.00")),
        Installment(key="3", due_on=date(2027, 1, 1), amount=D("700.00")),
    ],
)


def test_an_amendment_reaches_the_schedule_when_it_is_ordered() -> None:
    told = Told(signed(FEE))
    assert told.take(amended(2, LARGER)) == []
    told.take(BILLED)
    assert told.rows[1] == "F F/2 2026-12-01 600.00 planned"
    order = ordered(2)
    (answer,) = told.take(order)
    assert told.rows == ["F F/1 2026-10-01 300.00 billed", "F F/3 2027-01-01 700.00 planned"]
    assert answer.causation == order.id


def test_what_was_billed_stays_when_later_terms_drop_it() -> None:
    told = Told(signed(FEE), BILLED, amended(2, HOURS), ordered(2))
    assert told.rows == ["F F/1 2026-10-01 300.00 billed"]


def test_an_order_is_answered_with_the_schedule_even_when_it_stays_the_same() -> None:
    told = Told(signed(FEE), amended(2, FEE, HOURS))
    (answer,) = told.take(ordered(2))
    assert isinstance(answer, ScheduleRevised)
    assert answer.revision == 2


def test_an_order_is_answered_where_nothing_is_scheduled() -> None:
    told = Told(signed(HOURS), amended(2, HOURS))
    (answer,) = told.take(ordered(2))
    assert isinstance(answer, ChangeOrderStepped)
    assert (answer.source, answer.step, answer.state) == ("schedule", "schedule", "done")
    assert answer.detail == "nothing is scheduled"


def test_an_order_told_again_is_answered_once() -> None:
    told = Told(signed(FEE), amended(2, LARGER), ordered(2))
    assert told.take(ordered(2, detail="waits for netsuite-master")) == []
    assert told.take(ordered(2, state="done")) == []


def test_all_contracts_of_a_project_are_told_when_its_stage_changes() -> None:
    second = signed(replace(FEE, line="G"), contract="C2")
    out = Told(signed(FEE), second).take(stage("on_hold", 2))
    assert [event.key for event in out] == ["C1", "C2"]
    assert len({event.id for event in out}) == 2


def test_a_contract_whose_name_has_slashes_is_found_by_the_key_of_its_hold() -> None:
    told = Told(signed(FEE, contract="a/b"), held("installment", "a/b/F/1"))
    assert told.newest.installments[0].state == "held"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(signed(FEE), id="a contract"),
        pytest.param(held(*FIRST), id="a hold"),
        pytest.param(stage("on_hold", 2), id="a stage"),
        pytest.param(ended("2026-11-15"), id="an end"),
    ],
)
def test_what_is_told_twice_is_said_once(event: BusinessEvent) -> None:
    told = Told(signed(FEE), event)
    assert told.take(event) == []


def test_the_same_facts_give_the_same_words_to_the_byte() -> None:
    events = [signed(FEE, STEPS, LICENCE), BILLED, amended(2, LARGER), ordered(2), stage("on_hold", 2)]
    first, second = (Told(*events) for _ in range(2))
    assert [encode(event) for event in first.said] == [encode(event) for event in second.said]
    assert first.states.rows == second.states.rows
