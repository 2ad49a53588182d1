"""What would heal a difference: a fact, a delivery, another look, or somebody's hand."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import BusinessEvent, ExpenseValidated, MilestoneAchieved, TimeApproved
from isthmus.reconcile.compare import Difference, Figures
from isthmus.reconcile.facts import PairKind
from isthmus.reconcile.repair import Proposal, proposal
from tests.reconcile.test_known import HEAD, approved, charge

NOW = datetime(2026, 11, 2, 5, tzinfo=UTC)
HERE = Figures(quantity=Decimal("4.00"), amount=Decimal("88.10"), currency="EUR", remote_id="timeBill/7")
EXPENSE = ExpenseValidated(
    **HEAD,
    source="psa",
    expense="psa:1",
    revision=3,
    project="crm:p",
    resource="psa:r",
    category="Travel",
    spent_on=date(2026, 10, 5),
    amount=Decimal("80.00"),
    currency="EUR",
    billable=True,
)
ACHIEVED = MilestoneAchieved(
    **HEAD, source="psa", milestone="psa:1", project="crm:p", achieved_on=date(2026, 10, 5)
)


def plan(newest: BusinessEvent | None = None, pair: PairKind = "time", **changes: Any) -> Proposal:
    fields: dict[str, Any] = {
        "key": "psa:1",
        "kind": "missing",
        "side": "right",
        "left": None,
        "ours": None,
        "right": None,
        "amount": None,
        "currency": None,
        "quantity": None,
        "cause": "gone",
        "words": "",
        "state": "drift",
        "seq": 12,
        "lane": "erp",
    }
    found = Difference(**{**fields, **changes})
    return proposal(found, pair, "psa", "netsuite", newest, now=NOW, today=NOW.date())


@pytest.mark.parametrize(
    ("changes", "act", "says"),
    [
        pytest.param({}, "send_again", "netsuite again", id="what we wrote and is gone is sent again"),
        pytest.param(
            {"cause": "dead_letter"}, "by_hand", "exception list", id="a dead letter has its own list"
        ),
        pytest.param({"cause": "in_flight"}, "by_hand", "on its way", id="what is on its way needs nothing"),
        pytest.param({"cause": "undecided"}, "by_hand", "event trace", id="what billing has not decided"),
        pytest.param(
            {"kind": "amount", "cause": "changed", "right": HERE},
            "by_hand",
            "timeBill/7",
            id="a ledger's record is a person's",
        ),
        pytest.param(
            {"kind": "amount", "cause": "changed", "right": HERE, "pair": "hours"},
            "send_again",
            "netsuite again",
            id="a planner's is written over, once it was shown",
        ),
        pytest.param(
            {"kind": "double", "cause": "twin", "right": HERE}, "by_hand", "delete or void", id="a double"
        ),
        pytest.param(
            {"kind": "extra", "cause": "not_ours", "right": HERE},
            "by_hand",
            "delete or void",
            id="a stranger",
        ),
        pytest.param(
            {"side": "left", "cause": "unknown_to_us"}, "read_again", "read psa again", id="never told"
        ),
    ],
)
def test_what_heals_it(changes: dict[str, Any], act: str, says: str) -> None:
    found = plan(charge(), **changes)
    assert found.act == act and says in found.words
    assert (found.lane, found.seq) == (("erp", 12) if act == "send_again" else ("", 0))


def test_what_the_master_lost_is_recorded_as_withdrawn() -> None:
    event = plan(approved(), side="left", kind="extra").event
    assert event is not None
    assert (event.kind, event.key, event.fact_revision) == ("time.unapproved", "psa:1", 2)
    assert event.id == "psa/time.unapproved/psa:1/2" and event.causation == approved().id


def test_what_the_master_changed_is_recorded_as_it_stands_now() -> None:
    hours = plan(approved(), side="left", kind="stale", left=HERE).event
    assert isinstance(hours, TimeApproved)
    assert (hours.hours, hours.revision, hours.id) == (Decimal("4.00"), 2, "psa/time.approved/psa:1/2")
    assert hours.causation == approved().id
    spent = plan(EXPENSE, "expense", side="left", kind="stale", left=HERE).event
    assert isinstance(spent, ExpenseValidated)
    assert (spent.amount, spent.revision) == (Decimal("88.10"), 4)


def test_a_milestone_that_is_gone_is_a_persons() -> None:
    """Its revisions count its turns: one that we made up would meet the next real one."""
    assert plan(ACHIEVED, "milestone", side="left", kind="extra").act == "by_hand"
