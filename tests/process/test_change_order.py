"""The stories of change orders: what is said, in order, when all goes well and when it does not."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from decimal import Decimal as D

import pytest
from msgspec.structs import replace

from isthmus.events import (
    ContractLine,
    DemandRevised,
    ForecastRevised,
    Retainer,
    TimeAndMaterials,
    encode,
)
from isthmus.process.rules import demand
from isthmus.process.rules.change_order import ChangeOrder
from isthmus.process.states import MemoryStates
from tests.process.agreed import AT, CARE, FEE, HOURS, STEPS, amended, charged, signed, told
from tests.process.firm import LANES, Firm

MORE = replace(HOURS, cap_amount=D("2000.00"))
DONE = dict.fromkeys(("terms", "contract", "schedule", "demand", "projection"), "done")


def firm(*lines: ContractLine, lanes: Mapping[str, Sequence[str]] = LANES) -> Firm:
    """A firm whose contract is signed and known to all."""
    made = Firm(signed(*(lines or (FEE, HOURS))), lanes=lanes)
    made.settle()
    return made


def test_a_change_order_goes_step_by_step() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle()
    assert acme.story() == [
        "C1/2 terms ordered: waits for billing",
        "C1/2 terms done: billing took the terms",
        "C1/2 contract ordered: waits for psa to take contract.amended, project-setup to say project.created",
        "C1/2 contract ordered: waits for psa to take contract.amended, psa to take project.created, "
        "erp to take project.created",
        "C1/2 contract ordered: waits for psa to take contract.amended, psa to take project.created",
        "C1/2 contract ordered: waits for psa to take project.created",
        "C1/2 contract done: told psa, erp",
        "C1/2 schedule ordered: waits for the schedule to say schedule.revised",
        "C1/2 schedule ordered: waits for erp to take schedule.revised",
        "C1/2 schedule done: told erp",
        "C1/2 demand ordered: waits for planner to take demand.revised",
        "C1/2 demand done: told planner",
        "C1/2 projection done: told outlook",
    ]


def test_a_step_that_nobody_carries_is_done_at_once() -> None:
    acme = firm(lanes={})
    acme.amend(FEE, HOURS)
    acme.settle()
    assert acme.story()[2:] == [
        "C1/2 contract done: no lane carries contract.amended; what the project says stays as it was",
        "C1/2 schedule ordered: waits for the schedule to say schedule.revised",
        "C1/2 schedule done: no lane carries schedule.revised",
        "C1/2 demand done: no lane carries demand.revised",
        "C1/2 projection done: no lane carries forecast.revised",
    ]


def test_a_contract_with_nothing_scheduled_needs_no_schedule() -> None:
    acme = firm(HOURS)
    acme.amend(MORE)
    acme.settle()
    assert "C1/2 schedule done: nothing is scheduled" in acme.story()
    assert acme.stands("C1/2") == DONE


def test_the_demand_says_what_the_contract_pays_for() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle()
    (said,) = [event for event in acme.log if isinstance(event, DemandRevised)]
    assert (said.revision, said.budget, said.hours) == (2, D("2900.00"), {"*": D("20.00")})


@pytest.mark.parametrize(
    ("play", "standing"),
    [
        pytest.param(lambda acme: acme.settle("billing"), "terms ordered: waits for billing", id="billing"),
        pytest.param(
            lambda acme: acme.settle("psa"),
            "contract ordered: waits for psa to take contract.amended, psa to take project.created",
            id="a lane that rests",
        ),
        pytest.param(
            lambda acme: acme.settle("project-setup"),
            "contract ordered: waits for project-setup to say project.created",
            id="project-setup",
        ),
        pytest.param(
            lambda acme: acme.settle("schedule"),
            "schedule ordered: waits for the schedule to say schedule.revised",
            id="the schedule",
        ),
        pytest.param(
            lambda acme: acme.settle("planner"),
            "demand ordered: waits for planner to take demand.revised",
            id="the planner",
        ),
        pytest.param(
            lambda acme: acme.settle("forecast"),
            "projection ordered: waits for the forecast to say forecast.revised",
            id="the forecast",
        ),
    ],
)
def test_a_change_order_names_what_it_waits_for(play: Callable[[Firm], None], standing: str) -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    play(acme)
    assert acme.story()[-1] == f"C1/2 {standing}"
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_what_is_refused_fails_its_step_until_a_retry_succeeds() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("erp")
    acme.carry("erp", "refused")
    acme.settle()
    assert acme.story()[-1] == "C1/2 contract failed: erp refused project.created: no such project"
    acme.retry("erp")
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_what_is_in_doubt_is_waited_for() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("planner")
    acme.carry("planner", "in_doubt")
    acme.settle()
    detail = "waits for planner, which is in doubt about demand.revised: no such project"
    assert acme.story()[-1] == f"C1/2 demand ordered: {detail}"
    acme.retry("planner")
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_a_later_schedule_that_arrives_makes_up_for_a_refused_one() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("erp")
    acme.carry("erp")
    acme.settle("erp")
    acme.carry("erp", "refused")
    acme.settle()
    assert acme.stands("C1/2")["schedule"] == "failed"
    acme.add(charged("installment", "C1/F/1", "300.00", "2026-10-01", "F"))
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_an_amendment_that_billing_holds_goes_on_when_it_is_taken_later() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.bill(trouble="cap_below_billed: 100.00 is determined")
    acme.settle()
    assert acme.story()[-1] == "C1/2 terms failed: billing holds it: cap_below_billed: 100.00 is determined"
    acme.accept_late()
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_a_newer_amendment_takes_over_what_is_left_of_an_older_one() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("planner")
    acme.amend(FEE, HOURS)
    acme.settle()
    assert "C1/2 demand superseded: revision 3 takes over demand, projection" in acme.story()
    assert acme.stands("C1/3") == DONE


def test_an_older_amendment_goes_on_while_billing_holds_the_newer_one() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("planner")
    acme.amend(FEE, HOURS)
    acme.bill(trouble="bad_terms")
    acme.settle()
    assert acme.stands("C1/2") == DONE
    assert acme.stands("C1/3") == {"terms": "failed"}


def test_what_others_heard_of_terms_that_never_held_is_compensated_by_the_next_revision() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.bill(trouble="bad_terms")
    acme.settle()
    acme.amend(FEE, HOURS)
    acme.settle()
    assert "C1/2 terms superseded: revision 3 takes its place" in acme.story()
    assert "C1/2 contract compensated: psa, erp heard revision 2; they have revision 3 now" in acme.story()
    assert acme.stands("C1/2") == {"terms": "superseded", "contract": "compensated"}
    assert acme.stands("C1/3") == DONE


def test_what_nobody_heard_needs_no_compensation() -> None:
    acme = firm(lanes={})
    acme.amend(FEE, MORE)
    acme.bill(trouble="bad_terms")
    acme.amend(FEE, HOURS)
    acme.settle()
    assert acme.stands("C1/2") == {"terms": "superseded"}


def test_a_chain_of_held_amendments_ends_with_the_one_that_is_taken() -> None:
    acme = firm()
    for _ in range(3):
        acme.amend(FEE, MORE)
        acme.bill(trouble="bad_terms")
        acme.settle()
    acme.amend(FEE, HOURS)
    acme.settle()
    for revision in (2, 3, 4):
        assert acme.stands(f"C1/{revision}") == {"terms": "superseded", "contract": "compensated"}
    assert acme.stands("C1/5") == DONE


def test_a_lane_that_is_taken_out_of_the_routes_is_not_waited_for() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("planner")
    acme.route({kind: lanes for kind, lanes in LANES.items() if kind != "demand.revised"})
    acme.settle()
    assert "C1/2 demand done: no lane carries demand.revised" in acme.story()
    assert acme.stands("C1/2") == DONE


def test_without_routes_it_is_not_known_whom_to_wait_for() -> None:
    acme = firm()
    acme.amend(FEE, HOURS, entity="fr")
    acme.settle()
    assert acme.story()[-1] == "C1/2 contract ordered: waits for the routes of fr"


def test_a_forecast_that_folded_only_earlier_facts_does_not_carry_the_change() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("forecast")
    acme.add(outlook("told/earlier"))
    acme.settle("forecast")
    assert acme.stands("C1/2")["projection"] == "ordered"
    acme.settle()
    assert acme.stands("C1/2") == DONE


def test_a_forecast_that_folded_a_newer_amendment_carries_the_older_one() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("forecast")
    newer = acme.amend(FEE, HOURS)
    acme.bill(trouble="bad_terms")
    acme.add(outlook(newer.id))
    acme.settle("forecast")
    assert acme.stands("C1/2") == DONE


def test_a_forecast_that_can_name_no_more_facts_carries_a_change_that_waits_for_it() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("forecast")
    acme.add(outlook(*(f"told/earlier/{n}" for n in range(500))))
    acme.settle("forecast")
    assert acme.stands("C1/2") == DONE


def outlook(*basis: str) -> ForecastRevised:
    return ForecastRevised(
        **told(), project="P1", currency="EUR", as_of=AT, months=[], backlog=D(0), basis=list(basis)
    )


def test_an_amendment_told_again_or_late_orders_nothing() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle()
    said = len(acme.words)
    acme.add(amended(2, FEE, HOURS))
    acme.settle()
    assert len(acme.words) == said


def test_the_same_log_gives_the_same_words_to_the_byte() -> None:
    acme = firm()
    acme.amend(FEE, MORE)
    acme.settle("planner")
    acme.amend(FEE, HOURS)
    acme.settle()
    process, states = ChangeOrder(), MemoryStates()
    replayed = [
        encode(derived)
        for event in acme.log
        if event.kind in process.consumes
        for derived in process.apply(event, states)
    ]
    assert replayed == [encode(event) for event in acme.log if event.source == "change-order"]


POOL = TimeAndMaterials(line="P", rates={"a": D(100), "b": D(50)}, cap_hours=D(30))


@pytest.mark.parametrize(
    ("lines", "hours"),
    [
        pytest.param([HOURS], {"*": "10.00"}, id="a cap in money is hours at the one rate"),
        pytest.param(
            [TimeAndMaterials(line="T", services=["a"], default_rate=D(3), cap_amount=D(10))],
            {"a": "3.33"},
            id="only whole hundredths are paid",
        ),
        pytest.param([replace(HOURS, cap_hours=D(4))], {"*": "4"}, id="the tighter cap counts"),
        pytest.param([replace(HOURS, included_hours=D(5))], {"*": "15.00"}, id="included hours come first"),
        pytest.param(
            [replace(HOURS, overage="bill")], {}, id="hours beyond a cap that are billed are no bound"
        ),
        pytest.param([TimeAndMaterials(line="T", default_rate=D(3))], {}, id="no cap, no bound"),
        pytest.param([POOL], {"a + b": "30"}, id="services that share hours stand together"),
        pytest.param(
            [replace(POOL, cap_hours=None, cap_amount=D(10))],
            {},
            id="a cap in money at two rates is no hours",
        ),
        pytest.param(
            [replace(POOL, services=["a"]), replace(POOL, line="Q", services=["a"])],
            {"a": "60"},
            id="lines for one service add up",
        ),
        pytest.param(
            [replace(POOL, services=["a"]), TimeAndMaterials(line="Q", services=["a"], default_rate=D(1))],
            {},
            id="a service with one line without a bound has none",
        ),
        pytest.param([CARE], {"*": "15.00"}, id="a retainer pays the hours of its periods"),
        pytest.param([replace(CARE, ends_on=None)], {}, id="a retainer without an end has no bound"),
        pytest.param([FEE, STEPS], {}, id="fixed amounts name no hours"),
    ],
)
def test_the_hours_a_contract_pays_for(lines: list[ContractLine], hours: dict[str, str]) -> None:
    assert demand.hours_by_service(lines, None) == {name: D(value) for name, value in hours.items()}


def test_a_retainer_ends_with_its_contract() -> None:
    line: Retainer = replace(CARE, ends_on=None)
    assert demand.hours_by_service([line], date(2026, 12, 31)) == {"*": D("15.00")}
