"""The outlook of a project, source by source and together: what months are expected to bring, and backlog.

Billing is the real one; what planners say stands beside it. 2026-10-05 is a Monday.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from isthmus.events import (
    BusinessEvent,
    FixedFee,
    ForecastRevised,
    Installment,
    Milestones,
    MilestoneTerm,
    Retainer,
    Subscription,
    TimeAndMaterials,
)
from isthmus.process.rules.forecast import ForecastProcess
from tests.process.conftest import Ledger
from tests.process.planning import NOW, Window, planning

HOURLY = TimeAndMaterials(line="T", rates={"consulting": D("100.00"), "design": D("50.00")})
STEPS = Milestones(
    line="M",
    milestones=[
        MilestoneTerm(milestone="m1", title="Go live", amount=D("500.00"), planned_on=date(2026, 11, 15)),
        MilestoneTerm(milestone="m2", title="Hand-over", amount=D("300.00")),
    ],
)
FEE = FixedFee(
    line="F",
    amount=D("900.00"),
    installments=[
        Installment(key="1", due_on=date(2026, 10, 1), amount=D("300.00")),
        Installment(key="2", due_on=date(2026, 12, 1), amount=D("600.00")),
    ],
)
CARE = Retainer(
    line="R",
    amount=D("50.00"),
    every="month",
    starts_on=date(2026, 10, 1),
    ends_on=date(2026, 12, 31),
    included_hours=D("20.00"),
    overage_rate=D("80.00"),
    services=["support"],
)
LICENCE = Subscription(
    line="S", amount=D("31.00"), every="month", starts_on=date(2026, 10, 11), ends_on=date(2026, 11, 30)
)


class Firm:
    """Billing and a planner; the forecast reads what both say."""

    def __init__(self, *lines: Any, **changes: Any) -> None:
        self.book = Ledger()
        self.window = Window(ForecastProcess())
        self._read = 0
        self.book.tell("project P1")
        self.sign(*lines, **changes)

    def sign(self, *lines: Any, **changes: Any) -> None:
        if lines:
            self.book.sign(*lines, **changes)
        self._pass_on()

    def tell(self, *sentences: str) -> "Firm":
        for sentence in sentences:
            if sentence.split()[0] in ("plan", "unplan"):
                self.window.take(planning(sentence))
            elif sentence.startswith("end "):
                self.book.end(sentence.removeprefix("end "))
            else:
                self.book.tell(sentence)
            self._pass_on()
        return self

    def _pass_on(self) -> None:
        """The facts billing was told, each with what billing derived, in the order of the log."""
        self.window.take(*self.book.told[self._read :])
        self._read = len(self.book.told)
        self.window.take(*self.book.derived)
        self.book.derived.clear()

    def said(self) -> ForecastRevised:
        (event,) = self.window.publish()
        assert isinstance(event, ForecastRevised)
        return event


def months(event: ForecastRevised) -> dict[str, str]:
    """``revenue hours``, then what is tentative and what is unpaid where there is any."""
    found = {}
    for month in event.months:
        words = f"{month.revenue} {month.hours} h"
        if month.tentative_hours:
            words += f", tentative {month.tentative_revenue} {month.tentative_hours} h"
        if month.unpaid_hours:
            words += f", unpaid {month.unpaid_hours} h"
        found[month.month] = words
    return found


WEEK = "plan A R1 consulting 10-05 10-09 8.00"
"""40 hours."""


@pytest.mark.parametrize(
    ("lines", "sentences", "expected", "backlog"),
    [
        pytest.param([HOURLY], [], {}, "0.00", id="an open contract without a plan brings nothing yet"),
        # Charges.
        pytest.param(
            [HOURLY],
            ["time e r1 2.00 10-05", "time f r1 3.00 11-05"],
            {"2026-10": "200.00 2.00 h", "2026-11": "300.00 3.00 h"},
            "0.00",
            id="charges count in the month they are earned in",
        ),
        pytest.param(
            [HOURLY],
            ["time e r1 2.00 10-05", "time e r2 3.00 11-05"],
            {"2026-10": "0.00 0.00 h", "2026-11": "300.00 3.00 h"},
            "0.00",
            id="a correction moves the charge; its old month is said to be empty",
        ),
        pytest.param(
            [replace(HOURLY, expenses=True, cap_amount=D("1000.00"))],
            ["expense x r1 40.00 10-05"],
            {"2026-10": "40.00 0.00 h"},
            "1000.00",
            id="expenses are revenue, and no part of the agreed amount",
        ),
        # The schedule.
        pytest.param(
            [FEE],
            ["tick 10-02"],
            {"2026-10": "300.00 0.00 h", "2026-12": "600.00 0.00 h"},
            "600.00",
            id="instalments: billed or not, each once",
        ),
        pytest.param(
            [STEPS],
            [],
            {"2026-11": "500.00 0.00 h"},
            "800.00",
            id="a milestone counts in the month of its planned day; without one it is backlog only",
        ),
        pytest.param(
            [STEPS],
            ["milestone m2 r1 10-20"],
            {"2026-10": "300.00 0.00 h", "2026-11": "500.00 0.00 h"},
            "500.00",
            id="an achieved milestone counts when it was achieved",
        ),
        pytest.param(
            [STEPS],
            ["milestone m1 r1 10-20", "reopen m1 r2"],
            {"2026-10": "0.00 0.00 h", "2026-11": "500.00 0.00 h"},
            "800.00",
            id="a reopened milestone goes back to its planned day",
        ),
        pytest.param(
            [CARE],
            ["tick 10-02"],
            {"2026-10": "50.00 0.00 h", "2026-11": "50.00 0.00 h", "2026-12": "50.00 0.00 h"},
            "100.00",
            id="retainer periods",
        ),
        pytest.param(
            [LICENCE],
            [],
            {"2026-10": "21.00 0.00 h", "2026-11": "31.00 0.00 h"},
            "52.00",
            id="subscription periods, a first part by its days",
        ),
        pytest.param(
            [replace(LICENCE, ends_on=None, every="year")],
            [],
            {
                "2026-10": "6.96 0.00 h",
                **{f"{year}-01": "31.00 0.00 h" for year in range(2027, 2038)},
            },
            "0.00",
            id="without an end the next twelve periods, and no backlog",
        ),
        # Remaining hours.
        pytest.param(
            [HOURLY],
            ["plan A R1 consulting 10-29 11-03 8.00"],
            {"2026-10": "1600.00 16.00 h", "2026-11": "1600.00 16.00 h"},
            "0.00",
            id="assigned working days at the rate of their service, month by month",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "time e r1 7.50 10-06"],
            {"2026-10": "3150.00 31.50 h"},
            "0.00",
            id="days up to the last approved one are over: charged is what was worked",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "time e r1 7.50 10-06", "untime e r2"],
            {"2026-10": "4000.00 40.00 h"},
            "0.00",
            id="a withdrawn approval gives the days back",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "time e r1 1.00 10-06 consulting nonbillable"],
            {"2026-10": "2400.00 24.00 h"},
            "0.00",
            id="time that is not billable ends its days as well",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "tick 11-30"],
            {"2026-10": "4000.00 40.00 h"},
            "0.00",
            id="October waits for its timesheets through November",
        ),
        pytest.param(
            [HOURLY], [WEEK, "tick 12-01"], {}, "0.00", id="and is over when December begins, worked or not"
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "plan A R1 design 10-05 10-09 4.00 r2", "plan A R1 consulting 10-05 10-09 1.00 r1"],
            {"2026-10": "1000.00 20.00 h"},
            "0.00",
            id="the newest revision of an assignment is the whole truth",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "unplan A 10-07"],
            {"2026-10": "1600.00 16.00 h"},
            "0.00",
            id="an assignment that ended is not planned from that day on",
        ),
        pytest.param(
            [HOURLY],
            ["unplan A 10-07 r2", WEEK, "plan A R1 consulting 10-05 10-09 2.00 r3"],
            {"2026-10": "1000.00 10.00 h"},
            "0.00",
            id="planned anew after its end",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "plan B R2 consulting 10-05 10-05 8.00 tentative"],
            {"2026-10": "4000.00 40.00 h, tentative 800.00 8.00 h"},
            "0.00",
            id="what is tentative stands apart",
        ),
        pytest.param(
            [HOURLY],
            ["plan A R1 training 10-05 10-06 8.00"],
            {"2026-10": "0.00 0.00 h, unpaid 16.00 h"},
            "0.00",
            id="hours that no line takes, or that have no rate, are unpaid",
        ),
        pytest.param(
            [HOURLY],
            [WEEK, "end 10-06"],
            {"2026-10": "1600.00 16.00 h, unpaid 24.00 h"},
            "0.00",
            id="so are hours after the contract",
        ),
        # Caps, included hours, lots.
        pytest.param(
            [replace(HOURLY, cap_amount=D("1000.00"))],
            [WEEK],
            {"2026-10": "1000.00 10.00 h, unpaid 30.00 h"},
            "1000.00",
            id="a cap in money: what it leaves",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("1000.00"))],
            [WEEK, "time e r1 8.00 10-05"],
            {"2026-10": "1000.00 10.00 h, unpaid 30.00 h"},
            "200.00",
            id="what was charged is taken from it",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("1000.00"))],
            [
                "plan A R1 design 10-05 10-05 8.00",
                "plan B R2 consulting 10-09 10-09 8.00",
                "plan C R3 consulting 11-02 11-02 8.00",
            ],
            {"2026-10": "1000.00 12.00 h, unpaid 4.00 h", "2026-11": "0.00 0.00 h, unpaid 8.00 h"},
            "1000.00",
            id="earlier months go first, and within a month services by name",
        ),
        pytest.param(
            [replace(HOURLY, cap_hours=D("12.50"), overage="write_off")],
            [WEEK],
            {"2026-10": "1250.00 12.50 h, unpaid 27.50 h"},
            "0.00",
            id="a cap in hours, what is above is written off",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("1000.00"), overage="bill", overage_rate=D("60.00"))],
            [WEEK],
            {"2026-10": "2800.00 40.00 h"},
            "1000.00",
            id="above the cap at the overage rate",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("1000.00"))],
            [
                "plan A R1 consulting 10-08 10-08 8.00",
                "plan B R1 consulting 10-05 10-05 8.00 tentative",
                "plan C R1 consulting 11-02 11-02 8.00 tentative",
            ],
            {"2026-10": "800.00 8.00 h, tentative 200.00 2.00 h", "2026-11": "0.00 0.00 h"},
            "1000.00",
            id="a cap is for confirmed hours first, whatever their days; tentative ones get what is left",
        ),
        pytest.param(
            [replace(HOURLY, included_hours=D("10.00"))],
            [WEEK],
            {"2026-10": "3000.00 30.00 h, unpaid 10.00 h"},
            "0.00",
            id="included hours are free first",
        ),
        pytest.param(
            [replace(HOURLY, included_hours=D("10.00"))],
            [WEEK, "time e r1 8.00 10-05"],
            {"2026-10": "3000.00 30.00 h, unpaid 2.00 h"},
            "0.00",
            id="approved hours used some of them",
        ),
        pytest.param(
            [replace(HOURLY, included_hours=D("10.00"))],
            [WEEK, "time e r1 8.00 10-05", "time f r1 4.00 10-05", "untime e r2"],
            {"2026-10": "2600.00 26.00 h, unpaid 8.00 h"},
            "0.00",
            id="a withdrawal gave included hours back, while a charge stands",
        ),
        pytest.param(
            [CARE],
            ["plan A R1 support 10-05 10-09 8.00"],
            {
                "2026-10": "1650.00 20.00 h, unpaid 20.00 h",
                "2026-11": "50.00 0.00 h",
                "2026-12": "50.00 0.00 h",
            },
            "150.00",
            id="a retainer's hours are free first, then the overage rate",
        ),
        pytest.param(
            [replace(CARE, rollover="one_period")],
            ["time e r1 5.00 10-05 support", "plan A R1 support 11-02 11-06 8.00"],
            {
                "2026-10": "50.00 0.00 h",
                "2026-11": "450.00 5.00 h, unpaid 35.00 h",
                "2026-12": "50.00 0.00 h",
            },
            "150.00",
            id="with what rolled over from the period before",
        ),
        # Stages.
        pytest.param(
            [HOURLY, FEE],
            [WEEK, "time e r1 1.00 10-05", "stage on_hold r1"],
            {"2026-10": "100.00 1.00 h"},
            "900.00",
            id="on hold: nothing has a day any more, the backlog stays",
        ),
        pytest.param(
            [HOURLY, FEE],
            [WEEK, "stage on_hold r1", "stage active r2"],
            {"2026-10": "4300.00 40.00 h", "2026-12": "600.00 0.00 h"},
            "900.00",
            id="and active again",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("9000.00")), FEE],
            [WEEK, "time e r1 1.00 10-05", "stage cancelled r1"],
            {"2026-10": "100.00 1.00 h"},
            "0.00",
            id="cancelled: what was charged, and nothing to be earned",
        ),
        pytest.param(
            [replace(HOURLY, cap_amount=D("9000.00")), FEE],
            [WEEK, "stage completed r1"],
            {"2026-10": "300.00 0.00 h", "2026-12": "600.00 0.00 h"},
            "900.00",
            id="completed: nobody works any more, the schedule still bills",
        ),
        pytest.param(
            [FEE, replace(LICENCE, ends_on=None)],
            ["end 11-15"],
            {"2026-10": "321.00 0.00 h", "2026-11": "15.50 0.00 h"},
            "336.50",
            id="ended: the schedule up to that day, a last part by its days",
        ),
        # All together.
        pytest.param(
            [replace(HOURLY, cap_amount=D("5000.00"), services=["consulting"]), STEPS, FEE, CARE, LICENCE],
            [WEEK, "time e r1 8.00 10-05", "milestone m2 r1 10-20", "tick 10-20"],
            {
                "2026-10": "4671.00 40.00 h",
                "2026-11": "581.00 0.00 h",
                "2026-12": "650.00 0.00 h",
            },
            "5431.00",
            id="everything on one contract",
        ),
    ],
)
def test_what_a_project_is_expected_to_bring(
    lines: list[Any], sentences: list[str], expected: dict[str, str], backlog: str
) -> None:
    said = Firm(*lines).tell(*sentences).said()
    assert (months(said), str(said.backlog)) == (expected, backlog)
    assert (said.currency, said.as_of, said.project) == ("EUR", NOW, "P1")


def test_earned_is_what_was_charged_so_that_a_total_counts_nothing_twice() -> None:
    capped = replace(HOURLY, cap_amount=D("5000.00"), expenses=True)
    firm = Firm(capped, FEE).tell(WEEK, "time e r1 8.00 10-05", "expense x r1 40.00 10-05", "tick 10-02")
    said = firm.said()
    assert (str(said.earned), str(said.backlog)) == ("1140.00", "4800.00")
    assert months(said) == {"2026-10": "4340.00 40.00 h", "2026-12": "600.00 0.00 h"}


@pytest.mark.parametrize(
    ("currency", "rate", "expected", "backlog"),
    [
        pytest.param("JPY", "9999.5", "77496 7.75 h", "100000", id="JPY has no minor units"),
        pytest.param("KWD", "12.3456", "95.678 7.75 h", "100000.000", id="KWD has three digits"),
        pytest.param("EUR", "33.33", "258.31 7.75 h", "100000.00", id="EUR rounds half up"),
    ],
)
def test_a_forecast_is_in_the_minor_units_of_its_currency(
    currency: str, rate: str, expected: str, backlog: str
) -> None:
    line = TimeAndMaterials(line="T", default_rate=D(rate), cap_amount=D(100000))
    said = Firm(line, currency=currency).tell("plan A R1 consulting 10-05 10-05 7.75").said()
    assert (months(said), str(said.backlog), said.currency) == ({"2026-10": expected}, backlog, currency)


def test_an_amendment_changes_the_rate_from_its_day_on_and_the_cap_at_once() -> None:
    firm = Firm(replace(HOURLY, cap_amount=D("3000.00")))
    firm.tell("plan A R1 consulting 10-15 10-20 10.00")
    assert months(firm.said()) == {"2026-10": "3000.00 30.00 h, unpaid 10.00 h"}
    dearer = replace(HOURLY, rates={"consulting": D("110.00")}, cap_amount=D("9000.00"))
    firm.book.amend(2, dearer, effective_on="10-19")
    firm.tell()
    firm._pass_on()
    assert months(firm.said()) == {"2026-10": "4200.00 40.00 h"}


def test_terms_that_billing_refuses_change_nothing() -> None:
    firm = Firm(replace(HOURLY, cap_amount=D("3000.00"))).tell("time e r1 8.00 10-05")
    before = firm.said()
    firm.book.amend(2, replace(HOURLY, cap_amount=D("500.00")), effective_on="10-01")
    firm._pass_on()
    refused = firm.said()
    assert (refused.months, refused.backlog) == (before.months, before.backlog)
    firm.tell("time e r2 4.00 10-05")
    assert (months(firm.said()), str(firm.window.publish())) == ({"2026-10": "400.00 4.00 h"}, "[]")


def test_terms_count_once_billing_takes_them_after_all() -> None:
    firm = Firm(replace(HOURLY, cap_amount=D("3000.00"))).tell("time e r1 8.00 10-05")
    firm.book.amend(2, replace(HOURLY, cap_amount=D("500.00")), effective_on="10-01")
    firm.tell("time e r2 4.00 10-05")
    assert str(firm.said().backlog) == "100.00"


def test_a_project_without_a_contract_is_not_spoken_of_until_it_has_one() -> None:
    firm = Firm().tell(WEEK, "time e r1 2.00 10-05")
    assert firm.window.publish() == []
    firm.sign(HOURLY, currency="USD")
    said = firm.said()
    assert (said.currency, months(said)) == ("USD", {"2026-10": "3400.00 34.00 h"})


def test_a_project_that_lost_its_contract_is_said_to_have_nothing_ahead() -> None:
    firm = Firm(HOURLY, FEE).tell(WEEK, "time e r1 1.00 10-09")
    firm.said()
    firm.book.amend(2, HOURLY, FEE, effective_on="10-10", project="P2")
    firm._pass_on()
    left, gone_to = sorted(firm.window.publish(), key=lambda event: event.project)
    assert (left.project, months(left), str(left.backlog)) == ("P1", {"2026-10": "100.00 1.00 h"}, "0.00")
    assert (gone_to.project, str(gone_to.backlog)) == ("P2", "900.00")


def test_of_two_contracts_the_first_to_start_takes_the_work_and_another_currency_stays_out() -> None:
    firm = Firm(replace(HOURLY, cap_amount=D("9000.00")), starts_on=date(2026, 10, 7))
    firm.sign(
        TimeAndMaterials(line="T", default_rate=D("200.00")),
        contract="C0",
        starts_on=date(2026, 10, 1),
        ends_on=date(2026, 10, 6),
    )
    firm.sign(STEPS, contract="C9", currency="USD", starts_on=date(2026, 10, 8))
    said = firm.tell(WEEK).said()
    assert (months(said), str(said.backlog)) == ({"2026-10": "5600.00 40.00 h"}, "9000.00")


def test_what_was_said_last_is_not_said_again() -> None:
    firm = Firm(HOURLY).tell(WEEK)
    firm.said()
    firm.tell("plan A R1 consulting 10-05 10-09 8.00 r2", "time e r1 1.00 10-09", "untime e r2")
    assert firm.window.dirty != {}
    assert firm.window.publish() == []


def test_an_amendment_is_always_answered_since_a_change_order_waits_for_it() -> None:
    firm = Firm(HOURLY)
    before = firm.said()
    firm.book.amend(2, HOURLY, effective_on="10-10")
    firm._pass_on()
    after = firm.said()
    assert (after.months, after.backlog) == (before.months, before.backlog)
    assert firm.book.told[-1].id in after.basis
    assert firm.window.publish() == []


def test_a_tick_speaks_of_nobody_but_where_somebody_is_planned_and_a_month_begins() -> None:
    idle, planned = Firm(HOURLY), Firm(HOURLY).tell(WEEK)
    for firm in (idle, planned):
        firm.said()
        firm.tell("tick 11-02")
    assert (set(idle.window.dirty), set(planned.window.dirty)) == (set(), {"P1"})
    planned.window.dirty.clear()
    planned.tell("tick 11-03")
    assert set(planned.window.dirty) == set()


def test_basis_lists_what_was_folded_since_the_last_statement_and_makes_the_id() -> None:
    early, late = Firm(HOURLY), Firm(HOURLY)
    for firm in (early, late):
        firm.window.dirty.clear()
        firm.tell("time e r1 2.00 10-05")
    one, other = early.window.publish(NOW)[0], late.window.publish(NOW + timedelta(hours=1))[0]
    assert [part.partition("/")[0] for part in one.basis] == ["test", "billing"]
    assert (one.id, one.causation, one.correlation) == (other.id, one.basis[-1], one.basis[0])
    assert one.id.startswith("forecast/forecast.revised/")


def test_an_assignment_without_an_end_counts_for_ten_years_and_a_long_one_costs_no_more_than_its_months() -> (
    None
):
    said = Firm(HOURLY).tell("plan A R1 consulting 2026-10-05 9999-12-31 8.00").said()
    assert (len(said.months), said.months[-1].month) == (121, "2036-10")


def _rows_written(entries: int) -> int:
    """Bytes of rows read and written for one more entry on a project that has so many."""
    firm = Firm(replace(HOURLY, cap_amount=D(10**9))).tell(WEEK)
    facts: list[BusinessEvent] = []
    for number in range(entries):
        firm.book.tell(f"time e{number} r1 1.00 10-{number % 28 + 1:02}")
    facts = [*firm.book.told[firm._read :], *firm.book.derived]
    firm._read = len(firm.book.told)
    firm.book.derived.clear()
    firm.window.take(*facts)
    firm.window.publish()
    touched = 0
    states = firm.window.states
    get, put = states.get, states.put

    def counted_get(key: str, type: Any) -> Any:
        nonlocal touched
        touched += len(states.rows.get(key, b""))
        return get(key, type)

    def counted_put(key: str, struct: Any) -> None:
        nonlocal touched
        put(key, struct)
        touched += len(states.rows[key])

    states.get, states.put = counted_get, counted_put  # type: ignore[method-assign]
    firm.tell("time new r1 1.00 10-05")
    firm.window.publish()
    return touched


def test_one_more_entry_costs_the_same_after_a_hundred_as_after_a_thousand() -> None:
    few, many = _rows_written(100), _rows_written(1000)
    assert many < 1.2 * few, (few, many)


def test_a_statement_is_dated_when_it_is_said() -> None:
    at = datetime.fromisoformat("2026-10-09T13:00:00+00:00")
    (said,) = Firm(HOURLY).window.publish(at)
    assert (said.as_of, said.occurred_at) == (at, at)
