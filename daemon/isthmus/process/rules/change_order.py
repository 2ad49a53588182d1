"""change-order: an amended contract reaches every system in one order, and each step says where it stands.

The steps are ``terms`` (billing takes the amendment), ``contract`` (contract and project are told),
``schedule``, ``demand`` and ``projection``. The process decides nothing about money and calls nobody: it
orders the next step when the evidence for the one before is in the log.
"""

from collections.abc import Iterator
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractSigned
from isthmus.events.control import ChangeOrderStepped, DeliverySettled, RoutesRevised
from isthmus.events.finance import ScheduleRevised
from isthmus.events.master import ProjectCreated, ProjectStageChanged
from isthmus.events.planning import ForecastRevised
from isthmus.process.face import States
from isthmus.process.rules import demand, index
from isthmus.process.rules.change_rows import STEPS, Change, Contract, Counted, Facts, Routes, Site
from isthmus.process.rules.change_steps import NAME, Desk
from isthmus.process.rules.project_setup import ProjectSetup

__all__ = ["ChangeOrder"]

T = TypeVar("T", bound=msgspec.Struct)

BASIS_FULL = 500
"""A forecast that names so many facts names only the newest it folded."""


class ChangeOrder:
    """Transactional: one ``change_order.stepped`` for each turn of each step, and ``demand.revised``.

    A step is done when billing, the schedule or the forecast said their part and every lane that carries it
    delivered it. A refused delivery makes it ``failed`` until a retry succeeds. An amendment that billing
    takes supersedes what is left of an older one; what others were told of an amendment that never held is
    ``compensated`` once they were told its successor.
    """

    name = NAME
    consumes = frozenset(
        {
            "contract.signed",
            "contract.amended",
            "project.stage_changed",
            "project.created",
            "change_order.stepped",
            "schedule.revised",
            "forecast.revised",
            "delivery.settled",
            "routes.revised",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        desk = Desk(event, states)
        match event:
            case ContractAmended():
                _amended(event, desk)
            case ContractSigned() | ProjectStageChanged():
                if isinstance(event, ContractSigned):
                    _newest(event, states)
                _expected_project(event, states)
            case ChangeOrderStepped() if event.source != NAME:
                _word(event, desk)
            case ScheduleRevised():
                _schedule(event, desk)
            case ProjectCreated():
                _project(event, desk)
            case ForecastRevised():
                _forecast(event, desk)
            case DeliverySettled():
                desk.settle(event)
            case RoutesRevised():
                _routes(event, desk)
        return desk.out.events


def _newest(event: ContractSigned | ContractAmended, states: States) -> bool:
    """Note the revision; whether it is newer than all before."""
    row = states.get(f"contract:{event.contract}", Contract) or Contract()
    if event.revision <= row.newest:
        return False
    states.put(f"contract:{event.contract}", replace(row, newest=event.revision))
    return True


def _amended(event: ContractAmended, desk: Desk) -> None:
    states = desk.states
    project_created = _expected_project(event, states)
    if not _newest(event, states):
        return
    number = (states.get("changes", Counted) or Counted()).last + 1
    states.put("changes", Counted(last=number))
    change = Change(
        number=number,
        contract=event.contract,
        project=event.project,
        entity=event.entity,
        revision=event.revision,
        amended=event.id,
        currency=event.currency,
        budget=demand.budget(event.lines),
        hours=demand.hours_by_service(event.lines, event.ends_on),
        facts={
            "contract.amended": Facts(said=True),
            "project.created": Facts(
                expected=project_created,
                none="" if project_created else "what the project says stays as it was",
            ),
        },
    )
    for kind, fact in (("contract.amended", event.id), ("project.created", project_created)):
        if fact:
            desk.look_at(fact, kind, change)
    row = desk.contract(event.contract)
    states.put(f"contract:{event.contract}", replace(row, waiting=[*row.waiting, event.revision]))
    site = states.get(f"project:{event.project}", Site) or Site()
    if event.contract not in site.contracts:
        states.put(f"project:{event.project}", Site(contracts=[*site.contracts, event.contract]))
    index.add(states, f"open:{event.entity}", number, change.key)
    desk.go_on(change)


def _word(event: ChangeOrderStepped, desk: Desk) -> None:
    """Billing's word about the terms, or the schedule's that it has nothing to say."""
    change = desk.change(event.change)
    if change is None:
        return
    if event.step == "terms" and event.state == "done":
        desk.accept(change)
    elif event.step == "terms" and event.state == "failed":
        desk.refuse(change, event.detail)
    elif event.step == "schedule" and event.state == "done" and event.causation == change.order:
        desk.go_on(change.with_facts("schedule.revised", Facts(none=event.detail)))


def _schedule(event: ScheduleRevised, desk: Desk) -> None:
    """The answer to an order carries the change, and so does every later schedule of the contract."""
    row = desk.states.get(f"contract:{event.contract}", Contract)
    change = desk.change(f"{event.contract}/{row.under_way}") if row and row.under_way else None
    if change is None or not change.order:
        return
    if event.causation == change.order or change.fact("schedule.revised").said:
        desk.said(change, "schedule.revised", event)


def _project(event: ProjectCreated, desk: Desk) -> None:
    """What project-setup derived from the amendment carries it, and so does every later revision."""
    for change in _changes_of(event.project, desk):
        facts = change.fact("project.created")
        if facts.said or facts.expected == event.id:
            desk.said(change, "project.created", event)


def _forecast(event: ForecastRevised, desk: Desk) -> None:
    """A forecast carries a change when it folded it, or anything later.

    One that names as many facts as it can may have folded the amendment and not name it. It counts when
    everything before the projection is done: by then the forecast has been told for long.
    """
    basis = set(event.basis)
    for change in _changes_of(event.project, desk):
        row = desk.contract(change.contract)
        later = [revision for revision in row.waiting if revision > change.revision]
        known = [change, *(desk.change(f"{change.contract}/{revision}") for revision in later)]
        named = any(each is not None and each.amended in basis for each in known)
        full = len(event.basis) >= BASIS_FULL and STEPS[change.step] == "projection"
        if named or full or change.fact("forecast.revised").said:
            desk.said(change, "forecast.revised", event)


def _routes(event: RoutesRevised, desk: Desk) -> None:
    """What is open may wait for a lane that is no more, or need not wait for one that is new."""
    key = f"routes:{event.entity}"
    old = desk.states.get(key, Routes)
    if old is not None and event.revision <= old.revision:
        return
    desk.states.put(key, Routes(revision=event.revision, lanes=event.lanes))
    for _, name in list(index.walk(desk.states, f"open:{event.entity}")):
        change = desk.change(name)
        assert change is not None, "an open change has its row"
        desk.go_on(change)


def _changes_of(project: str, desk: Desk) -> Iterator[Change]:
    """The open changes of a project's contracts, also those billing has not taken yet."""
    site = desk.states.get(f"project:{project}", Site)
    for contract in site.contracts if site else ():
        row = desk.contract(contract)
        under_way = [] if row.under_way is None else [row.under_way]
        for revision in (*under_way, *row.waiting):
            change = desk.change(f"{contract}/{revision}")
            if change is not None and change.open:
                yield change


class _Apart:
    """The rows of another process, kept beside ours."""

    def __init__(self, states: States, prefix: str) -> None:
        self._states = states
        self._prefix = prefix

    def get(self, key: str, type: type[T]) -> T | None:
        return self._states.get(self._prefix + key, type)

    def put(self, key: str, struct: msgspec.Struct) -> None:
        self._states.put(self._prefix + key, struct)


def _expected_project(event: BusinessEvent, states: States) -> str:
    """The id of the ``project.created`` that project-setup derives from ``event``; empty where none.

    Project-setup is a function of the log, so what it will say is known before it says it. Without that, a
    change would not know whether it has a project's deliveries to wait for.
    """
    derived = ProjectSetup().apply(event, _Apart(states, "project-setup/"))
    return derived[0].id if derived else ""
