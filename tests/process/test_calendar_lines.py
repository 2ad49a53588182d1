"""What the calendar bills, and what is billed in advance: told day by day, as the manual says it."""

from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    Retainer,
    Subscription,
    TimeAndMaterials,
)


def d(text: str) -> date:
    return date.fromisoformat(text)


FEE = FixedFee(
    line="F",
    amount=D("9000.00"),
    installments=[
        Installment(key="1", due_on=d("2026-10-01"), amount=D("4000.00")),
        Installment(key="2", due_on=d("2026-11-15"), amount=D("5000.00")),
    ],
)


def retainer(**changes: Any) -> Retainer:
    return Retainer(
        **{
            "line": "R",
            "amount": D("310.00"),
            "every": "month",
            "starts_on": d("2026-10-01"),
            "included_hours": D(10),
            "overage_rate": D("90.00"),
            **changes,
        }
    )


def subscription(**changes: Any) -> Subscription:
    return Subscription(
        **{
            "line": "S",
            "amount": D("310.00"),
            "every": "month",
            "starts_on": d("2026-10-01"),
            "in_advance": False,
            **changes,
        }
    )


ADVANCE = Milestones(
    line="M", milestones=[MilestoneTerm(milestone="m1", title="Kick-off", amount=D("500.00"), advance=True)]
)
OVER = TimeAndMaterials(line="T", default_rate=D("100.00"))
Story = list[tuple[str, list[str]]]


@pytest.mark.parametrize(
    ("lines", "story"),
    [
        pytest.param(
            [FEE],
            [
                ("tick 09-30", []),
                ("tick 10-01", ["C1/F/1 charge F 1 x 4000.00 = 4000.00"]),
                ("tick 10-01", []),
                ("tick 11-14", []),
                ("tick 11-20", ["C1/F/2 charge F 1 x 5000.00 = 5000.00"]),
                ("tick 11-19", []),
            ],
            id="an instalment is billed on its day, once; a later tick catches up",
        ),
        pytest.param(
            [retainer()],
            [
                (
                    "tick 10-01",
                    [
                        "C1/R/2026-10-01 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-10-01 defer 310.00 on 10-01, 310.00 left",
                    ],
                ),
                (
                    "tick 11-01",
                    [
                        "C1/R/2026-11-01 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-11-01 defer 310.00 on 11-01, 310.00 left",
                        "C1/R/2026-10-01 earn 310.00 on 10-31, 0.00 left",
                    ],
                ),
            ],
            id="a retainer is billed on the first day of each month and earned by its end",
        ),
        pytest.param(
            [retainer(starts_on=d("2026-10-15"), ends_on=d("2026-12-14"))],
            [
                (
                    "tick 10-31",
                    [
                        "C1/R/2026-10-15 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-10-15 defer 310.00 on 10-15, 310.00 left",
                        "C1/R/2026-10-15 earn 170.00 on 10-31, 140.00 left",
                    ],
                ),
                (
                    "tick 11-30",
                    [
                        "C1/R/2026-11-15 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-11-15 defer 310.00 on 11-15, 310.00 left",
                        "C1/R/2026-11-15 earn 165.33 on 11-30, 144.67 left",
                        "C1/R/2026-10-15 earn 140.00 on 11-30, 0.00 left",
                    ],
                ),
                ("tick 12-31", ["C1/R/2026-11-15 earn 144.67 on 12-31, 0.00 left"]),
                ("tick 2027-03-31", []),
            ],
            id="a retainer's months run from the day it starts; revenue follows the days",
        ),
        pytest.param(
            [retainer(every="quarter", starts_on=d("2026-10-31"))],
            [
                (
                    "tick 10-31",
                    [
                        "C1/R/2026-10-31 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-10-31 defer 310.00 on 10-31, 310.00 left",
                        "C1/R/2026-10-31 earn 3.37 on 10-31, 306.63 left",
                    ],
                ),
                ("tick 11-30", ["C1/R/2026-10-31 earn 101.09 on 11-30, 205.54 left"]),
            ],
            id="a quarter of 92 days releases by days",
        ),
        pytest.param(
            [retainer(rollover="none"), OVER],
            [
                ("time a r1 4.00 10-05", ["a waive included 4.00"]),
                ("time b r1 12.00 11-05", ["b waive included 10.00", "b charge R 2.00 x 90.00 = 180.00"]),
                ("time c r1 7.00 10-06", ["c waive included 6.00", "c charge R 1.00 x 90.00 = 90.00"]),
                ("untime a r2", []),
                ("time e r1 3.00 10-07", ["e waive included 3.00"]),
            ],
            id="without rollover each month has its own hours, and corrections give them back",
        ),
        pytest.param(
            [retainer(rollover="one_period")],
            [
                ("time a r1 4.00 10-05", ["a waive included 4.00"]),
                ("time b r1 17.00 11-05", ["b waive included 16.00", "b charge R 1.00 x 90.00 = 90.00"]),
                ("time c r1 1.00 10-06", ["c charge R 1.00 x 90.00 = 90.00"]),
                ("time e r1 12.00 12-05", ["e waive included 10.00", "e charge R 2.00 x 90.00 = 180.00"]),
            ],
            id="hours roll over into the next month, the older ones are used first",
        ),
        pytest.param(
            [retainer(rollover="all")],
            [("time a r1 24.00 12-05", ["a waive included 24.00"])],
            id="with rollover of all, nothing expires",
        ),
        pytest.param(
            [retainer(starts_on=d("2026-11-01")), OVER],
            [("time a r1 2.00 10-05", ["a charge T 2.00 x 100.00 = 200.00"])],
            id="before a retainer starts, the next line takes the hours",
        ),
        pytest.param(
            [subscription(starts_on=d("2026-10-22"))],
            [
                ("tick 10-30", []),
                ("tick 10-31", ["C1/S/2026-10-22 charge S 1 x 100.00 = 100.00"]),
                ("tick 11-30", ["C1/S/2026-11-01 charge S 1 x 310.00 = 310.00"]),
            ],
            id="a subscription in arrears is billed on the last day; the first part by its days",
        ),
        pytest.param(
            [subscription(in_advance=True, starts_on=d("2026-10-22"), ends_on=d("2026-11-03"))],
            [
                (
                    "tick 11-30",
                    [
                        "C1/S/2026-10-22 charge S 1 x 100.00 = 100.00",
                        "C1/S/2026-10-22 defer 100.00 on 10-22, 100.00 left",
                        "C1/S/2026-10-22 earn 100.00 on 10-31, 0.00 left",
                        "C1/S/2026-11-01 charge S 1 x 31.00 = 31.00",
                        "C1/S/2026-11-01 defer 31.00 on 11-01, 31.00 left",
                        "C1/S/2026-11-01 earn 31.00 on 11-30, 0.00 left",
                    ],
                ),
                ("tick 2027-12-31", []),
            ],
            id="a subscription in advance: first and last part by days of the month",
        ),
        pytest.param(
            [ADVANCE],
            [
                (
                    "tick 10-01",
                    ["m1 charge M 1 x 500.00 = 500.00", "m1 defer 500.00 on 10-01, 500.00 left"],
                ),
                ("milestone m1 r1 10-20", ["m1 earn 500.00 on 10-20, 0.00 left"]),
                ("reopen m1 r2", ["m1 earn -500.00 on 10-30, 500.00 left"]),
                ("milestone m1 r3 11-20", ["m1 earn 500.00 on 11-20, 0.00 left"]),
            ],
            id="an advance is billed when the contract starts and earned when it is achieved",
        ),
        pytest.param(
            [ADVANCE],
            [
                (
                    "milestone m1 r1 10-20",
                    [
                        "m1 charge M 1 x 500.00 = 500.00",
                        "m1 defer 500.00 on 10-20, 500.00 left",
                        "m1 earn 500.00 on 10-20, 0.00 left",
                    ],
                ),
                (
                    "reopen m1 r2",
                    [
                        "m1 reverse M -500.00",
                        "m1 earn -500.00 on 10-20, 500.00 left",
                        "m1 defer -500.00 on 10-20, 0 left",
                    ],
                ),
            ],
            id="an advance that is achieved before any tick is billed then",
        ),
        pytest.param(
            [FEE, retainer()],
            [
                ("stage on_hold r1", []),
                (
                    "tick 10-01",
                    [
                        "C1/F/1 hold project_on_hold (4000.00)",
                        "C1/R/2026-10-01 hold project_on_hold (310.00)",
                    ],
                ),
                ("time a r1 2.00 10-05", ["a waive included 2.00"]),
                (
                    "stage active r2",
                    [
                        "C1/F/1 charge F 1 x 4000.00 = 4000.00",
                        "C1/F/1 release project_on_hold",
                        "C1/R/2026-10-01 charge R 1 x 310.00 = 310.00",
                        "C1/R/2026-10-01 defer 310.00 on 10-01, 310.00 left",
                        "C1/R/2026-10-01 release project_on_hold",
                    ],
                ),
                ("stage cancelled r1", []),
            ],
            id="a project on hold bills its work and waits with its schedule",
        ),
        pytest.param(
            [FEE],
            [
                ("stage cancelled r1", []),
                ("tick 10-01", ["C1/F/1 hold project_cancelled (4000.00)"]),
            ],
            id="a cancelled project drops nothing: finance ends the contract",
        ),
        pytest.param(
            [FEE],
            [
                ("close 10", []),
                ("tick 10-01", ["C1/F/1 hold period_closed (4000.00)"]),
                ("open 10", ["C1/F/1 charge F 1 x 4000.00 = 4000.00", "C1/F/1 release period_closed"]),
            ],
            id="what is due in a closed month waits for it",
        ),
    ],
)
def test_what_follows(ledger: Any, lines: list[Any], story: Story) -> None:
    ledger.sign(*lines)
    for sentence, derived in story:
        assert ledger.tell(sentence) == derived, sentence


def test_what_was_due_before_the_contract_was_known_is_billed_at_once(ledger: Any) -> None:
    ledger.tell("tick 11-20")
    assert ledger.sign(FEE) == [
        "C1/F/1 charge F 1 x 4000.00 = 4000.00",
        "C1/F/2 charge F 1 x 5000.00 = 5000.00",
    ]


def test_ticks_of_another_zone_or_entity_bill_nothing(ledger: Any) -> None:
    ledger.sign(FEE)
    assert ledger.tell("tick 10-01 Pacific/Kiritimati") == []
    assert ledger.tell("tick 10-01 Europe/Berlin") == ["C1/F/1 charge F 1 x 4000.00 = 4000.00"]


def test_a_scheduled_charge_explains_itself(ledger: Any) -> None:
    ledger.sign(subscription(starts_on=d("2026-10-22")))
    ledger.tell("tick 10-31")
    assert ledger.charges("C1/S/2026-10-22")[0].explanation == [
        "subscription C1/S/2026-10-22, due on 2026-10-31",
        "contract C1 revision 1",
        "line S: subscription 2026-10-22 to 2026-10-31, 10 of 31 days of 310.00 EUR",
        "100.00 EUR",
        "posted on 2026-10-31",
    ]


def fee(first: str, second: str, third: str | None = None) -> FixedFee:
    parts = [("1", "2026-10-01", first), ("2", "2026-11-15", second)]
    parts += [("3", "2026-12-01", third)] if third else []
    return FixedFee(
        line="F",
        amount=sum((D(amount) for _, _, amount in parts), D(0)),
        installments=[Installment(key=key, due_on=d(due), amount=D(amount)) for key, due, amount in parts],
    )


@pytest.mark.parametrize(
    ("effective_on", "derived"),
    [
        pytest.param(
            "10-01",
            ["C1/F/1 reverse F -4000.00", "C1/F/1 charge F 1 x 4500.00 = 4500.00"],
            id="from before its day: reversed and billed anew",
        ),
        pytest.param("10-02", [], id="from after its day: what was billed stands"),
    ],
)
def test_an_amendment_changes_an_instalment_that_was_billed(
    ledger: Any, effective_on: str, derived: list[str]
) -> None:
    ledger.sign(FEE)
    ledger.tell("tick 10-10")
    assert ledger.amend(2, fee("4500.00", "4500.00"), effective_on=effective_on) == derived
    assert ledger.tell("tick 11-15") == ["C1/F/2 charge F 1 x 4500.00 = 4500.00"]


def test_an_instalment_that_an_amendment_adds_for_a_past_day_is_billed_at_once(ledger: Any) -> None:
    ledger.sign(FEE)
    ledger.tell("tick 2026-12-24")
    assert ledger.amend(2, fee("4000.00", "5000.00", "700.00"), effective_on="12-20") == [
        "C1/F/3 charge F 1 x 700.00 = 700.00"
    ]


def test_a_held_instalment_that_is_no_longer_agreed_is_released(ledger: Any) -> None:
    ledger.sign(FEE)
    ledger.tell("close 10")
    ledger.tell("tick 10-01")
    late = FixedFee(
        line="F",
        amount=D("4000.00"),
        installments=[Installment(key="1", due_on=d("2026-12-01"), amount=D("4000.00"))],
    )
    assert ledger.amend(2, late, effective_on="10-01") == ["C1/F/1 release period_closed"]
    assert ledger.tell("tick 12-01") == ["C1/F/1 charge F 1 x 4000.00 = 4000.00"]


def test_a_dropped_line_keeps_what_it_billed_and_bills_no_more(ledger: Any) -> None:
    ledger.sign(retainer(), FEE)
    ledger.tell("tick 10-10")
    assert ledger.amend(2, FEE, effective_on="10-20") == []
    assert ledger.tell("tick 11-30") == [
        "C1/F/2 charge F 1 x 5000.00 = 5000.00",
        "C1/R/2026-10-01 earn 310.00 on 10-31, 0.00 left",
    ]


def test_a_contract_that_ends_early_bills_the_last_part_by_its_days(ledger: Any) -> None:
    ledger.sign(subscription(in_advance=True))
    ledger.tell("tick 11-01")
    assert ledger.end("10-10") == [
        "C1/S/2026-10-01 reverse S -310.00",
        "C1/S/2026-10-01 earn -310.00 on 10-01, 310.00 left",
        "C1/S/2026-10-01 defer -310.00 on 10-01, 0 left",
        "C1/S/2026-11-01 reverse S -310.00",
        "C1/S/2026-11-01 defer -310.00 on 11-01, 0 left",
        "C1/S/2026-10-01 charge S 1 x 100.00 = 100.00",
        "C1/S/2026-10-01 defer 100.00 on 10-01, 100.00 left",
        "C1/S/2026-10-01 earn 100.00 on 10-31, 0.00 left",
    ]
    assert ledger.tell("tick 2027-01-01") == []


def test_an_instalment_after_an_early_end_waits(ledger: Any) -> None:
    ledger.sign(FEE)
    ledger.tell("tick 10-01")
    ledger.end("10-31")
    assert ledger.tell("tick 11-15") == ["C1/F/2 hold contract_ended (5000.00)"]


def test_a_milestone_whose_amount_an_amendment_changes_backwards_is_billed_anew(ledger: Any) -> None:
    def steps(amount: str) -> Milestones:
        return Milestones(
            line="M", milestones=[MilestoneTerm(milestone="m1", title="Go live", amount=D(amount))]
        )

    ledger.sign(steps("500.00"))
    ledger.tell("milestone m1 r1 10-08")
    assert ledger.amend(2, steps("600.00"), effective_on="10-09") == []
    assert ledger.amend(3, steps("700.00"), effective_on="10-08") == [
        "m1 reverse M -500.00",
        "m1 charge M 1 x 700.00 = 700.00",
    ]


def test_a_service_without_a_row_in_the_mapping_waits_for_it(ledger: Any) -> None:
    ledger.sign(TimeAndMaterials(line="T", default_rate=D("100.00"), dimensions={"class": "gold"}), FEE)
    consulting = {"consulting": {"department": "delivery", "class": "time"}}
    ledger.map(1, consulting, {})
    assert ledger.tell("time a r1 1.00 10-05") == ["a charge T 1.00 x 100.00 = 100.00"]
    # What the contract's own line says goes before the mapping.
    assert ledger.charges("a")[0].dimensions == {"department": "delivery", "class": "gold"}
    assert ledger.tell("time b r1 1.00 10-05 design") == ["b hold no_mapping 1.00"]
    assert (
        ledger.derived[-1].detail
        == "[dimensions.de.services] of the configuration has no row for design; add it"
    )
    assert ledger.tell("tick 10-01") == ["C1/F/1 hold no_mapping (4000.00)"]
    everything = {**consulting, "design": {"department": "studio"}}
    assert ledger.map(2, everything, {"installment": {"item": "fees"}}) == [
        "b charge T 1.00 x 100.00 = 100.00",
        "b release no_mapping",
        "C1/F/1 charge F 1 x 4000.00 = 4000.00",
        "C1/F/1 release no_mapping",
    ]
    assert ledger.map(1, {}, {}) == []


class TestOvertakenByAClose:
    """A charge was determined, then its period closed before it could be sent."""

    def test_under_hold_it_is_reversed_and_waits_for_the_period(self, ledger: Any) -> None:
        ledger.sign(OVER)
        ledger.tell("time a r1 2.00 10-05")
        ledger.tell("close 10")
        assert ledger.overtake(ledger.charges("a")[0]) == [
            "a reverse T -200.00 posted 11-01",
            "a hold period_closed 2.00",
        ]
        assert ledger.tell("open 10") == ["a charge T 2.00 x 100.00 = 200.00", "a release period_closed"]

    def test_under_next_open_it_posts_in_the_first_open_period(self, ledger: Any) -> None:
        ledger.sign(OVER, period_policy="next_open")
        ledger.tell("time a r1 2.00 10-05")
        ledger.tell("close 10")
        assert ledger.overtake(ledger.charges("a")[0]) == [
            "a reverse T -200.00 posted 11-01",
            "a charge T 2.00 x 100.00 = 200.00 posted 11-01",
        ]

    def test_only_the_part_that_was_not_sent_moves(self, ledger: Any) -> None:
        ledger.sign(TimeAndMaterials(line="T", default_rate=D("0.33"), cap_hours=D(2)))
        ledger.tell("time a r1 3.50 10-05")
        ledger.amend(
            2, TimeAndMaterials(line="T", default_rate=D("0.33"), cap_hours=D(9)), effective_on="10-01"
        )
        ledger.tell("close 10")
        _, second = ledger.charges("a")
        assert ledger.overtake(second) == ["a reverse T -0.50 posted 11-01", "a hold period_closed 1.50"]
        assert ledger.tell("open 10")[0] == "a charge T 1.50 x 0.33 = 0.50"
        assert ledger.net("T") == D("1.16")

    def test_what_stands_of_it_is_re_rated_all_the_same(self, ledger: Any) -> None:
        ledger.sign(TimeAndMaterials(line="T", default_rate=D(100), cap_hours=D(2), overage="bill"))
        ledger.tell("time a r1 3.00 10-05")
        ledger.tell("close 10")
        ledger.overtake(ledger.charges("a")[1])
        dearer = TimeAndMaterials(line="T", default_rate=D(120))
        assert ledger.amend(2, dearer, effective_on="10-01") == ["a hold period_closed 3.00"]
        assert ledger.tell("open 10") == [
            "a reverse T -200.00",
            "a charge T 3.00 x 120 = 360.00",
            "a release period_closed",
        ]

    def test_a_charge_that_was_taken_back_meanwhile_needs_nothing(self, ledger: Any) -> None:
        ledger.sign(OVER)
        ledger.tell("time a r1 2.00 10-05")
        ledger.tell("untime a r2")
        assert ledger.overtake(ledger.charges("a")[0]) == []

    def test_a_reversal_that_was_not_sent_is_said_again_on_an_open_day(self, ledger: Any) -> None:
        ledger.sign(OVER, period_policy="next_open")
        ledger.tell("time a r1 2.00 10-05")
        ledger.tell("untime a r2")
        ledger.tell("close 10")
        charge, reversal = ledger.charges("a")
        assert ledger.overtake(reversal) == ["a reverse T 200.00", "a reverse T -200.00 posted 11-01"]
        cancelled, again = ledger.charges("a")[2:]
        assert (cancelled.reverses, again.reverses) == (reversal.charge, charge.charge)
        assert ledger.net("T") == 0

    def test_an_advance_that_was_not_sent_owes_nothing(self, ledger: Any) -> None:
        ledger.sign(retainer())
        ledger.tell("tick 10-01")
        ledger.tell("close 10")
        assert ledger.overtake(ledger.charges("C1/R/2026-10-01")[0]) == [
            "C1/R/2026-10-01 reverse R -310.00 posted 11-01",
            "C1/R/2026-10-01 defer -310.00 on 11-01, 0 left",
            "C1/R/2026-10-01 hold period_closed (310.00)",
        ]


class TestRevenueOfAClosedMonth:
    """What a month earned waits while the month is closed, policy ``hold``."""

    def test_is_released_when_the_month_is_reopened(self, ledger: Any) -> None:
        ledger.sign(retainer(starts_on=d("2026-10-15")))
        ledger.tell("tick 10-15")
        ledger.tell("close 10")
        assert ledger.tell("tick 11-02") == []
        assert ledger.tell("open 10") == ["C1/R/2026-10-15 earn 170.00 on 10-31, 140.00 left"]
        assert ledger.tell("tick 11-12") == []

    def test_is_released_on_an_open_day_when_the_policy_changes(self, ledger: Any) -> None:
        ledger.sign(retainer(starts_on=d("2026-10-15")))
        ledger.tell("tick 10-15")
        ledger.tell("close 10")
        ledger.tell("tick 11-02")
        changed = ledger.amend(
            2, retainer(starts_on=d("2026-10-15")), effective_on="11-01", period_policy="next_open"
        )
        assert changed == ["C1/R/2026-10-15 earn 170.00 on 11-01, 140.00 left"]

    def test_goes_with_the_next_month_end_otherwise(self, ledger: Any) -> None:
        ledger.sign(retainer(starts_on=d("2026-10-15"), ends_on=d("2026-11-14")))
        ledger.tell("tick 10-15")
        ledger.tell("close 10")
        assert ledger.tell("tick 11-30") == ["C1/R/2026-10-15 earn 310.00 on 11-30, 0.00 left"]

    def test_of_an_achieved_advance_waits_for_its_month(self, ledger: Any) -> None:
        ledger.sign(ADVANCE)
        ledger.tell("tick 10-01")
        ledger.tell("close 10")
        assert ledger.tell("milestone m1 r1 10-20") == []
        assert ledger.tell("tick 11-30") == []
        assert ledger.tell("open 10") == ["m1 earn 500.00 on 10-20, 0.00 left"]


def milestones(amount: str, *, advance: bool) -> Milestones:
    term = MilestoneTerm(milestone="m1", title="Kick-off", amount=D(amount), advance=advance)
    return Milestones(line="M", milestones=[term])


def test_an_achieved_milestone_is_billed_though_its_advance_is_no_longer_agreed(ledger: Any) -> None:
    ledger.sign(ADVANCE)
    ledger.tell("close 10")
    assert ledger.tell("tick 10-01") == ["m1 hold period_closed"]
    assert ledger.tell("milestone m1 r1 11-10") == []
    assert ledger.amend(2, milestones("500.00", advance=False), effective_on="10-01") == [
        "m1 charge M 1 x 500.00 = 500.00",
        "m1 release period_closed",
    ]


def test_a_milestone_that_becomes_an_advance_is_billed_as_the_newest_terms_say(ledger: Any) -> None:
    ledger.sign(milestones("500.00", advance=False))
    ledger.tell("tick 10-05")
    assert ledger.amend(2, milestones("600.00", advance=True), effective_on="10-10") == [
        "m1 charge M 1 x 600.00 = 600.00",
        "m1 defer 600.00 on 10-01, 600.00 left",
    ]
