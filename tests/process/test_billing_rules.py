"""The rules as a table: what is told, and what follows."""

from collections.abc import Callable
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    Retainer,
    TimeAndMaterials,
)

RATES = {"consulting": D("100.00"), "design": D("80.00")}


def timed(line: str = "T", **changes: Any) -> TimeAndMaterials:
    return TimeAndMaterials(**{"line": line, "rates": RATES, **changes})


OPEN = timed()
CAPPED = timed(cap_amount=D("1000.00"))
TRAVEL = timed(expenses=True)
STEPS = Milestones(line="M", milestones=[MilestoneTerm(milestone="m1", title="Go live", amount=D("500.00"))])
FEE = FixedFee(
    line="F", amount=D(9), installments=[Installment(key="1", due_on=date(2026, 10, 1), amount=D(9))]
)
Story = list[tuple[str, list[str]]]


@pytest.mark.parametrize(
    ("lines", "story"),
    [
        pytest.param(
            [OPEN],
            [("time e r1 2.00 10-05", ["e charge T 2.00 x 100.00 = 200.00"])],
            id="hours cost their rate",
        ),
        pytest.param(
            [OPEN],
            [("time e r1 2.00 10-05 nonbillable", ["e waive not_billable 2.00"])],
            id="unbillable is waived",
        ),
        pytest.param(
            [OPEN], [("time e r1 2.00 09-30", ["e hold contract_not_started 2.00"])], id="before the contract"
        ),
        pytest.param(
            [OPEN],
            [("time e r1 2.00 09-30 nonbillable", ["e hold contract_not_started 2.00"])],
            id="the contract is checked before billability",
        ),
        pytest.param(
            [OPEN], [("time e r1 2.00 12-24", ["e hold contract_ended 2.00"])], id="after the contract"
        ),
        pytest.param(
            [timed(services=["design"])],
            [("time e r1 2.00 10-05", ["e hold no_line 2.00"])],
            id="no line takes the service",
        ),
        pytest.param(
            [timed("any", rates={"consulting": D(70)}), timed("named", services=["consulting"])],
            [("time e r1 1.00 10-05", ["e charge named 1.00 x 100.00 = 100.00"])],
            id="a line that names the service goes before one that takes any",
        ),
        pytest.param(
            [timed("one"), timed("two")],
            [("time e r1 1.00 10-05", ["e charge one 1.00 x 100.00 = 100.00"])],
            id="of two equal lines the first takes it",
        ),
        pytest.param(
            [OPEN], [("time e r1 2.00 10-05 testing", ["e hold no_rate 2.00"])], id="a service without a rate"
        ),
        pytest.param(
            [timed(default_rate=D("60.00"))],
            [("time e r1 2.00 10-05 testing", ["e charge T 2.00 x 60.00 = 120.00"])],
            id="the default rate",
        ),
        pytest.param(
            [
                Retainer(
                    line="R",
                    amount=D(100),
                    every="month",
                    starts_on=date(2026, 10, 1),
                    included_hours=D(5),
                    overage_rate=D(90),
                ),
                FEE,
                OPEN,
            ],
            [
                ("time e r1 2.00 10-05", ["e waive included 2.00"]),
                ("time f r1 4.00 10-06", ["f waive included 3.00", "f charge R 1.00 x 90 = 90.00"]),
            ],
            id="a retainer takes hours in its turn; what is beyond its hours costs its overage rate",
        ),
        pytest.param(
            [timed(included_hours=D(3))],
            [
                ("time a r1 2.00 10-05", ["a waive included 2.00"]),
                ("time b r1 2.00 10-05", ["b waive included 1.00", "b charge T 1.00 x 100.00 = 100.00"]),
                ("untime a r2", []),
                ("time c r1 2.50 10-06", ["c waive included 2.00", "c charge T 0.50 x 100.00 = 50.00"]),
            ],
            id="included hours go first and come free again",
        ),
        pytest.param(
            [timed(cap_hours=D(3))],
            [
                (
                    "time e r1 5.00 10-05",
                    ["e charge T 3.00 x 100.00 = 300.00", "e hold cap_reached 2.00 (200.00)"],
                )
            ],
            id="a cap in hours",
        ),
        pytest.param(
            [timed(cap_hours=D(3), cap_amount=D("250.00"))],
            [
                (
                    "time e r1 5.00 10-05",
                    ["e charge T 2.50 x 100.00 = 250.00", "e hold cap_reached 2.50 (250.00)"],
                )
            ],
            id="of two caps the tighter wins",
        ),
        pytest.param(
            [timed(cap_hours=D(3), overage="bill", overage_rate=D("120.00"))],
            [
                (
                    "time e r1 5.00 10-05",
                    ["e charge T 3.00 x 100.00 = 300.00", "e charge T 2.00 x 120.00 = 240.00"],
                ),
                ("time f r1 1.00 10-05", ["f charge T 1.00 x 120.00 = 120.00"]),
                ("untime f r2", ["f reverse T -120.00"]),
                ("time g r1 1.00 10-05", ["g charge T 1.00 x 120.00 = 120.00"]),
            ],
            id="overage is billed outside the cap, and gives no room back",
        ),
        pytest.param(
            [timed(rates={"consulting": D("0.33")}, cap_hours=D(2), overage="bill")],
            [("time e r1 3.50 10-05", ["e charge T 2.00 x 0.33 = 0.66", "e charge T 1.50 x 0.33 = 0.50"])],
            id="overage without a rate of its own costs the same, and the parts sum to the rounded whole",
        ),
        pytest.param(
            [timed(cap_hours=D(3), overage="write_off")],
            [
                ("time e r1 5.00 10-05", ["e charge T 3.00 x 100.00 = 300.00", "e waive over_cap 2.00"]),
                ("time f r1 1.00 10-05", ["f waive over_cap 1.00"]),
                ("untime e r2", ["e reverse T -300.00"]),
            ],
            id="what is written off stays so when the cap comes free",
        ),
        pytest.param(
            [CAPPED],
            [
                ("time a r1 10.00 10-05", ["a charge T 10.00 x 100.00 = 1000.00"]),
                ("time b r1 4.00 10-05", ["b hold cap_reached 4.00 (400.00)"]),
                ("time c r1 4.00 10-05 design", ["c hold cap_reached 4.00 (320.00)"]),
                (
                    "time a r2 5.00 10-05",
                    [
                        "a reverse T -1000.00",
                        "a charge T 5.00 x 100.00 = 500.00",
                        "b charge T 4.00 x 100.00 = 400.00",
                        "b release cap_reached",
                        "c charge T 1.25 x 80.00 = 100.00",
                        "c hold cap_reached 2.75 (220.00)",
                    ],
                ),
            ],
            id="the oldest hold gets the room first",
        ),
        pytest.param(
            [CAPPED],
            [
                ("time a r1 2.00 10-05", ["a charge T 2.00 x 100.00 = 200.00"]),
                ("time b r1 8.00 10-05", ["b charge T 8.00 x 100.00 = 800.00"]),
                ("time c r1 1.00 10-05", ["c hold cap_reached 1.00 (100.00)"]),
                (
                    "time a r2 3.00 10-05",
                    [
                        "a reverse T -200.00",
                        "a charge T 2.00 x 100.00 = 200.00",
                        "a hold cap_reached 1.00 (100.00)",
                    ],
                ),
                (
                    "untime b r2",
                    [
                        "b reverse T -800.00",
                        "a charge T 1.00 x 100.00 = 100.00",
                        "a release cap_reached",
                        "c charge T 1.00 x 100.00 = 100.00",
                        "c release cap_reached",
                    ],
                ),
            ],
            id="a correction keeps its older place in line",
        ),
        pytest.param(
            [OPEN],
            [
                ("time e r2 2.00 10-05", ["e charge T 2.00 x 100.00 = 200.00"]),
                ("time e r2 3.00 10-05", []),
                ("time e r1 5.00 10-05", []),
                ("untime e r2", []),
                ("time e r3 2.0 10-05", []),
                ("untime e r4", ["e reverse T -200.00"]),
                ("time e r3 2.00 10-05", []),
                ("time e r5 1.00 10-05", ["e charge T 1.00 x 100.00 = 100.00"]),
            ],
            id="duplicate, stale and equal revisions move nothing",
        ),
        pytest.param(
            [OPEN],
            [("untime e r2", []), ("time e r1 2.00 10-05", [])],
            id="an approval older than its withdrawal is stale",
        ),
        pytest.param(
            [CAPPED],
            [
                (
                    "time e r1 12.00 10-05",
                    ["e charge T 10.00 x 100.00 = 1000.00", "e hold cap_reached 2.00 (200.00)"],
                ),
                ("untime e r2", ["e reverse T -1000.00", "e release cap_reached"]),
            ],
            id="a withdrawal ends the hold too",
        ),
        pytest.param(
            [STEPS],
            [
                ("milestone m1 r1 10-08", ["m1 charge M 1 x 500.00 = 500.00"]),
                ("milestone m1 r1 10-08", []),
                ("reopen m1 r2", ["m1 reverse M -500.00"]),
                ("milestone m1 r3 10-20", ["m1 charge M 1 x 500.00 = 500.00"]),
                ("milestone m2 r1 10-08", ["m2 hold no_line"]),
            ],
            id="a milestone is billed once, reopened, and billed again",
        ),
        pytest.param(
            [OPEN], [("expense x r1 50.00 10-05", ["x hold no_line"])], id="a line that takes no expenses"
        ),
        pytest.param(
            [TRAVEL],
            [
                ("expense x r1 50.00 10-05", ["x charge T 1 x 50.00 = 50.00"]),
                ("expense y r1 33.33 10-05 +10", ["y charge T 1 x 36.66 = 36.66"]),
                ("expense z r1 50.00 10-05 USD", ["z hold currency_mismatch"]),
                ("expense w r1 50.00 10-05 nonbillable", ["w waive not_billable 50.00"]),
                ("unexpense y r2", ["y reverse T -36.66"]),
            ],
            id="expenses with mark-up, as one charge",
        ),
        pytest.param(
            [timed(expenses=True, expense_cap=D("100.00"), cap_amount=D("100.00"))],
            [
                ("expense x r1 80.00 10-05", ["x charge T 1 x 80.00 = 80.00"]),
                ("expense y r1 50.00 10-05", ["y charge T 1 x 20.00 = 20.00", "y hold cap_reached (30.00)"]),
                ("time e r1 1.00 10-05", ["e charge T 1.00 x 100.00 = 100.00"]),
                (
                    "unexpense x r2",
                    ["x reverse T -80.00", "y charge T 1 x 30.00 = 30.00", "y release cap_reached"],
                ),
            ],
            id="expenses have a cap of their own",
        ),
        pytest.param(
            [timed(expenses=True, expense_cap=D("10.00"), overage="bill")],
            [
                (
                    "expense x r1 15.00 10-05",
                    ["x charge T 1 x 10.00 = 10.00", "x charge T 1 x 5.00 = 5.00"],
                )
            ],
            id="an expense above its cap is billed in two parts",
        ),
        pytest.param(
            [timed(expenses=True, expense_cap=D("10.00"))],
            [
                ("expense x r1 15.00 10-05", ["x charge T 1 x 10.00 = 10.00", "x hold cap_reached (5.00)"]),
                (
                    "expense y r1 -3.00 10-05",
                    [
                        "y charge T 1 x -3.00 = -3.00",
                        "x charge T 1 x 3.00 = 3.00",
                        "x hold cap_reached (2.00)",
                    ],
                ),
            ],
            id="a refund makes room",
        ),
        pytest.param(
            [OPEN],
            [
                ("close 10", []),
                ("time e r1 2.00 10-05", ["e hold period_closed 2.00"]),
                ("time f r1 2.00 11-02", ["f charge T 2.00 x 100.00 = 200.00"]),
                ("open 10", ["e charge T 2.00 x 100.00 = 200.00", "e release period_closed"]),
            ],
            id="a fact of a closed period waits until it is reopened",
        ),
        pytest.param(
            [OPEN],
            [("close 10 ap", []), ("time e r1 2.00 10-05", ["e charge T 2.00 x 100.00 = 200.00"])],
            id="payables closed is none of our business",
        ),
        pytest.param(
            [OPEN],
            [("close 10 all", []), ("time e r1 2.00 10-05", ["e hold period_closed 2.00"])],
            id="all ledgers closed is ours too",
        ),
        pytest.param(
            [OPEN],
            [
                ("time e r1 2.00 10-05", ["e charge T 2.00 x 100.00 = 200.00"]),
                ("close 10", []),
                ("untime e r2", ["e hold period_closed"]),
                ("open 10", ["e reverse T -200.00", "e release period_closed"]),
            ],
            id="a withdrawal waits for its period",
        ),
        pytest.param(
            [OPEN],
            [
                ("time e r1 2.00 10-30", ["e charge T 2.00 x 100.00 = 200.00"]),
                ("close 10", []),
                ("time e r2 2.00 11-02", ["e hold period_closed 2.00"]),
                ("time e r3 2.00 10-30", ["e release period_closed"]),
                ("open 10", []),
            ],
            id="a correction taken back while it waits moves nothing",
        ),
        pytest.param(
            [CAPPED],
            [
                ("time a r1 10.00 11-02", ["a charge T 10.00 x 100.00 = 1000.00"]),
                ("time b r1 1.00 10-05", ["b hold cap_reached 1.00 (100.00)"]),
                ("time c r1 1.00 11-02", ["c hold cap_reached 1.00 (100.00)"]),
                ("close 10", []),
                (
                    "time a r2 9.00 11-02",
                    [
                        "a reverse T -1000.00",
                        "a charge T 9.00 x 100.00 = 900.00",
                        "b hold period_closed 1.00",
                        "c charge T 1.00 x 100.00 = 100.00",
                        "c release cap_reached",
                    ],
                ),
                ("open 10", ["b hold cap_reached 1.00 (100.00)"]),
            ],
            id="room that comes free passes over what waits for a period",
        ),
    ],
)
def test_what_follows(ledger: Any, lines: list[Any], story: Story) -> None:
    assert ledger.sign(*lines, ends_on=date(2026, 12, 23)) == []
    for sentence, derived in story:
        assert ledger.tell(sentence) == derived, sentence


def test_next_open_posts_reversal_and_replacement_in_the_first_open_period(ledger: Any) -> None:
    ledger.sign(OPEN, period_policy="next_open")
    ledger.tell("time e r1 2.00 10-05")
    ledger.tell("close 10")
    ledger.tell("close 11")
    assert ledger.tell("time e r2 3.00 10-05") == [
        "e reverse T -200.00 posted 12-01",
        "e charge T 3.00 x 100.00 = 300.00 posted 12-01",
    ]
    ledger.tell("close 12")
    ledger.tell("open 11")
    # The charge stands in December, so its reversal cannot lie before it.
    assert ledger.tell("untime e r3") == ["e reverse T -300.00 posted 01-01"]
    assert ledger.net() == 0


def test_work_waits_for_its_project_and_then_its_contract(make_ledger: Callable[[], Any]) -> None:
    book = make_ledger()
    assert book.tell("time e r1 2.00 10-05") == ["e hold no_project 2.00"]
    assert book.tell("project P1") == ["e hold no_contract 2.00"]
    assert book.tell("project P1") == []
    assert book.sign(OPEN) == ["e charge T 2.00 x 100.00 = 200.00", "e release no_contract"]


def test_a_project_that_names_its_contract_is_billed_by_it(ledger: Any) -> None:
    ledger.sign(OPEN, project="elsewhere")
    assert ledger.tell("time e r1 2.00 10-05") == ["e hold no_contract 2.00"]
    event = ledger.event("project P1")
    named = ProjectCreated(
        id="named", source="test", occurred_at=event.occurred_at, entity="de",
        project="P1", customer="A", name="Rollout", stage="active", contract="C1",
    )  # fmt: skip
    kinds = [derived.kind for derived in ledger.take(named)]
    assert kinds == ["charge.determined", "charge.released"]


def test_of_two_contracts_the_one_in_force_on_the_day_bills(ledger: Any) -> None:
    ledger.sign(OPEN, ends_on=date(2026, 10, 31))
    ledger.sign(
        timed(rates={"consulting": D("110.00")}), contract="C2", starts_on=date(2026, 11, 1), currency="CHF"
    )
    assert ledger.tell("time e r1 1.00 10-31") == ["e charge T 1.00 x 100.00 = 100.00"]
    assert ledger.tell("time f r1 1.00 11-01") == ["f charge T 1.00 x 110.00 = 110.00"]


def test_an_ended_contract_bills_what_was_done_before(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.end("10-15")
    assert ledger.tell("time e r1 1.00 10-15") == ["e charge T 1.00 x 100.00 = 100.00"]
    assert ledger.tell("time f r1 1.00 10-16") == ["f hold contract_ended 1.00"]


AMENDED = timed(rates={"consulting": D("120.00"), "design": D("80.00")})


def test_an_amendment_rates_only_work_from_its_day_on(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.tell("time a r1 1.00 10-05")
    ledger.tell("time b r1 1.00 10-15")
    ledger.tell("time c r1 1.00 10-15 design")
    ledger.tell("time d r1 1.00 11-15")
    assert ledger.amend(2, AMENDED, effective_on="10-10") == [
        "b reverse T -100.00",
        "d reverse T -100.00",
        "b charge T 1.00 x 120.00 = 120.00",
        "d charge T 1.00 x 120.00 = 120.00",
    ]
    assert ledger.tell("time e r1 1.00 10-09") == ["e charge T 1.00 x 100.00 = 100.00"]
    assert ledger.tell("time f r1 1.00 10-10") == ["f charge T 1.00 x 120.00 = 120.00"]
    assert ledger.amend(2, OPEN, effective_on="10-01") == []
    assert ledger.amend(1, OPEN, effective_on="10-01") == []


def test_re_rating_work_of_a_closed_period_waits(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.tell("time a r1 1.00 10-05")
    ledger.tell("close 10")
    assert ledger.amend(2, AMENDED, effective_on="10-01") == ["a hold period_closed 1.00"]
    assert ledger.tell("open 10") == [
        "a reverse T -100.00",
        "a charge T 1.00 x 120.00 = 120.00",
        "a release period_closed",
    ]


def test_a_dropped_line_keeps_what_it_has_and_takes_nothing_new(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.tell("time a r1 1.00 10-05")
    assert ledger.amend(2, timed("U", rates={"consulting": D(90)}), effective_on="10-01") == []
    assert ledger.tell("time b r1 1.00 10-05") == ["b charge U 1.00 x 90 = 90.00"]
    assert ledger.net("T") == D("100.00")


def test_what_a_line_consumed_is_carried_across_revisions(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 9.00 10-05")
    ledger.amend(2, timed(cap_amount=D("1100.00")), effective_on="10-10")
    assert ledger.tell("time b r1 3.00 10-15") == [
        "b charge T 2.00 x 100.00 = 200.00",
        "b hold cap_reached 1.00 (100.00)",
    ]


def test_a_cap_lowered_below_what_was_determined_waits_and_names_the_remedy(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 9.00 10-05")
    assert ledger.amend(2, timed(cap_amount=D("500.00")), effective_on="10-01") == [
        "C1/2 terms failed",
        "C1 hold cap_below_billed",
    ]
    hold = ledger.derived[-1]
    assert hold.detail == (
        "lines.T.cap_amount 500.00 EUR lies under the 900.00 EUR determined already; "
        "amend with at least 900.00, or have the work corrected"
    )
    # The older terms govern meanwhile.
    assert ledger.tell("time b r1 1.00 10-05") == ["b charge T 1.00 x 100.00 = 100.00"]


def test_a_cap_below_what_was_determined_governs_once_corrections_make_room(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 9.00 10-05")
    ledger.amend(2, timed(cap_amount=D("500.00")), effective_on="10-01")
    assert ledger.tell("time a r2 5.00 10-05") == [
        "a reverse T -900.00",
        "a charge T 5.00 x 100.00 = 500.00",
        "C1 release cap_below_billed",
    ]
    assert ledger.tell("time b r1 1.00 10-05") == ["b hold cap_reached 1.00 (100.00)"]


def test_a_newer_revision_takes_the_place_of_one_that_waits(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 10.00 10-05")
    ledger.amend(2, timed(cap_amount=D("500.00")), effective_on="10-01")
    assert ledger.amend(3, timed(cap_amount=D("1500.00")), effective_on="10-01") == [
        "C1 release cap_below_billed"
    ]
    assert ledger.tell("time b r1 1.00 10-05") == ["b charge T 1.00 x 100.00 = 100.00"]


def test_a_cap_lowered_with_its_rate_is_measured_after_the_re_rating(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 10.00 10-05")
    cheaper = timed(rates={"consulting": D("50.00")}, cap_amount=D("600.00"))
    assert ledger.amend(2, cheaper, effective_on="10-01") == [
        "a reverse T -1000.00",
        "a charge T 10.00 x 50.00 = 500.00",
    ]


@pytest.mark.parametrize(
    ("lines", "changes", "detail"),
    [
        pytest.param(
            [timed("A", services=["design"]), timed("B", services=["design"])],
            {},
            "lines.B.services names design, as line A does; name it on one line",
            id="one service on two lines that take hours",
        ),
        pytest.param(
            [OPEN],
            {"currency": "USD"},
            "currency is USD, the contract was in EUR; sign a new contract",
            id="another currency",
        ),
    ],
)
def test_terms_that_contradict_themselves_wait(
    ledger: Any, lines: list[Any], changes: dict[str, Any], detail: str
) -> None:
    ledger.sign(OPEN)
    assert ledger.amend(2, *lines, effective_on="10-10", **changes) == [
        "C1/2 terms failed",
        "C1 hold bad_terms",
    ]
    assert ledger.derived[-1].detail == detail
    assert ledger.tell("time a r1 1.00 10-15") == ["a charge T 1.00 x 100.00 = 100.00"]


def test_work_waits_for_a_contract_whose_first_revision_contradicts_itself(ledger: Any) -> None:
    ledger.sign(timed("A", services=["design"]), timed("B", services=["design"]))
    assert ledger.tell("time a r1 1.00 10-15") == ["a hold no_contract 1.00"]
    assert ledger.amend(2, OPEN, effective_on="10-01") == [
        "a charge T 1.00 x 100.00 = 100.00",
        "a release no_contract",
        "C1 release bad_terms",
    ]


def test_an_absurd_quantity_is_held_for_a_person(ledger: Any) -> None:
    ledger.sign(OPEN)
    assert ledger.tell("time e r1 999999999999999.00 10-05") == ["e hold out_of_range 999999999999999.00"]


def test_more_hours_than_a_day_has_are_held_for_a_person(ledger: Any) -> None:
    ledger.sign(OPEN)
    assert ledger.tell("time e r1 24.01 10-05") == ["e hold out_of_range 24.01"]
    assert ledger.tell("time e r2 24.00 10-05") == [
        "e charge T 24.00 x 100.00 = 2400.00",
        "e release out_of_range",
    ]


def test_many_holds_do_not_make_an_event_dearer(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 10.00 10-05")

    def rows_touched(sentence: str) -> int:
        touched = 0
        get = ledger.states.get

        def counted(key: str, type: Any) -> Any:
            nonlocal touched
            touched += 1
            return get(key, type)

        ledger.states.get = counted
        ledger.tell(sentence)
        ledger.states.get = get
        return touched

    few = max(rows_touched(f"time early{n} r1 1.00 10-05") for n in range(5))
    for n in range(400):
        ledger.tell(f"time filler{n} r1 1.00 10-05")
    many = max(rows_touched(f"time late{n} r1 1.00 10-05") for n in range(5))
    assert many <= few + 6
    # A correction that frees one hour wakes as many holds as the hour serves, not four hundred.
    assert rows_touched("time a r2 9.00 10-05") < 120
    assert max(len(row) for row in ledger.states.rows.values()) < 4_000


def test_a_credit_that_waited_gives_its_room_to_the_oldest(ledger: Any) -> None:
    ledger.sign(timed(expenses=True, expense_cap=D("100.00")))
    ledger.tell("expense a r1 120.00 11-05")
    ledger.tell("close 10")
    assert ledger.tell("expense y r1 -30.00 10-05") == ["y hold period_closed"]
    assert ledger.tell("open 10") == [
        "y charge T 1 x -30.00 = -30.00",
        "y release period_closed",
        "a charge T 1 x 20.00 = 20.00",
        "a release cap_reached",
    ]


def test_a_credit_whose_room_is_used_is_taken_back_when_there_is_room_again(ledger: Any) -> None:
    ledger.sign(timed(expenses=True, expense_cap=D("100.00")))
    ledger.tell("expense a r1 100.00 10-05")
    ledger.tell("expense y r1 -30.00 10-05")
    ledger.tell("expense b r1 30.00 10-05")
    # Billing 130.00 under a cap of 100.00 is not to be: the credit stands, its withdrawal waits.
    assert ledger.tell("unexpense y r2") == ["y hold cap_reached"]
    assert ledger.derived[-1].detail == (
        "other expenses have used the room that -30.00 made; raise lines.T.expense_cap, or have expenses "
        "corrected; the withdrawal waits, earlier charges stand"
    )
    assert ledger.tell("expense b r2 10.00 10-05") == [
        "b reverse T -30.00",
        "b charge T 1 x 10.00 = 10.00",
    ]
    raised = timed(expenses=True, expense_cap=D("110.00"))
    assert ledger.amend(2, raised, effective_on="10-01") == ["y reverse T 30.00", "y release cap_reached"]
    assert ledger.net("T") == D("110.00")


def test_a_larger_credit_may_take_the_place_of_a_smaller_one(ledger: Any) -> None:
    ledger.sign(timed(expenses=True, expense_cap=D("100.00")))
    ledger.tell("expense a r1 100.00 10-05")
    ledger.tell("expense y r1 -30.00 10-05")
    ledger.tell("expense b r1 30.00 10-05")
    assert ledger.tell("expense y r2 -40.00 10-05") == [
        "y reverse T 30.00",
        "y charge T 1 x -40.00 = -40.00",
    ]


def test_a_re_rating_that_waits_outlives_a_correction_that_is_taken_back(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.tell("time a r1 1.00 10-05")
    ledger.tell("close 10")
    ledger.tell("time a r2 2.00 10-05")
    ledger.amend(2, AMENDED, effective_on="10-01")
    assert ledger.tell("time a r3 1.00 10-05") == ["a hold period_closed 1.00"]
    assert ledger.tell("open 10") == [
        "a reverse T -100.00",
        "a charge T 1.00 x 120.00 = 120.00",
        "a release period_closed",
    ]


def test_a_re_rating_that_waits_is_given_up_when_the_old_rate_is_agreed_again(ledger: Any) -> None:
    ledger.sign(OPEN)
    ledger.tell("time a r1 1.00 10-05")
    ledger.tell("close 10")
    assert ledger.amend(2, AMENDED, effective_on="10-01") == ["a hold period_closed 1.00"]
    assert ledger.amend(3, OPEN, effective_on="10-01") == ["a release period_closed"]
    assert ledger.tell("open 10") == []


def test_what_waits_under_a_contract_that_ended_is_billed_by_the_next_one(ledger: Any) -> None:
    ledger.sign(timed(cap_hours=D(1)))
    ledger.tell("time a r1 3.00 11-05")
    assert ledger.end("10-31") == ["a hold contract_ended 2.00"]
    assert ledger.sign(OPEN, contract="C2") == [
        "a charge T 2.00 x 100.00 = 200.00",
        "a release contract_ended",
    ]


def test_a_lower_cap_governs_when_the_correction_it_needs_waits_for_its_policy(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 9.00 10-05")
    ledger.tell("close 10")
    ledger.amend(2, timed(cap_amount=D("500.00")), effective_on="10-01", period_policy="next_open")
    assert ledger.tell("time a r2 5.00 10-05") == [
        "a hold period_closed 5.00",
        "a reverse T -900.00 posted 11-01",
        "a charge T 5.00 x 100.00 = 500.00 posted 11-01",
        "a release period_closed",
        "C1 release cap_below_billed",
    ]


def test_a_lower_cap_governs_when_its_re_rating_may_be_carried_out(ledger: Any) -> None:
    ledger.sign(CAPPED)
    ledger.tell("time a r1 9.00 10-05")
    ledger.tell("close 10")
    cheaper = timed(rates={"consulting": D("50.00")}, cap_amount=D("500.00"))
    assert ledger.amend(2, cheaper, effective_on="10-01")[-1] == "C1 hold cap_below_billed"
    assert ledger.tell("open 10") == [
        "a reverse T -900.00",
        "a charge T 9.00 x 50.00 = 450.00",
        "C1 release cap_below_billed",
    ]


def test_the_checks_come_in_the_order_of_the_manual(make_ledger: Callable[[], Any]) -> None:
    book = make_ledger()
    book.tell("close 10")
    book.map(1, {"support": {"item": "1"}}, {})

    def terms(**changes: Any) -> Any:
        return timed("T", **{"services": ["design"], "rates": {"design": D("80.00")}, **changes})

    def amend(revision: int, line: Any) -> list[str]:
        return list(book.amend(revision, line, effective_on="10-01"))

    assert book.tell("time e r1 2.00 10-05 design") == ["e hold no_project 2.00"]
    assert book.tell("project P1") == ["e hold no_contract 2.00"]
    late = date(2026, 11, 1)
    assert book.sign(terms(services=["support"]), starts_on=late) == ["e hold contract_not_started 2.00"]
    assert amend(2, terms(services=["support"])) == ["e hold no_line 2.00"]
    assert amend(3, terms(rates={})) == ["e hold no_rate 2.00"]
    assert amend(4, terms(cap_amount=D(0))) == ["e hold no_mapping 2.00"]
    assert book.map(2, {"design": {"item": "2"}}, {}) == ["e hold period_closed 2.00"]
    assert book.tell("open 10") == ["e hold cap_reached 2.00 (160.00)"]
    assert amend(5, terms(cap_amount=D(160))) == ["e charge T 2.00 x 80.00 = 160.00", "e release cap_reached"]


def test_an_unbillable_entry_is_waived_before_anybody_asks_for_its_line(ledger: Any) -> None:
    ledger.sign(timed(services=["design"]))
    assert ledger.tell("time e r1 99.00 10-05 nonbillable") == ["e waive not_billable 99.00"]


def test_a_milestone_on_hold_is_not_asked_for_its_period(ledger: Any) -> None:
    ledger.sign(STEPS)
    ledger.tell("close 10")
    ledger.tell("stage on_hold r1")
    assert ledger.tell("milestone m1 r1 10-08") == ["m1 hold project_on_hold"]
    assert ledger.tell("stage active r2") == ["m1 hold period_closed"]
