"""billing: approved work, expenses and milestones become charges, waivers and holds."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal, localcontext
from heapq import merge

from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractEnded, ContractSigned, TimeAndMaterials
from isthmus.events.finance import PeriodClosed, PeriodReopened
from isthmus.events.master import ProjectCreated
from isthmus.events.work import (
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.process.face import States
from isthmus.process.rules import index, periods
from isthmus.process.rules.amounts import room_for_cheapest
from isthmus.process.rules.contracts import (
    cap_queue,
    contract_row,
    keep_terms,
    newest_line,
    newest_terms,
    period_queue,
    policy_queue,
    terms_on,
    terms_queue,
    tie,
)
from isthmus.process.rules.desk import NAME, Desk, fact_key, worked_index
from isthmus.process.rules.models import MODELS
from isthmus.process.rules.plan import Plan
from isthmus.process.rules.rows import Arrivals, Contract, Fact, FactOrigin, Project, Totals, Work
from isthmus.process.rules.time_and_materials import HOUR_STEP

Members = Iterator[tuple[int, str]]


class Billing:
    """What is billed, held, waived and reversed; the rules are in this folder's README."""

    name = NAME
    consumes = frozenset(
        {
            "contract.amended",
            "contract.ended",
            "contract.signed",
            "expense.validated",
            "expense.withdrawn",
            "milestone.achieved",
            "milestone.reopened",
            "period.closed",
            "period.reopened",
            "project.created",
            "time.approved",
            "time.unapproved",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        desk = Desk(event, states)
        # Fifteen digits times fifteen, exactly: the default of 28 would round before we do.
        with localcontext(prec=60):
            if isinstance(event, (ContractSigned, ContractAmended)):
                _agree(desk, event)
            elif isinstance(event, ContractEnded):
                _end(desk, event)
            elif isinstance(event, ProjectCreated):
                _create(desk, event)
            elif isinstance(event, (PeriodClosed, PeriodReopened)):
                if periods.record(event, states) and isinstance(event, PeriodReopened):
                    _carry_on(desk, [], [period_queue(event.entity, event.period)])
            else:
                _revise(desk, event)
        return desk.out.events


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
        work = Work(
            origin="milestone",
            key=event.milestone,
            project=event.project,
            done_on=event.achieved_on,
            quantity=Decimal(1),
        )
        return "milestone", "corrected", work
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
            seq=_arrive(states), origin=origin, key=event.key, project=event.thread, entity=event.entity
        )
    fact = replace(fact, revision=revision)
    if work is not None and work == fact.work:
        if fact.waiting is not None:
            fact = replace(fact, waiting=None)
            if fact.settled:
                fact = desk.release(fact, "the correction was taken back")
            else:
                fact = desk.determine(fact)
        _save(desk, fact)
    else:
        why = f"{reason}, revision {revision}"
        trouble = desk.blocked(fact, work) if fact.stands else None
        if trouble is not None:
            fact = desk.wait(fact, work, why, trouble)
        else:
            fact = desk.take_back(fact, work, why)
            fact = replace(fact, project=work.project if work is not None else fact.project)
            fact = desk.determine(fact) if work is not None else fact
        _save(desk, fact)
    _wake(desk, [])


def _arrive(states: States) -> int:
    row = states.get("arrivals", Arrivals) or Arrivals()
    states.put("arrivals", Arrivals(last=row.last + 1))
    return row.last + 1


def _save(desk: Desk, fact: Fact) -> None:
    desk.states.put(fact_key(fact), fact)


# Contracts and projects


def _agree(desk: Desk, event: ContractSigned | ContractAmended) -> None:
    """A contract was signed or amended: re-rate what it changes backwards, then look at every hold."""
    states = desk.states
    old = contract_row(event.contract, states)
    old_policy = newest_terms(event.contract, old, states).period_policy if old is not None else None
    terms = keep_terms(event, states)
    if terms is None:
        return
    contract = contract_row(event.contract, states)
    assert contract is not None
    queues = [terms_queue(project) for project in contract.projects]
    queues += [cap_queue(event.contract, pot) for pot in contract.totals]
    if old_policy is not None and terms.period_policy != old_policy:
        queues.append(policy_queue(event.contract))
    rerated = list(_rerated(desk, event.contract, contract)) if old is not None else []
    _carry_on(desk, rerated, queues)


def _end(desk: Desk, event: ContractEnded) -> None:
    key = f"contract:{event.contract}"
    row = desk.states.get(key, Contract) or Contract()
    if event.revision < row.ended_revision or event.ended_on == row.ended_on:
        return
    desk.states.put(key, replace(row, ended_on=event.ended_on, ended_revision=event.revision))
    _wake(desk, [terms_queue(project) for project in row.projects])


def _create(desk: Desk, event: ProjectCreated) -> None:
    states, key = desk.states, f"project:{event.project}"
    old = states.get(key, Project) or Project()
    states.put(key, replace(old, known=True))
    if event.contract is not None:
        tie(event.project, event.contract, states)
        row = states.get(f"contract:{event.contract}", Contract) or Contract()
        if event.project not in row.projects:
            row = replace(row, projects=[*row.projects, event.project])
            states.put(f"contract:{event.contract}", row)
    if states.get(key, Project) != old:
        _wake(desk, [terms_queue(event.project)])


def _rerated(desk: Desk, key: str, contract: Contract) -> Iterator[str]:
    """Facts with time charged at a rate that the newest revision changes for their day, oldest first."""
    since = contract.revisions[-1].effective_on
    if contract.last_worked_on is None or not _rates_differ(desk, key, contract):
        return
    months = [
        index.walk(desk.states, worked_index(key, month)) for month in _months(since, contract.last_worked_on)
    ]
    for _, member in merge(*months):
        fact = desk.states.get(member, Fact)
        if fact is None or fact.work is None or fact.waiting is not None or fact.work.done_on < since:
            continue
        terms = terms_on(key, contract, fact.work.done_on, desk.states)
        for charge in fact.charges:
            line = terms.line(charge.line) if charge.contract == key else None
            if not isinstance(line, TimeAndMaterials):
                continue  # a dropped line keeps what it has
            plan = MODELS[TimeAndMaterials].plan(line, line, fact.work, terms.currency)
            if isinstance(plan, Plan) and plan.price != charge.rate:
                yield member
                break


def _rates_differ(desk: Desk, key: str, contract: Contract) -> bool:
    newest = newest_terms(key, contract, desk.states)
    for entry in contract.revisions[:-1]:
        older = terms_on(key, replace(contract, revisions=[entry]), entry.effective_on, desk.states)
        for line in older.lines:
            now = newest.line(line.line)
            if not (isinstance(line, TimeAndMaterials) and isinstance(now, TimeAndMaterials)):
                continue
            if (line.rates, line.default_rate) != (now.rates, now.default_rate):
                return True
    return False


def _months(since: date, until: date) -> list[str]:
    month, months = since.replace(day=1), []
    while month <= until:
        months.append(f"{month:%Y-%m}")
        month = (month + timedelta(days=31)).replace(day=1)
    return months


# Holds


def _carry_on(desk: Desk, rerated: list[str], queues: list[str]) -> None:
    """Reversals first, then what replaces them, then what is held; each oldest first.

    Args:
        rerated: Facts to reverse and determine again as they are.
        queues: Queues whose members wait for this cause; waiting corrections among them are carried out.
    """
    states = desk.states
    rerated_keys = set(rerated)
    waiting = [member for _, member in merge(*(index.walk(states, queue) for queue in queues))]
    replaced: list[tuple[int, str]] = []
    for member in dict.fromkeys([*rerated, *waiting]):
        fact = states.get(member, Fact)
        assert fact is not None
        if fact.waiting is not None:
            work, why = fact.waiting.work, fact.waiting.why
        elif member in rerated_keys:
            work, why = fact.work, "re-rated by an amendment"
        else:
            continue
        trouble = desk.blocked(fact, work)
        if trouble is not None:
            _save(desk, desk.wait(fact, work, why, trouble))
            continue
        fact = desk.take_back(fact, work, why)
        _save(desk, replace(fact, project=work.project if work is not None else fact.project))
        if work is not None:
            replaced.append((fact.seq, member))
    for _, member in sorted(replaced):
        fact = states.get(member, Fact)
        assert fact is not None
        _save(desk, desk.determine(fact))
    _wake(desk, queues)


def _wake(desk: Desk, queues: list[str]) -> None:
    """Look again at held facts, oldest first: those in ``queues``, and those whose cap came free."""
    states = desk.states
    found: list[Members] = [index.walk(states, queue) for queue in queues]
    found += [
        _while_room(desk, contract, pot)
        for contract, pot in desk.freed
        if cap_queue(contract, pot) not in queues
    ]
    seen: set[str] = set()
    for _, member in merge(*found):
        if member in seen:
            continue
        seen.add(member)
        fact = states.get(member, Fact)
        if fact is not None and fact.hold is not None and fact.waiting is None and fact.work is not None:
            _save(desk, desk.determine(fact))


def _while_room(desk: Desk, contract: str, pot: str) -> Members:
    """Members of a cap's queue, until what is left could not take the cheapest hundredth of an hour."""
    for seq, member in index.walk(desk.states, cap_queue(contract, pot)):
        if not _room(desk, contract, pot):
            return
        yield seq, member


def _room(desk: Desk, key: str, pot: str) -> bool:
    contract = contract_row(key, desk.states)
    assert contract is not None
    name, _, expenses = pot.partition("#")
    line = newest_line(key, contract, name, desk.states)
    if not isinstance(line, TimeAndMaterials):
        return True
    totals = contract.totals.get(pot, Totals())
    if expenses:
        return line.expense_cap is None or line.expense_cap > totals.amount
    if line.included_hours is not None and line.included_hours > totals.included:
        return True
    if line.cap_hours is not None and line.cap_hours <= totals.hours:
        return False
    currency = newest_terms(key, contract, desk.states).currency
    cheapest = totals.cheapest or Decimal(0)
    return line.cap_amount is None or room_for_cheapest(
        line.cap_amount - totals.amount, cheapest, HOUR_STEP, currency
    )
