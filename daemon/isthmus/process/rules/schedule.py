"""schedule: the billing schedule of a contract as one fact, told anew whenever it changes.

A change order reaches the schedule only when the change-order process orders it, so that no system hears of
new instalments before the contract they belong to.
"""

import hashlib
from datetime import date

import msgspec
from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractEnded, ContractSigned, Milestones
from isthmus.events.control import ChangeOrderStepped
from isthmus.events.finance import ChargeDetermined, ChargeHeld, ChargeReleased, ScheduleRevised
from isthmus.events.master import ProjectStageChanged, Stage
from isthmus.events.values import Key
from isthmus.events.work import MilestoneAchieved, MilestoneReopened
from isthmus.process.face import States
from isthmus.process.rules.derive import Derivation
from isthmus.process.rules.schedule_entries import SCHEDULED_ORIGINS, Mark, Terms, entries

__all__ = ["NAME", "Schedule"]

NAME = "schedule"


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """One contract: the terms in its schedule, what billing said of it, and what was told last.

    It grows with the schedule, never with the work on the contract.
    """

    entity: str
    newest: int = 0
    """The newest revision seen; its terms may not be ordered yet."""
    terms: Terms | None = None
    terms_held: bool = False
    ended_on: date | None = None
    ended_revision: int = 0
    marks: dict[str, Mark] = {}
    revision: int = 0
    """Of the schedule as it was told last."""
    told: str = ""
    """Digest of what was told last."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """A project: its stage and its contracts."""

    stage: Stage = "planned"
    stage_revision: int = 0
    contracts: list[Key] = []


class Achieved(msgspec.Struct, frozen=True, kw_only=True):
    """A milestone: the contract that bills it, and when it was achieved."""

    contract: Key | None = None
    on: date | None = None
    revision: int = 0


class Schedule:
    """Transactional: ``schedule.revised`` per contract, the whole truth each time.

    A contract that has nothing scheduled is not spoken of. An order of a change order is always answered:
    by the schedule, also when it is the same as before, or by the word that there is nothing to schedule.
    """

    name = NAME
    consumes = frozenset(
        {
            "contract.signed",
            "contract.amended",
            "contract.ended",
            "change_order.stepped",
            "project.stage_changed",
            "milestone.achieved",
            "milestone.reopened",
            "charge.determined",
            "charge.held",
            "charge.released",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        match event:
            case ChargeDetermined() if event.origin in SCHEDULED_ORIGINS:
                return _charged(event, states)
            case ChargeHeld() | ChargeReleased() if event.origin in SCHEDULED_ORIGINS:
                return _held(event, states)
            case ChargeHeld() | ChargeReleased() if event.origin == "contract":
                return _terms_held(event, states)
            case ContractSigned() | ContractAmended():
                return _contract(event, states)
            case ContractEnded():
                return _ended(event, states)
            case ChangeOrderStepped() if event.step == "schedule" and event.state == "ordered":
                return _ordered(event, states)
            case ProjectStageChanged():
                return _stage(event, states)
            case MilestoneAchieved() | MilestoneReopened():
                _milestone(event, states)
        return []


def _contract(event: ContractSigned | ContractAmended, states: States) -> list[BusinessEvent]:
    key = f"contract:{event.contract}"
    book = states.get(key, Book) or Book(entity=event.entity)
    if event.revision <= book.newest:
        return []
    terms = Terms(
        revision=event.revision,
        project=event.project,
        currency=event.currency,
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        lines=event.lines,
    )
    book = replace(book, newest=event.revision, entity=event.entity)
    site = states.get(f"project:{event.project}", Site) or Site()
    if event.contract not in site.contracts:
        states.put(f"project:{event.project}", replace(site, contracts=[*site.contracts, event.contract]))
    for term in (term for line in event.lines if isinstance(line, Milestones) for term in line.milestones):
        row = f"milestone:{term.milestone}"
        states.put(row, replace(states.get(row, Achieved) or Achieved(), contract=event.contract))
    if isinstance(event, ContractSigned):
        return _tell(event, event.contract, replace(book, terms=terms), states)
    states.put(f"terms:{event.contract}/{event.revision}", terms)
    states.put(key, book)
    return []


def _ordered(event: ChangeOrderStepped, states: States) -> list[BusinessEvent]:
    """Take the terms of a change order into the schedule, and answer; only its first order counts."""
    terms = states.get(f"terms:{event.change}", Terms)
    book = states.get(f"contract:{event.contract}", Book)
    if terms is None or book is None or (book.terms is not None and terms.revision <= book.terms.revision):
        return []
    told = _tell(event, event.contract, replace(book, terms=terms, terms_held=False), states, always=True)
    if told:
        return told
    out = Derivation(NAME, event)
    out.add(
        ChangeOrderStepped,
        entity=event.entity,
        change=event.change,
        contract=event.contract,
        project=event.project,
        step="schedule",
        state="done",
        detail="nothing is scheduled",
    )
    return out.events


def _ended(event: ContractEnded, states: States) -> list[BusinessEvent]:
    book = states.get(f"contract:{event.contract}", Book) or Book(entity=event.entity)
    if event.revision < book.ended_revision or event.ended_on == book.ended_on:
        return []
    book = replace(book, ended_on=event.ended_on, ended_revision=event.revision)
    return _tell(event, event.contract, book, states)


def _stage(event: ProjectStageChanged, states: States) -> list[BusinessEvent]:
    key = f"project:{event.project}"
    site = states.get(key, Site) or Site()
    if event.revision < site.stage_revision:
        return []
    states.put(key, replace(site, stage=event.stage, stage_revision=event.revision))
    out = Derivation(NAME, event)
    for contract in site.contracts:
        book = states.get(f"contract:{contract}", Book)
        assert book is not None, "a project names contracts that are known"
        _tell(event, contract, book, states, out=out)
    return out.events


def _milestone(event: MilestoneAchieved | MilestoneReopened, states: States) -> None:
    """Keep the day; the schedule is told when billing says what became of it."""
    key = f"milestone:{event.milestone}"
    row = states.get(key, Achieved) or Achieved()
    if event.revision > row.revision:
        on = event.achieved_on if isinstance(event, MilestoneAchieved) else None
        states.put(key, replace(row, on=on, revision=event.revision))


def _charged(event: ChargeDetermined, states: States) -> list[BusinessEvent]:
    """A reversal takes back by its amount, so that a reversal of a reversal gives again."""
    book = states.get(f"contract:{event.contract}", Book) or Book(entity=event.entity)
    old = book.marks.get(event.origin_key, Mark())
    mark = Mark(line=event.line, due_on=event.earned_on, net=old.net + event.amount, held=old.held)
    if mark.net <= 0:
        mark = replace(mark, due_on=None)
    book = replace(book, marks={**book.marks, event.origin_key: mark})
    return _tell(event, event.contract, book, states)


def _held(event: ChargeHeld | ChargeReleased, states: States) -> list[BusinessEvent]:
    contract = _contract_of(event, states)
    book = states.get(f"contract:{contract}", Book) if contract else None
    if contract is None or book is None:
        return []  # once its contract is known billing speaks of it again
    mark = replace(book.marks.get(event.origin_key, Mark()), held=isinstance(event, ChargeHeld))
    book = replace(book, marks={**book.marks, event.origin_key: mark})
    return _tell(event, contract, book, states)


def _contract_of(event: ChargeHeld | ChargeReleased, states: States) -> str | None:
    """The contract a hold is about: the key of what the calendar bills begins with it."""
    if event.origin == "milestone":
        row = states.get(f"milestone:{event.origin_key}", Achieved)
        return row.contract if row else None
    parts = event.origin_key.split("/")
    for size in range(len(parts) - 1, 0, -1):
        contract = "/".join(parts[:size])
        if states.get(f"contract:{contract}", Book) is not None:
            return contract
    return None


def _terms_held(event: ChargeHeld | ChargeReleased, states: States) -> list[BusinessEvent]:
    """Terms in the schedule that billing holds bill nothing; a held amendment is not in the schedule yet."""
    book = states.get(f"contract:{event.origin_key}", Book)
    if book is None or book.terms is None or book.terms.revision != event.origin_revision:
        return []
    held = isinstance(event, ChargeHeld)
    return _tell(event, event.origin_key, replace(book, terms_held=held), states)


def _tell(
    cause: BusinessEvent,
    contract: str,
    book: Book,
    states: States,
    *,
    always: bool = False,
    out: Derivation | None = None,
) -> list[BusinessEvent]:
    """Keep the book, and say its schedule when it is another than the one said last.

    Args:
        always: Say it also when it is the same; but never an empty one that was not said before.
        out: Collects the answer where one cause concerns several contracts.
    """
    out = out or Derivation(NAME, cause)
    key = f"contract:{contract}"
    if book.terms is None:
        states.put(key, book)
        return out.events
    terms = book.terms
    site = states.get(f"project:{terms.project}", Site) or Site()
    schedule = entries(
        contract,
        terms,
        book.marks,
        ended_on=book.ended_on,
        achieved=_achieved(terms, states),
        stage=site.stage,
        held=book.terms_held,
    )
    digest = hashlib.sha256(msgspec.json.encode(schedule)).hexdigest()
    if not (schedule or book.revision) or (digest == book.told and not always):
        states.put(key, book)
        return out.events
    book = replace(book, revision=book.revision + 1, told=digest)
    states.put(key, book)
    out.add(
        ScheduleRevised,
        entity=book.entity,
        contract=contract,
        revision=book.revision,
        installments=schedule,
        project=terms.project,
        currency=terms.currency,
    )
    return out.events


def _achieved(terms: Terms, states: States) -> dict[str, date]:
    days = {}
    for line in terms.lines:
        for term in line.milestones if isinstance(line, Milestones) else ():
            row = states.get(f"milestone:{term.milestone}", Achieved)
            if row is not None and row.on is not None:
                days[term.milestone] = row.on
    return days
