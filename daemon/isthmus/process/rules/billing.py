"""billing: approved work, expenses, milestones and the calendar become charges, waivers and holds."""

from decimal import localcontext

from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractEnded, ContractSigned
from isthmus.events.control import CalendarTicked, ChargeOvertaken, DimensionsRevised
from isthmus.events.finance import PeriodClosed, PeriodReopened
from isthmus.events.master import ProjectCreated, ProjectStageChanged
from isthmus.events.work import (
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.process.face import States
from isthmus.process.rules import agreements, calendar, index, periods
from isthmus.process.rules.books import NAME
from isthmus.process.rules.contracts import mapping_queue, period_queue, terms_queue, tie, today_of
from isthmus.process.rules.desk import Desk
from isthmus.process.rules.holds import carry_on, put_in_place, save, wake
from isthmus.process.rules.overtaken import overtake
from isthmus.process.rules.rerating import differs
from isthmus.process.rules.rows import (
    Contract,
    Dimensions,
    Fact,
    FactOrigin,
    Project,
    Work,
    achieved_work,
)


class Billing:
    """What is billed, held, waived and reversed; the rules are in this folder's README."""

    name = NAME
    consumes = frozenset(
        {
            "calendar.ticked",
            "charge.overtaken",
            "contract.amended",
            "contract.ended",
            "contract.signed",
            "dimensions.revised",
            "expense.validated",
            "expense.withdrawn",
            "milestone.achieved",
            "milestone.reopened",
            "period.closed",
            "period.reopened",
            "project.created",
            "project.stage_changed",
            "time.approved",
            "time.unapproved",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        desk = Desk(event, states)
        # Fifteen digits times fifteen, exactly: the default of 28 would round before we do.
        with localcontext(prec=60):
            _take(desk, event)
            for contract in [*desk.eased]:
                agreements.try_again(desk, contract)
            for contract in desk.owing:
                calendar.reschedule(desk, contract)
        return desk.out.events


def _take(desk: Desk, event: BusinessEvent) -> None:
    match event:
        case ContractSigned() | ContractAmended():
            agreements.agree(desk, event)
        case ContractEnded():
            agreements.end(desk, event)
        case CalendarTicked():
            calendar.tick(desk, event)
        case ProjectCreated():
            _create(desk, event)
        case ProjectStageChanged():
            _move_stage(desk, event)
        case DimensionsRevised():
            _map(desk, event)
        case ChargeOvertaken():
            overtake(desk, event)
        case PeriodClosed() | PeriodReopened():
            if periods.record(event, desk.states) and isinstance(event, PeriodReopened):
                carry_on(desk, {}, [period_queue(event.entity, event.period)])
                calendar.earn_reopened(desk, event.entity, event.period)
                agreements.look_at_waiting_terms(desk, event.entity)
        case _:
            _revise(desk, event)


# Facts


def _read(event: BusinessEvent) -> tuple[FactOrigin, str, Work | None]:
    """What a fact says: its kind, its reason if any, and its work; None for a withdrawal."""
    if isinstance(event, TimeApproved):
        return (
            "time",
            "corrected",
            Work(
                origin="time",
                key=event.entry,
                project=event.project,
                done_on=event.worked_on,
                quantity=event.hours,
                billable=event.billable,
                service=event.service,
                resource=event.resource,
            ),
        )
    if isinstance(event, ExpenseValidated):
        return (
            "expense",
            "corrected",
            Work(
                origin="expense",
                key=event.expense,
                project=event.project,
                done_on=event.spent_on,
                quantity=event.amount,
                billable=event.billable,
                resource=event.resource,
                category=event.category,
                currency=event.currency,
                markup_pct=event.markup_pct,
            ),
        )
    if isinstance(event, MilestoneAchieved):
        return "milestone", "corrected", achieved_work(event.milestone, event.project, event.achieved_on)
    if isinstance(event, TimeUnapproved):
        return "time", event.reason or "approval withdrawn", None
    if isinstance(event, ExpenseWithdrawn):
        return "expense", event.reason or "withdrawn", None
    assert isinstance(event, MilestoneReopened)
    return "milestone", event.reason or "reopened", None


def _revise(desk: Desk, event: BusinessEvent) -> None:
    """A fact arrived, was corrected or withdrawn: reversals, the new revision, then what was held."""
    origin, reason, work = _read(event)
    states, revision = desk.states, event.fact_revision
    fact = states.get(f"{origin}:{event.key}", Fact)
    if fact is not None and revision <= fact.revision:
        return
    if fact is None:
        fact = Fact(
            seq=index.next_place(states),
            origin=origin,
            key=event.key,
            project=event.thread,
            entity=event.entity,
        )
    fact = replace(fact, revision=revision)
    if isinstance(event, (MilestoneAchieved, MilestoneReopened)):
        fact = replace(fact, achieved_on=work.done_on if work is not None else None)
        if fact.work is not None and fact.work.in_advance:
            save(desk, _earn_advance(desk, event, fact))
            return
    if work is not None and work == fact.work:
        if fact.waiting is not None:
            if differs(fact, states):
                _replace(desk, replace(fact, waiting=None), work, "re-rated by an amendment")
            else:
                save(desk, desk.drop_change(fact, "the correction was taken back"))
        else:
            save(desk, fact)
    else:
        _replace(desk, fact, work, f"{reason}, revision {revision}")
    wake(desk, [])


def _replace(desk: Desk, fact: Fact, work: Work | None, why: str) -> None:
    placed = put_in_place(desk, fact, work, why)
    if placed is not None and work is not None:
        save(desk, desk.determine(placed))


def _earn_advance(desk: Desk, event: MilestoneAchieved | MilestoneReopened, fact: Fact) -> Fact:
    """A milestone billed in advance: its charge stands, its revenue is earned or owed again."""
    assert fact.work is not None and fact.work.contract is not None
    if isinstance(event, MilestoneReopened):
        return desk.unearn(fact, event.reopened_on)
    contract = desk.states.get(f"contract:{fact.work.contract}", Contract)
    assert contract is not None, "what is due has its contract"
    return desk.earn(fact, today_of(contract, desk.states))


# Projects and mappings


def _create(desk: Desk, event: ProjectCreated) -> None:
    states, key = desk.states, f"project:{event.project}"
    old = states.get(key, Project) or Project()
    stage = event.stage if old.stage_revision == 0 else old.stage
    states.put(key, replace(old, known=True, stage=stage))
    if event.contract is not None:
        tie(event.project, event.contract, states)
        row = states.get(f"contract:{event.contract}", Contract) or Contract()
        if event.project not in row.projects:
            row = replace(row, projects=[*row.projects, event.project])
            states.put(f"contract:{event.contract}", row)
    if states.get(key, Project) != old:
        wake(desk, [terms_queue(event.project)])


def _move_stage(desk: Desk, event: ProjectStageChanged) -> None:
    key = f"project:{event.project}"
    old = desk.states.get(key, Project) or Project()
    if event.revision <= old.stage_revision:
        return
    desk.states.put(key, replace(old, stage=event.stage, stage_revision=event.revision))
    if event.stage != old.stage:
        wake(desk, [terms_queue(event.project)])


def _map(desk: Desk, event: DimensionsRevised) -> None:
    key = f"dimensions:{event.entity}"
    old = desk.states.get(key, Dimensions) or Dimensions()
    if event.revision <= old.revision:
        return
    new = Dimensions(revision=event.revision, services=event.services, origins=event.origins)
    desk.states.put(key, new)
    wake(desk, [mapping_queue(event.entity)])
    agreements.look_at_waiting_terms(desk, event.entity)
