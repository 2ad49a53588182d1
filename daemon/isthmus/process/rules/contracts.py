"""Contracts and projects in state: what was agreed, from which day, and whether work falls under it."""

from dataclasses import dataclass
from datetime import date

import msgspec

from isthmus.events.contract import ContractAmended, ContractLine, ContractSigned
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.models import MODELS, choose_line
from isthmus.process.rules.periods import ClosedPeriod, closed_on, first_open_day
from isthmus.process.rules.plan import Plan, Trouble
from isthmus.process.rules.rows import (
    SCHEDULED,
    Agenda,
    Contract,
    Dimensions,
    Effective,
    Project,
    Terms,
    Work,
    Zones,
)

# Ten integer digits of hours and of money leave room for sums within the 15 an event may carry.
_MOST = 10**10
_DAY_HOURS = 24
_DATED = {"time": "worked_on", "expense": "spent_on", "milestone": "achieved_on"}
_LAST_DAY = date(2999, 12, 31)
"""A later day is a slip of the keyboard, and the calendar ends in 9999."""


@dataclass(frozen=True)
class NotBillable:
    """Approved as work that is not charged."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """Every check passed; what remains are included hours and caps."""

    contract: str
    terms: Terms
    plan: Plan
    customer: str
    entity: str
    dimensions: dict[str, str]
    posting_words: list[str]
    posting_day: date


def contract_row(key: str, states: States) -> Contract | None:
    """The contract, when one of its revisions is known."""
    row = states.get(f"contract:{key}", Contract)
    return row if row is not None and row.revisions else None


def revision_terms(key: str, revision: int, states: States) -> Terms:
    """One revision that governs or governed."""
    terms = states.get(f"terms:{key}:{revision}", Terms)
    assert terms is not None, "a revision in the contract's row has its terms"
    return terms


def newest_terms(key: str, contract: Contract, states: States) -> Terms:
    """The newest revision: it gives start, end, customer and period policy."""
    return revision_terms(key, contract.revision, states)


def terms_on(key: str, contract: Contract, day: date, states: States) -> Terms:
    """The newest revision in force on ``day``: its lines and rates hold. The first one before that."""
    held = [entry for entry in contract.revisions if entry.effective_on <= day]
    return revision_terms(key, (held[-1] if held else contract.revisions[0]).revision, states)


def newest_line(key: str, contract: Contract, name: str, states: States) -> ContractLine | None:
    """The line in the newest revision that has it: its included hours and caps hold."""
    for entry in reversed(contract.revisions):
        line = revision_terms(key, entry.revision, states).line(name)
        if line is not None:
            return line
    return None


def terms_of(event: ContractSigned | ContractAmended) -> Terms:
    """What a revision says."""
    return Terms(
        contract=event.contract,
        revision=event.revision,
        customer=event.customer,
        currency=event.currency,
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        period_policy=event.period_policy or "hold",
        lines=event.lines,
    )


def keep_terms(event: ContractSigned | ContractAmended, states: States) -> Terms | None:
    """Keep a revision and tie its project to it; None when it is a duplicate or stale."""
    key = f"contract:{event.contract}"
    old = states.get(key, Contract) or Contract()
    if event.revision <= old.revision:
        return None
    amended = isinstance(event, ContractAmended) and bool(old.revisions)
    effective_on = event.effective_on if amended and isinstance(event, ContractAmended) else event.starts_on
    terms = terms_of(event)
    states.put(f"terms:{event.contract}:{event.revision}", terms)
    entry = Effective(revision=event.revision, effective_on=effective_on)
    new = msgspec.structs.replace(
        old,
        seq=old.seq or index.next_place(states),
        project=event.project,
        time_zone=event.time_zone,
        revision=event.revision,
        entity=event.entity,
        revisions=[*old.revisions, entry],
        projects=[*old.projects, *({event.project} - set(old.projects))],
    )
    states.put(key, new)
    tie(event.project, event.contract, states)
    zones = states.get(f"zones:{event.entity}", Zones) or Zones()
    if event.time_zone not in zones.names:
        states.put(
            f"zones:{event.entity}", msgspec.structs.replace(zones, names=[*zones.names, event.time_zone])
        )
    return terms


def tie(project: str, contract: str, states: States) -> None:
    """Note that ``contract`` is one of the project's."""
    row = states.get(f"project:{project}", Project) or Project()
    if contract not in row.contracts:
        states.put(f"project:{project}", msgspec.structs.replace(row, contracts=[*row.contracts, contract]))


def judge(work: Work, states: States) -> Ready | NotBillable | Trouble:
    """Check in the order finance agreed on; the first check that fails decides."""
    project = states.get(f"project:{work.project}", Project)
    if project is None or not project.known:
        detail = f"project {work.project} is not known; sign its contract, or correct the {_noun(work)}"
        return Trouble(reason="no_project", detail=detail)
    if work.contract is not None:
        return _scheduled(work.contract, work, states)
    known = [(key, row) for key in project.contracts if (row := contract_row(key, states)) is not None]
    if not known:
        return Trouble(reason="no_contract", detail=f"project {work.project} has no contract")
    troubles = []
    for key, row in known:
        trouble = _outside(key, row, work.done_on, states)
        if trouble is None:
            return _on_contract(key, row, work, states)
        troubles.append(trouble)
    # Of several contracts none covers the day: the last one to come speaks.
    return troubles[-1]


def _scheduled(key: str, work: Work, states: States) -> Ready | NotBillable | Trouble:
    """What a contract itself made due; an instalment's day was agreed, so only an early end questions it."""
    row = contract_row(key, states)
    assert row is not None, "what is due has its contract"
    if work.origin == "installment":
        if row.ended_on is not None and work.done_on > row.ended_on:
            return Trouble(reason="contract_ended", detail=f"contract {key} ended on {row.ended_on}")
        return _on_contract(key, row, work, states)
    return _outside(key, row, work.done_on, states) or _on_contract(key, row, work, states)


def _outside(key: str, contract: Contract, day: date, states: States) -> Trouble | None:
    terms = newest_terms(key, contract, states)
    if day < terms.starts_on:
        return Trouble(reason="contract_not_started", detail=f"contract {key} starts on {terms.starts_on}")
    ends_on = end_of(terms, contract)
    if ends_on is not None and day > ends_on:
        return Trouble(reason="contract_ended", detail=f"contract {key} ended on {ends_on}")
    return None


def end_of(terms: Terms, contract: Contract) -> date | None:
    """The last day the contract covers, as agreed or as it was ended; None: open."""
    ends = [end for end in (terms.ends_on, contract.ended_on) if end is not None]
    return min(ends) if ends else None


def _on_contract(key: str, contract: Contract, work: Work, states: States) -> Ready | NotBillable | Trouble:
    if not work.billable:
        return NotBillable()
    terms = terms_on(key, contract, work.done_on, states)
    line = choose_line(terms, work) or _line_that_made(key, contract, work, states)
    if line is None:
        what = {"time": f"{work.service} hours", "expense": "expenses"}
        named = what.get(work.origin, f"{work.origin} {work.key}")
        detail = f"no line of contract {key} takes {named}; amend its lines, or correct the {_noun(work)}"
        return Trouble(reason="no_line", detail=detail)
    bounds = newest_line(key, contract, line.line, states)
    plan = MODELS[type(line)].plan(line, bounds, work, terms.currency)
    if isinstance(plan, Trouble):
        return plan
    absurd = _absurd(work, plan)
    if absurd is not None:
        return Trouble(reason="out_of_range", detail=absurd)
    dimensions = _dimensions(contract.entity, work, states)
    if isinstance(dimensions, Trouble):
        return dimensions
    if (stopped := _stopped(work, states)) is not None:
        return stopped
    newest = newest_terms(key, contract, states)
    posting_day, words = work.done_on, [f"posted on {work.done_on}"]
    closed = closed_on(contract.entity, work.done_on, states)
    if closed is not None and newest.period_policy == "hold":
        return period_trouble(key, contract.entity, closed)
    if closed is not None:
        posting_day = first_open_day(contract.entity, work.done_on, states)
        words = [f"posted on {posting_day}: period {closed.period} is closed, policy next_open"]
    return Ready(
        contract=key,
        terms=terms,
        plan=plan,
        customer=newest.customer,
        entity=contract.entity,
        dimensions={**dimensions, **plan.dimensions},
        posting_words=words,
        posting_day=posting_day,
    )


def _absurd(work: Work, plan: Plan) -> str | None:
    """What nobody can have worked, spent or agreed: the field, and what to do."""
    if max(abs(plan.total), abs(plan.total * plan.price), abs(plan.total * plan.overage_price)) >= _MOST:
        size = "hours" if work.origin == "time" else "amount"
        return f"{size} {work.quantity:f}: more than ten digits before the point; correct the {_noun(work)}"
    if work.origin in _DATED and work.done_on > _LAST_DAY:
        return f"{_DATED[work.origin]} {work.done_on} lies beyond {_LAST_DAY.year}; correct the {_noun(work)}"
    if work.origin == "time" and work.quantity > _DAY_HOURS:
        return f"hours {work.quantity} are more than a day has; correct the entry, or split it by day"
    return None


def _noun(work: Work) -> str:
    return "entry" if work.origin == "time" else work.origin


def _line_that_made(key: str, contract: Contract, work: Work, states: States) -> ContractLine | None:
    """An instalment may be due on a day of an older revision: the newest one that has its line knows it."""
    if work.line is None:
        return None
    line = newest_line(key, contract, work.line, states)
    return line if line is not None and MODELS[type(line)].fit(line, work) != "no" else None


def _dimensions(entity: str, work: Work, states: States) -> dict[str, str] | Trouble:
    """What the entity's mapping says; nothing where it has none. No default is guessed."""
    known = states.get(f"dimensions:{entity}", Dimensions)
    if known is None or not (known.services or known.origins):
        return {}
    table, name = (
        (known.services, work.service or "") if work.origin == "time" else (known.origins, work.origin)
    )
    row = table.get(name)
    if row is not None:
        return row
    place = f"dimensions.{entity}.{'services' if work.origin == 'time' else 'origins'}"
    detail = f"[{place}] of the configuration has no row for {name}; add it"
    return Trouble(reason="no_mapping", detail=detail, queues=(mapping_queue(entity),))


def _stopped(work: Work, states: States) -> Trouble | None:
    """A project on hold or cancelled bills what was worked, but not what the schedule says."""
    if work.origin != "milestone" and work.origin not in SCHEDULED:
        return None
    project = states.get(f"project:{work.project}", Project) or Project()
    if project.stage not in ("on_hold", "cancelled"):
        return None
    words = project.stage.replace("_", " ")
    return Trouble(reason=f"project_{project.stage}", detail=f"project {work.project} is {words}")


def today_of(contract: Contract, states: States) -> date | None:
    """The newest tick where the contract is dated; None before the first."""
    zones = states.get(f"zones:{contract.entity}", Zones) or Zones()
    agenda = states.get(agenda_key(contract.entity, contract.time_zone), Agenda) or Agenda()
    ticks = [day for day in (zones.ticked_on, agenda.ticked_on) if day is not None]
    return max(ticks) if ticks else None


def agenda_key(entity: str, time_zone: str) -> str:
    """The row of one entity's calendar in one zone."""
    return f"agenda:{entity}:{time_zone}"


def period_trouble(contract: str, entity: str, closed: ClosedPeriod) -> Trouble:
    """The hold of what waits for a period: until it is reopened or the contract's policy changes."""
    return Trouble(
        reason="period_closed",
        detail=f"period {closed.period} is closed",
        queues=(period_queue(entity, closed.period), policy_queue(contract)),
    )


def terms_queue(project: str) -> str:
    """Facts that wait for a project, a contract or its terms."""
    return f"held:terms:{project}"


def cap_queue(contract: str, pot: str) -> str:
    """Facts with a part that waits for room under a cap."""
    return f"held:cap:{contract}:{pot}"


def period_queue(entity: str, period: str) -> str:
    """Facts that wait until a period is reopened."""
    return f"held:period:{entity}:{period}"


def mapping_queue(entity: str) -> str:
    """Facts that wait for a row of the entity's mapping."""
    return f"held:mapping:{entity}"


def policy_queue(contract: str) -> str:
    """Facts of one contract that wait for any period."""
    return f"held:policy:{contract}"
