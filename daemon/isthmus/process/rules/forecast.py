"""forecast: what each month is expected to bring and what is still to be earned, per project.

The rules are under "Forecast" in process/README.md. Whatever the order in which facts come, the same facts
end in the same statement: of words about one thing the newest holds, everything else is a sum.
"""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractEnded, ContractSigned, Milestones
from isthmus.events.control import CalendarTicked, ChangeOrderStepped
from isthmus.events.finance import ChargeDetermined, ChargeHeld
from isthmus.events.master import AssignmentChanged, AssignmentEnded, ProjectStageChanged
from isthmus.events.planning import ForecastRevised
from isthmus.events.values import quantum
from isthmus.events.work import MilestoneAchieved, MilestoneReopened, TimeApproved, TimeUnapproved
from isthmus.process.face import States
from isthmus.process.rules import index
from isthmus.process.rules.assigned import Assignment, booked, heard
from isthmus.process.rules.contracts import terms_of
from isthmus.process.rules.derive import statement
from isthmus.process.rules.forecast_outlook import Agreed, Outlook, Remaining, Worked, outlook
from isthmus.process.rules.forecast_rows import (
    ZERO,
    Achieved,
    Agreement,
    Billed,
    Days,
    Earned,
    Entry,
    Month,
    Net,
    Planned,
    Presence,
    Rank,
    Site,
    Today,
    Version,
)
from isthmus.process.rules.rerating import HOURLY
from isthmus.process.rules.schedule_entries import SCHEDULED_ORIGINS
from isthmus.process.rules.schedules import add_months

__all__ = ["ForecastProcess"]

DAY = timedelta(days=1)


class ForecastProcess:
    """Analytical: one ``forecast.revised`` per project in the lag window.

    A project is not spoken of before it has a contract: it has no currency. What was said last is not said
    again, unless an amendment is in it, since a change order waits for the word.
    """

    name = "forecast"
    consumes = frozenset(
        {
            "assignment.changed",
            "assignment.ended",
            "calendar.ticked",
            "change_order.stepped",
            "charge.determined",
            "charge.held",
            "contract.amended",
            "contract.ended",
            "contract.signed",
            "milestone.achieved",
            "milestone.reopened",
            "project.stage_changed",
            "time.approved",
            "time.unapproved",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        match event:
            case TimeApproved() | TimeUnapproved():
                return _time(event, states)
            case ChargeDetermined():
                return _charge(event, states)
            case ContractSigned() | ContractAmended():
                return _terms(event, states)
            case ContractEnded():
                return _ended(event, states)
            case ChargeHeld() if event.origin == "contract":
                return _refused(event.origin_key, event.origin_revision, states)
            case ChangeOrderStepped() if event.step == "terms" and event.state == "done":
                return _governs(event, states)
            case AssignmentChanged() | AssignmentEnded():
                return _assignment(event, states)
            case ProjectStageChanged():
                return _stage(event, states)
            case MilestoneAchieved() | MilestoneReopened():
                return _milestone(event, states)
            case CalendarTicked():
                return _tick(event, states)
        return set()

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        site = _site(key, states)
        contracts = _contracts(key, site, states)
        if contracts:
            site = replace(
                site, entity=contracts[0].versions[-1].entity, currency=contracts[0].newest.currency
            )
        entity, currency = site.entity, site.currency
        if currency is None:
            return []
        charged = _charged(key, site, currency, states)
        found = _look_ahead(key, site, contracts, charged, entity, currency, states)
        earned = sum((month.revenue for month in charged.values()), ZERO).quantize(quantum(currency))
        content = [entity, currency, found.months, str(found.backlog), str(earned)]
        said = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
        if said == site.said and not site.owed:
            return []
        states.put(f"project:{key}", replace(site, said=said, owed=False))
        return [
            statement(
                ForecastRevised,
                process=self.name,
                key=key,
                said_at=as_of,
                basis=basis,
                entity=entity,
                project=key,
                currency=currency,
                as_of=as_of,
                months=found.months,
                backlog=found.backlog,
                earned=earned,
            )
        ]


def _site(project: str, states: States) -> Site:
    return states.get(f"project:{project}", Site) or Site()


def _rank(event: BusinessEvent) -> Rank:
    return Rank(revision=event.fact_revision, at=event.occurred_at)


# What is said of it


def _charged(project: str, site: Site, currency: str, states: States) -> dict[str, Month]:
    found = {}
    for month in site.charged.get(currency, []):
        row = states.get(f"charged:{project}|{currency}|{month}", Month)
        assert row is not None, "a project names months that have their row"
        found[month] = row
    return found


def _look_ahead(
    project: str,
    site: Site,
    contracts: list[Agreed],
    charged: Mapping[str, Month],
    entity: str,
    currency: str,
    states: States,
) -> Outlook:
    contracts = [agreed for agreed in contracts if agreed.newest.currency == currency]
    return outlook(
        contracts,
        currency=currency,
        stage=site.stage,
        charged=charged,
        remaining=list(_remaining(project, entity, states)),
        worked=_worked(project, site, states),
        achieved=_achieved(contracts, states),
    )


def _contracts(project: str, site: Site, states: States) -> list[Agreed]:
    """The project's contracts that govern, in the order in which they take work: the first to start first."""
    found = []
    for key in site.contracts:
        row = states.get(f"contract:{key}", Agreement)
        assert row is not None, "a project names contracts that are known"
        versions = [
            _version(key, revision, states)
            for revision in row.revisions
            if revision not in row.refused or revision in row.governed
        ]
        if versions and versions[-1].project == project:
            agreed = Agreed(
                key=key,
                versions=versions,
                ended_on=row.ended_on,
                net=(states.get(f"earned:{key}", Earned) or Earned()).lines,
                billed=(states.get(f"billed:{key}", Billed) or Billed()).amounts,
            )
            found.append(agreed)
    return sorted(found, key=lambda agreed: (agreed.newest.starts_on, agreed.key))


def _version(contract: str, revision: int, states: States) -> Version:
    version = states.get(f"terms:{contract}/{revision}", Version)
    assert version is not None, "a revision in the contract's row has its terms"
    return version


def _remaining(project: str, entity: str, states: States) -> Iterator[Remaining]:
    """The days of each booking that may still be worked."""
    today = states.get(f"today:{entity}", Today)
    horizon = date.min if today is None else _horizon(today.day)
    planned = states.get(f"planned:{project}", Planned) or Planned()
    after: dict[str, date] = {}
    for key in sorted(planned.assignments):
        booking = booked(states.get(f"assignment:{key}", Assignment))
        if booking is None or booking.project != project:
            continue
        if booking.resource not in after:
            after[booking.resource] = _last_worked(project, booking.resource, states) or date.min
        first = max(booking.starts_on, horizon, after[booking.resource] + DAY)
        if first <= booking.ends_on:
            yield Remaining(booking=booking, first=first, last=booking.ends_on)


def _horizon(day: date) -> date:
    """The first day of the month before: older days are over, whether anybody worked on them or not."""
    return add_months(day.replace(day=1), -1)


def _last_worked(project: str, resource: str, states: States) -> date | None:
    """The last day on which the resource has time approved on the project."""
    months = (states.get(f"presence:{project}|{resource}", Presence) or Presence()).months
    for month in reversed(months):
        row = states.get(f"presence:{project}|{resource}|{month}", Days)
        days = [day for day, hours in row.hours.items() if hours] if row else []
        if days:
            return date.fromisoformat(max(days))
    return None


def _worked(project: str, site: Site, states: States) -> Iterator[Worked]:
    for month in site.worked:
        row = states.get(f"worked:{project}|{month}", Days)
        for place, hours in row.hours.items() if row else ():
            day, _, service = place.partition("|")
            if hours:
                yield date.fromisoformat(day), service, hours


def _achieved(contracts: list[Agreed], states: States) -> Mapping[str, date]:
    days = {}
    for agreed in contracts:
        for line in agreed.newest.lines:
            for term in line.milestones if isinstance(line, Milestones) else ():
                row = states.get(f"milestone:{term.milestone}", Achieved)
                if row is not None and row.on is not None:
                    days[term.milestone] = row.on
    return days


# What is heard


def _time(event: TimeApproved | TimeUnapproved, states: States) -> set[str]:
    key = f"entry:{event.entry}"
    old = states.get(key, Entry)
    if old is not None and event.revision <= old.revision:
        return set()
    new = Entry(revision=event.revision, project=event.project)
    if isinstance(event, TimeApproved):
        new = Entry(
            revision=event.revision,
            project=event.project,
            resource=event.resource,
            service=event.service,
            worked_on=event.worked_on,
            hours=event.hours,
            billable=event.billable,
        )
    states.put(key, new)
    for entry, sign in ((old, -1), (new, 1)):
        if entry is not None and entry.hours:
            _book(entry, sign, states)
    return {entry.project for entry in (old, new) if entry is not None}


def _book(entry: Entry, sign: int, states: States) -> None:
    """Add an entry to the days of its resource, and where it is billable to those of its service."""
    month, hours = f"{entry.worked_on:%Y-%m}", sign * entry.hours
    place = f"presence:{entry.project}|{entry.resource}"
    presence = states.get(place, Presence) or Presence()
    if month not in presence.months:
        states.put(place, Presence(months=sorted([*presence.months, month])))
    _add(f"{place}|{month}", f"{entry.worked_on}", hours, states)
    if not entry.billable:
        return
    site = _site(entry.project, states)
    if month not in site.worked:
        states.put(f"project:{entry.project}", replace(site, worked=sorted([*site.worked, month])))
    _add(f"worked:{entry.project}|{month}", f"{entry.worked_on}|{entry.service}", hours, states)


def _add(row: str, place: str, hours: Decimal, states: States) -> None:
    days = (states.get(row, Days) or Days()).hours
    states.put(row, Days(hours={**days, place: days.get(place, ZERO) + hours}))


def _charge(event: ChargeDetermined, states: States) -> set[str]:
    """A reversal takes back by its amount, so that a reversal of a reversal gives again."""
    back = event.reverses is not None and event.amount <= 0
    hours = (-event.quantity if back else event.quantity) if event.origin in HOURLY else ZERO
    site, month = _site(event.project, states), f"{event.earned_on:%Y-%m}"
    months, row = site.charged.get(event.currency, []), f"charged:{event.project}|{event.currency}|{month}"
    if month not in months:
        charged = {**site.charged, event.currency: sorted([*months, month])}
        states.put(f"project:{event.project}", replace(site, charged=charged))
    old = states.get(row, Month) or Month()
    states.put(row, Month(revenue=old.revenue + event.amount, hours=old.hours + hours))
    if event.origin != "expense":
        lines = (states.get(f"earned:{event.contract}", Earned) or Earned()).lines
        net = lines.get(event.line, Net())
        net = Net(amount=net.amount + event.amount, hours=net.hours + hours)
        states.put(f"earned:{event.contract}", Earned(lines={**lines, event.line: net}))
    if event.origin in SCHEDULED_ORIGINS:
        amounts = (states.get(f"billed:{event.contract}", Billed) or Billed()).amounts
        amount = amounts.get(event.origin_key, ZERO) + event.amount
        states.put(f"billed:{event.contract}", Billed(amounts={**amounts, event.origin_key: amount}))
    return {event.project, *_projects(event.contract, _agreement(event.contract, states), states)}


def _agreement(contract: str, states: States) -> Agreement:
    return states.get(f"contract:{contract}", Agreement) or Agreement()


def _projects(contract: str, row: Agreement, states: States) -> set[str]:
    return {_version(contract, revision, states).project for revision in row.revisions}


def _terms(event: ContractSigned | ContractAmended, states: States) -> set[str]:
    row = _agreement(event.contract, states)
    if event.revision in row.revisions:
        return set()
    row = replace(row, revisions=sorted([*row.revisions, event.revision]))
    version = Version(
        project=event.project,
        entity=event.entity,
        effective_on=event.effective_on if isinstance(event, ContractAmended) else event.starts_on,
        terms=terms_of(event),
    )
    states.put(f"terms:{event.contract}/{event.revision}", version)
    states.put(f"contract:{event.contract}", row)
    site = _site(event.project, states)
    if event.contract not in site.contracts:
        site = replace(site, contracts=sorted([*site.contracts, event.contract]))
    if event.entity not in site.entities:
        site = replace(site, entities=[*site.entities, event.entity])
        # A tick finds the projects of its legal entity here.
        index.add(states, f"projects:{event.entity}", index.next_place(states), event.project)
    if isinstance(event, ContractAmended):
        site = replace(site, owed=True)
    states.put(f"project:{event.project}", site)
    return _projects(event.contract, row, states)


def _ended(event: ContractEnded, states: States) -> set[str]:
    row = _agreement(event.contract, states)
    if row.ended_rank is not None and _rank(event) <= row.ended_rank:
        return set()
    row = replace(row, ended_on=event.ended_on, ended_rank=_rank(event))
    states.put(f"contract:{event.contract}", row)
    return _projects(event.contract, row, states)


def _refused(contract: str, revision: int, states: States) -> set[str]:
    """Billing holds the terms; they count again only when it says that they govern."""
    row = _agreement(contract, states)
    if revision in row.refused:
        return set()
    row = replace(row, refused=sorted([*row.refused, revision]))
    states.put(f"contract:{contract}", row)
    return _projects(contract, row, states)


def _governs(event: ChangeOrderStepped, states: States) -> set[str]:
    row, revision = _agreement(event.contract, states), int(event.change.rpartition("/")[2])
    if revision in row.governed:
        return set()
    row = replace(row, governed=sorted([*row.governed, revision]))
    states.put(f"contract:{event.contract}", row)
    return _projects(event.contract, row, states)


def _assignment(event: AssignmentChanged | AssignmentEnded, states: States) -> set[str]:
    key = f"assignment:{event.assignment}"
    old = states.get(key, Assignment) or Assignment()
    new = heard(old, event)
    if new is old:
        return set()
    states.put(key, new)
    projects = {row.booking.project for row in (old, new) if row.booking is not None}
    for project in projects:
        planned = states.get(f"planned:{project}", Planned) or Planned()
        if event.assignment not in planned.assignments:
            assignments = [*planned.assignments, event.assignment]
            states.put(f"planned:{project}", Planned(assignments=assignments))
    return projects


def _stage(event: ProjectStageChanged, states: States) -> set[str]:
    site = _site(event.project, states)
    if site.stage_rank is not None and _rank(event) <= site.stage_rank:
        return set()
    states.put(f"project:{event.project}", replace(site, stage=event.stage, stage_rank=_rank(event)))
    return {event.project}


def _milestone(event: MilestoneAchieved | MilestoneReopened, states: States) -> set[str]:
    key = f"milestone:{event.milestone}"
    row = states.get(key, Achieved)
    if row is not None and _rank(event) <= row.rank:
        return set()
    on = event.achieved_on if isinstance(event, MilestoneAchieved) else None
    states.put(key, Achieved(on=on, rank=_rank(event)))
    return {event.project}


def _tick(event: CalendarTicked, states: States) -> set[str]:
    """A new month began: days before the last one are over, wherever somebody is planned."""
    key = f"today:{event.entity}"
    row = states.get(key, Today)
    if row is not None and event.day <= row.day:
        return set()
    states.put(key, Today(day=event.day))
    if row is not None and _horizon(row.day) == _horizon(event.day):
        return set()
    projects = (project for _, project in index.walk(states, f"projects:{event.entity}"))
    return {project for project in projects if states.get(f"planned:{project}", Planned) is not None}
