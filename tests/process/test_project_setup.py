"""A signed contract becomes one project; what changes its budget is said again, all else is not."""

from datetime import UTC, date, datetime
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    BusinessEvent,
    ContractAmended,
    ContractLine,
    ContractSigned,
    DealWon,
    FixedFee,
    Installment,
    Milestones,
    MilestoneTerm,
    ProjectCreated,
    ProjectStageChanged,
    Subscription,
    TimeAndMaterials,
)
from isthmus.process.rules.project_setup import ProjectSetup
from isthmus.process.rules.values import billing_word
from isthmus.process.states import MemoryStates

AT = datetime(2026, 10, 1, 8, tzinfo=UTC)
ENVELOPE: dict[str, Any] = {"source": "crm", "occurred_at": AT, "entity": "de"}
STEPS = Milestones(line="M", milestones=[MilestoneTerm(milestone="m1", title="Go live", amount=D("500.00"))])
CAPPED = TimeAndMaterials(line="T", default_rate=D(100), cap_amount=D("1000.00"))
OPEN = TimeAndMaterials(line="O", default_rate=D(100))
FEE = FixedFee(
    line="F",
    amount=D("9.00"),
    installments=[Installment(key="1", due_on=date(2026, 10, 1), amount=D("9.00"))],
)
LICENCE = Subscription(line="S", amount=D("30.00"), every="month", starts_on=date(2026, 10, 1))


def terms(revision: int, *lines: ContractLine, **changes: Any) -> dict[str, Any]:
    return {
        **ENVELOPE,
        "contract": "C1",
        "revision": revision,
        "customer": "A",
        "project": "P1",
        "title": "Rollout",
        "currency": "EUR",
        "signed_on": date(2026, 9, 20),
        "starts_on": date(2026, 10, 1),
        "time_zone": "Europe/Berlin",
        "lines": list(lines),
        "deal": "D1",
        **changes,
    }


def signed(*lines: ContractLine, **changes: Any) -> ContractSigned:
    return ContractSigned(**terms(1, *lines, **changes))


def amended(revision: int, *lines: ContractLine, **changes: Any) -> ContractAmended:
    return ContractAmended(
        **terms(revision, *lines, **changes), effective_on=date(2026, 11, 1), reason="change order"
    )


DEAL = DealWon(
    **ENVELOPE,
    deal="D1",
    customer="A",
    name="Rollout",
    amount=D(1),
    currency="EUR",
    closed_on=date(2026, 9, 1),
)


def run(*events: BusinessEvent) -> list[ProjectCreated]:
    process, states, out = ProjectSetup(), MemoryStates(), []
    for event in events:
        if event.kind in process.consumes:
            out += process.apply(event, states)
    assert all(isinstance(event, ProjectCreated) for event in out)
    return out  # type: ignore[return-value]


def test_a_signed_contract_makes_one_project() -> None:
    cause = signed(STEPS, CAPPED)
    (project,) = run(cause)
    assert project == ProjectCreated(
        id=f"project-setup/project.created/{cause.id}/1",
        source="project-setup",
        occurred_at=AT,
        entity="de",
        correlation=cause.id,
        causation=cause.id,
        project="P1",
        customer="A",
        name="Rollout",
        stage="planned",
        contract="C1",
        starts_on=date(2026, 10, 1),
        currency="EUR",
        billing="time_and_materials",
        budget=D("1500.00"),
        revision=1,
    )


@pytest.mark.parametrize(
    ("events", "budgets"),
    [
        pytest.param([DEAL, signed(STEPS)], ["500.00"], id="the deal before the contract"),
        pytest.param([signed(STEPS), DEAL], ["500.00"], id="the deal after the contract changes nothing"),
        pytest.param([signed(STEPS), signed(STEPS)], ["500.00"], id="a contract told twice"),
        pytest.param([signed(OPEN)], [None], id="no amount is named"),
        pytest.param([signed(FEE, STEPS)], ["509.00"], id="a fixed fee is a known amount"),
        pytest.param([signed(STEPS), amended(2, STEPS, CAPPED)], ["500.00", "1500.00"], id="a raised budget"),
        pytest.param(
            [signed(STEPS, CAPPED), amended(2, STEPS)], ["1500.00", "500.00"], id="a lowered budget"
        ),
        pytest.param(
            [signed(STEPS), amended(2, STEPS)], ["500.00"], id="an amendment that changes no budget"
        ),
        pytest.param(
            [signed(STEPS), amended(3, FEE), amended(2, CAPPED)],
            ["500.00", "9.00"],
            id="a stale amendment",
        ),
        pytest.param(
            [signed(STEPS), signed(CAPPED, contract="C2", title="More")],
            ["500.00", "1500.00"],
            id="a second contract on the project adds to it",
        ),
        pytest.param(
            [signed(STEPS), signed(CAPPED, contract="C2", currency="USD")],
            ["500.00"],
            id="money of another currency is not added",
        ),
        pytest.param(
            [signed(STEPS), signed(CAPPED, contract="C2", project="P2")],
            ["500.00", "1000.00"],
            id="another project is another project",
        ),
    ],
)
def test_budgets_announced(events: list[BusinessEvent], budgets: list[str | None]) -> None:
    assert [None if made.budget is None else str(made.budget) for made in run(*events)] == budgets


def test_a_revision_counts_up_and_keeps_the_stage_of_today() -> None:
    moved = ProjectStageChanged(
        **ENVELOPE, project="P1", stage="active", previous="planned", changed_on=date(2026, 10, 3)
    )
    first, second = run(signed(STEPS), moved, amended(2, STEPS, CAPPED))
    assert (first.revision, first.stage) == (1, "planned")
    assert (second.revision, second.stage, second.name) == (2, "active", "Rollout")


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        pytest.param([OPEN], "time_and_materials", id="time only"),
        pytest.param([STEPS], "fixed_price", id="milestones only"),
        pytest.param([LICENCE], "fixed_price", id="a subscription"),
        pytest.param([STEPS, OPEN], "fixed_price", id="milestones with an overage clause"),
        pytest.param([STEPS, CAPPED], "time_and_materials", id="time that outweighs its milestones"),
        pytest.param([], "non_billable", id="nothing is billed"),
    ],
)
def test_the_one_word_for_billing(lines: list[ContractLine], word: str) -> None:
    assert billing_word(lines) == word
