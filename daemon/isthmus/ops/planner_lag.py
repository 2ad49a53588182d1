"""Forecast variance caused by lag: what delivery and finance accepted and the planner does not have yet.

Counted from the log, kept only while it is missing. A fact waits in one state after the other:

===========  =====================================================================================
unsaid       our process has not said it: it is in the lag window, or the process stands still
undelivered  it is said, and on its way to a lane that carries it to a planner
dead_letter  the newest word about it was refused and waits for a person
===========  =====================================================================================

**Hours** are approved hours, by project, resource and day, that are in no `burn.revised` with a receipt: a
correction counts with its difference. **Money** is, per project, what the newest `forecast.revised` says
otherwise than the one the planner has, over its months or its backlog, whichever is more; before it is said,
the net of the charges. What a contract or an assignment changes is known once it is said.

A statement that a newer one replaced is there when the newer one is. One that its lane does not owe, since a
person skipped it or the lane is younger, is no lag.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from math import inf
from typing import NamedTuple

import msgspec
import trio

from isthmus.delivery.settle import FOLDED
from isthmus.events.base import BusinessEvent
from isthmus.events.finance import ChargeDetermined
from isthmus.events.planning import BurnRevised, ForecastRevised
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.ops.metrics import Lag
from isthmus.process.actor import unpublished
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import deliveries, lanes, receipts, recovery
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx

__all__ = ["Carrier", "Look", "PlannerLag", "follow", "look"]

KINDS = frozenset(
    {"burn.revised", "charge.determined", "forecast.revised", "time.approved", "time.unapproved"}
)
PAGE = 500
PAUSE_S = 1.0
"""How long facts are collected before they are counted."""
LOOK_EVERY_S = 3.0
"""A receipt rings no bell, so while something is missing it is looked for."""

ZERO = Decimal(0)
_Takes = tuple[str, frozenset[str] | None]
"""A lane, and the legal entities it takes; None: all."""


class Carrier(msgspec.Struct, frozen=True, kw_only=True):
    """Who says a kind of statement, and which live lanes carry it to a planner."""

    process: str
    says: Sequence[_Takes] = ()
    """The process lanes."""
    carries: Sequence[_Takes] = ()

    def lanes(self, entity: str) -> list[str]:
        return [lane for lane, entities in self.carries if entities is None or entity in entities]

    def sayers(self, entity: str) -> list[str]:
        return [lane for lane, entities in self.says if entities is None or entity in entities]

    def measures(self, entity: str) -> bool:
        return bool(self.lanes(entity) and self.sayers(entity))


class _Unsaid(NamedTuple):
    """A part of a fact that no statement has."""

    seq: int
    at: datetime
    entity: str
    value: Decimal


class _Said(NamedTuple):
    """A statement the planner does not have, or not surely."""

    seq: int
    at: datetime
    """Since when what it brings is missing."""
    lanes: list[str]
    value: Decimal
    """Of hours: what it adds to the statement before it."""
    outlook: "_Outlook | None" = None


class _Outlook(NamedTuple):
    """As much of a forecast as is compared."""

    currency: str
    months: dict[str, Decimal]
    backlog: Decimal

    def away_from(self, other: "_Outlook | None") -> Decimal:
        """How much the two differ; in this one's currency."""
        if other is None or other.currency != self.currency:
            other = _Outlook(self.currency, {}, ZERO)
        names = {*self.months, *other.months}
        months = sum((abs(self.months.get(n, ZERO) - other.months.get(n, ZERO)) for n in names), ZERO)
        return max(months, abs(self.backlog - other.backlog))


class _Story(msgspec.Struct):
    """What is missing of one subject: a burn's, or a project's."""

    unsaid: list[_Unsaid] = []
    said: list[_Said] = []
    currency: str = ""
    """Of unsaid charges."""
    there: _Outlook | None = None
    """The forecast the planner has."""

    @property
    def open(self) -> bool:
        return bool(self.unsaid or self.said)


class _Told(NamedTuple):
    """An event of the log with what it needs of what came before."""

    seq: int
    at: datetime
    event: BusinessEvent
    before: TimeApproved | None = None
    """Of a time entry: its approval until now."""
    folded_to: int = 0
    """Of a statement: the seq of the newest fact in it."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at the store found."""

    told: Sequence[_Told]
    upto: int
    whole: bool
    """Whether the end of the log was reached; only then is ``silent`` true of everything counted."""
    read_to: Mapping[str, int]
    """How far the process lanes have read."""
    waiting: Mapping[str, frozenset[str]]
    """By process: the subjects it has yet to speak of."""
    there: frozenset[int]
    """Statements that arrived in every lane that carries them."""
    dead: frozenset[int]


class PlannerLag:
    """What is missing in the planner. `apply` takes looks in their order."""

    def __init__(self, burn: Carrier, forecast: Carrier) -> None:
        self.burn = burn
        self.forecast = forecast
        self.upto = 0
        self.whole = False
        """Whether the end of the log was reached once; before that the figures mean nothing."""
        self._hours: dict[str, _Story] = {}
        self._money: dict[str, _Story] = {}
        self._dead: frozenset[int] = frozenset()

    @property
    def measured(self) -> bool:
        """Whether any lane carries burn or forecast to a planner."""
        return bool(self.burn.carries or self.forecast.carries)

    @property
    def open(self) -> bool:
        return any(story.open for story in self._stories())

    def awaited(self) -> Iterator[_Said]:
        """The statements that are on their way."""
        for story in self._stories():
            yield from story.said

    def apply(self, found: Look) -> None:
        for told in found.told:
            self._tell(told)
        for story in self._stories():
            _arrived(story, found.there)
        if found.whole:
            for carrier, stories in ((self.burn, self._hours), (self.forecast, self._money)):
                for key, story in stories.items():
                    if key not in found.waiting[carrier.process]:
                        _passed_over(story, carrier, found.read_to)
        # A project's story is kept for the forecast the planner has; there are few projects.
        self._hours = {key: story for key, story in self._hours.items() if story.open}
        self._dead = found.dead
        self.upto = found.upto
        self.whole = self.whole or found.whole

    def rows(self) -> tuple[Lag, ...]:
        """Hours and amounts by state; a state that is left out has none."""
        hours: dict[str, Decimal] = {}
        amounts: dict[str, dict[str, Decimal]] = {}
        since: dict[str, datetime] = {}
        for story, is_money in [
            *((story, False) for story in self._hours.values()),
            *((story, True) for story in self._money.values()),
        ]:
            for state, value, at, currency in self._missing(story, is_money=is_money):
                if not value:
                    continue
                since[state] = min(since.get(state, at), at)
                if is_money:
                    mine = amounts.setdefault(state, {})
                    mine[currency] = mine.get(currency, ZERO) + value
                else:
                    hours[state] = hours.get(state, ZERO) + value
        return tuple(
            Lag(
                state=state,
                hours=hours.get(state, ZERO),
                amounts=dict(sorted(amounts.get(state, {}).items())),
                since=since[state],
            )
            for state in sorted(since)
        )

    def _missing(self, story: _Story, *, is_money: bool) -> Iterator[tuple[str, Decimal, datetime, str]]:
        if story.unsaid:
            value = abs(sum((part.value for part in story.unsaid), ZERO))
            yield "unsaid", value, min(part.at for part in story.unsaid), story.currency
        if story.said:
            newest = story.said[-1]
            state = "dead_letter" if newest.seq in self._dead else "undelivered"
            at = min(part.at for part in story.said)
            if is_money:
                assert newest.outlook is not None
                yield state, newest.outlook.away_from(story.there), at, newest.outlook.currency
            else:
                yield state, abs(sum((part.value for part in story.said), ZERO)), at, ""

    def _stories(self) -> Iterator[_Story]:
        yield from self._hours.values()
        yield from self._money.values()

    def _tell(self, told: _Told) -> None:
        event = told.event
        match event:
            case TimeApproved() | TimeUnapproved() if self.burn.measures(event.entity):
                if told.before is not None:
                    self._accept(told, told.before, -told.before.hours)
                if isinstance(event, TimeApproved):
                    self._accept(told, event, event.hours)
            case ChargeDetermined() if self.forecast.measures(event.entity):
                story = self._money.setdefault(event.project, _Story())
                story.currency = event.currency
                story.unsaid.append(_Unsaid(told.seq, told.at, event.entity, event.amount))
            case BurnRevised() if lanes := self.burn.lanes(event.entity):
                self._say(self._hours.setdefault(event.burn, _Story()), told, lanes)
            case ForecastRevised() if lanes := self.forecast.lanes(event.entity):
                months = {month.month: month.revenue for month in event.months}
                content = _Outlook(event.currency, months, event.backlog)
                self._say(self._money.setdefault(event.project, _Story()), told, lanes, content)

    def _accept(self, told: _Told, entry: TimeApproved, hours: Decimal) -> None:
        key = f"{entry.project}|{entry.resource}|{entry.worked_on}"
        story = self._hours.setdefault(key, _Story())
        story.unsaid.append(_Unsaid(told.seq, told.at, told.event.entity, hours))

    def _say(self, story: _Story, told: _Told, lanes: list[str], outlook: _Outlook | None = None) -> None:
        """What was unsaid up to the newest fact of the statement is said now."""
        carried = [part for part in story.unsaid if part.seq <= told.folded_to]
        story.unsaid = [part for part in story.unsaid if part.seq > told.folded_to]
        at = min((part.at for part in carried), default=told.at)
        value = sum((part.value for part in carried), ZERO)
        story.said.append(_Said(told.seq, at, lanes, value, outlook))


def _arrived(story: _Story, there: frozenset[int]) -> None:
    """The newest statement that arrived brought all before it: each is a total."""
    seqs = [said.seq for said in story.said if said.seq in there]
    if seqs:
        story.there = next(said.outlook for said in story.said if said.seq == seqs[-1])
        story.said = [said for said in story.said if said.seq > seqs[-1]]


def _passed_over(story: _Story, carrier: Carrier, read_to: Mapping[str, int]) -> None:
    """What the process has read, and has nothing to say of, is no news: it was said already."""
    story.unsaid = [
        part
        for part in story.unsaid
        if any(part.seq > read_to.get(lane, 0) for lane in carrier.sayers(part.entity))
    ]


def look(tx: Tx, ledger: PlannerLag) -> Look:
    """The next page of the log, and, all as of the same moment, how far processes and lanes are."""
    rows, upto = event_log.read_after(tx, ledger.upto, KINDS, PAGE)
    carriers = (ledger.burn, ledger.forecast)
    there, dead = _whereabouts(tx, list(ledger.awaited()))
    return Look(
        told=[_told(tx, row) for row in rows],
        upto=upto,
        whole=upto == event_log.head(tx),
        read_to={lane: lanes.position(tx, lane) for carrier in carriers for lane, _ in carrier.says},
        waiting={carrier.process: unpublished(tx, carrier.process) for carrier in carriers},
        there=there,
        dead=dead,
    )


def _told(tx: Tx, row: event_log.Fact) -> _Told:
    event = row.event()
    before, folded_to = None, 0
    if isinstance(event, (TimeApproved, TimeUnapproved)):
        before = _before(tx, event.entry, row.seq)
    elif isinstance(event, (BurnRevised, ForecastRevised)) and event.basis:
        newest = event_log.by_id(tx, event.basis[-1])
        folded_to = newest.seq if newest is not None else 0
    return _Told(row.seq, row.recorded_at, event, before, folded_to)


def _before(tx: Tx, entry: str, seq: int) -> TimeApproved | None:
    """What stood for an entry before the event ``seq``, which is not stale."""
    after, stood = 0, None
    while rows := event_log.by_subject(tx, entry, after=after):
        for row in rows:
            if row.seq < seq and not row.stale and row.type.startswith("time."):
                event = row.event()
                stood = event if isinstance(event, TimeApproved) else None
        after = rows[-1].seq
    return stood


def _whereabouts(tx: Tx, awaited: Iterable[_Said]) -> tuple[frozenset[int], frozenset[int]]:
    """Which statements arrived in all their lanes, and which are dead in one."""
    by_lane: dict[str, set[int]] = {}
    for said in awaited:
        for lane in said.lanes:
            by_lane.setdefault(lane, set()).add(said.seq)
    missing: set[int] = set()
    dead: set[int] = set()
    for lane, seqs in by_lane.items():
        position = lanes.position(tx, lane)
        owed = recovery.seqs_since(tx, lane, min(seqs) - 1) & seqs
        if owed:
            dead |= {seq for seq in owed if _is_dead(tx, lane, seq)}
        ahead = {seq for seq in seqs if seq > position} - receipts.done_since(tx, lane, position)
        folded = {seq for seq in seqs - owed - ahead if _was_folded(tx, lane, seq)}
        missing |= owed | ahead | folded
    everything = set().union(*by_lane.values()) if by_lane else set()
    return frozenset(everything - missing), frozenset(dead)


def _is_dead(tx: Tx, lane: str, seq: int) -> bool:
    row = deliveries.get(tx, lane, seq)
    return row is not None and row.state == "dead"


def _was_folded(tx: Tx, lane: str, seq: int) -> bool:
    kept = receipts.get(tx, lane, seq)
    return kept is not None and kept.remote_id == FOLDED


async def follow(ledger: PlannerLag, store: Store, bell: Doorbell) -> None:
    """Count the log from where the ledger stands, in pages, and what follows, until cancelled."""
    while True:
        found = await store.read(lambda tx: look(tx, ledger))
        ledger.apply(found)
        if found.whole:
            await bell.wait(LOOK_EVERY_S if ledger.open else inf)
            await trio.sleep(PAUSE_S)
