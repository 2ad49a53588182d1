"""Records that a day began wherever contracts are dated, so that the rules need no clock.

One `calendar.ticked` per legal entity and time zone in use, with the newest day only: whoever hears it
catches up on the days before. A clock that stepped back changes nothing; one that leapt far ahead would bill
years of retainers, so it parks the calendar until a person has looked at it.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NoReturn
from zoneinfo import ZoneInfo

import msgspec
import trio

from isthmus.events.contract import ContractAmended, ContractSigned
from isthmus.events.control import CalendarTicked
from isthmus.process.actor import StoredRows
from isthmus.runtime.doorbell import Doorbell
from isthmus.runtime.patience import wait_out
from isthmus.sdk.errors import Fatal
from isthmus.store import log as event_log
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["NAME", "Calendar", "Leapt", "days_begun", "next_midnight"]

NAME = "calendar"
CONTRACTS = frozenset({"contract.signed", "contract.amended"})
LEAP_MAX = timedelta(days=62)
"""A box may be off for a holiday, not for longer than this without a person noticing."""
LOOK_EVERY_S = 3600.0
"""A clock that was set is noticed so soon."""
PAUSE_S = 1.0
"""How long contracts are collected before their zones are looked at."""
PAGE = 500

Place = tuple[str, str]
"""Legal entity and time zone."""


class Leapt(Exception):
    """The clock is far ahead of the newest tick."""

    def __init__(self, day: date, newest: date) -> None:
        super().__init__(
            f"the clock says {day}, the newest day recorded is {newest}; check the clock of this machine, "
            f"then: isthmus resume {NAME}"
        )
        self.day = day


def days_begun(
    newest: Mapping[Place, date | None], now: datetime, *, accepted: date | None = None
) -> dict[Place, date]:
    """The day of every place where one began since its newest tick.

    Args:
        newest: The newest tick of each place; None where there is none yet.
        accepted: A day a person has accepted after a leap.

    Raises:
        Leapt: a day lies further ahead of all ticks than a daemon is ever off.
    """
    last = max((day for day in newest.values() if day is not None), default=None)
    if accepted is not None:
        last = accepted if last is None else max(last, accepted)
    begun: dict[Place, date] = {}
    for place, before in newest.items():
        day = now.astimezone(ZoneInfo(place[1])).date()
        if before is not None and day <= before:
            continue
        if last is not None and day - last > LEAP_MAX:
            raise Leapt(day, last)
        begun[place] = day
    return begun


def next_midnight(zones: Mapping[Place, date | None], now: datetime) -> datetime | None:
    """When the next day begins in any of the zones, aware UTC; None without zones.

    Where midnight does not exist (a clock set forward at midnight), the day begins with the first instant
    after it.
    """
    instants = []
    for _, name in zones:
        zone = ZoneInfo(name)
        day = now.astimezone(zone).date() + timedelta(days=1)
        instants.append(datetime.combine(day, time(), zone).astimezone(UTC))
    return min(instants, default=None)


class _Known(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept: how far contracts were read, and the newest tick of each place."""

    position: int = 0
    newest: dict[str, dict[str, date | None]] = {}
    """By entity, by zone."""

    def places(self) -> dict[Place, date | None]:
        return {(entity, zone): day for entity, zones in self.newest.items() for zone, day in zones.items()}


class Calendar:
    """The actor. `run` never returns."""

    def __init__(
        self, store: Store, bell: Doorbell, now: Callable[[], datetime], announce: Callable[[], None]
    ) -> None:
        """
        Args:
            announce: Called after ticks are in the log.
        """
        self._store = store
        self._bell = bell
        self._now = now
        self._announce = announce
        self._accepted: date | None = None

    async def run(self) -> NoReturn:
        """Tick when a day begins, and when a contract brings a new zone.

        Raises:
            Fatal: the clock leapt; a resume accepts the day it shows.
        """
        known = await self._store.read(_known)
        while True:
            if await self._store.read(event_log.head) > known.position:
                known = await self._read_on(known)
            try:
                begun = days_begun(known.places(), self._now(), accepted=self._accepted)
            except Leapt as leapt:
                self._accepted = leapt.day
                raise Fatal(str(leapt)) from leapt
            if begun:
                known = await self._tick(known, begun)
                self._announce()
            midnight = next_midnight(known.places(), self._now())
            ahead_s = LOOK_EVERY_S if midnight is None else (midnight - self._now()).total_seconds()
            await self._bell.wait(min(max(ahead_s, PAUSE_S), LOOK_EVERY_S))
            await trio.sleep(PAUSE_S)

    async def _read_on(self, known: _Known) -> _Known:
        """Read contracts up to the end of the log; what is new about zones is kept at once."""
        while True:
            start = known.position
            rows, upto = await self._store.read(
                lambda tx, start=start: event_log.read_after(tx, start, CONTRACTS, PAGE)  # type: ignore[misc]
            )
            if upto == start:
                return known
            newest = {entity: dict(zones) for entity, zones in known.newest.items()}
            for row in rows:
                event = row.event()
                assert isinstance(event, (ContractSigned, ContractAmended))
                newest.setdefault(event.entity, {}).setdefault(event.time_zone, None)
            known = _Known(position=upto, newest=newest)

    async def _tick(self, known: _Known, begun: Mapping[Place, date]) -> _Known:
        at = self._now()
        newest = {entity: dict(zones) for entity, zones in known.newest.items()}
        ticks = []
        for (entity, zone), day in sorted(begun.items()):
            newest[entity][zone] = day
            ticks.append(CalendarTicked(source=NAME, occurred_at=at, entity=entity, day=day, time_zone=zone))
        kept = _Known(position=known.position, newest=newest)

        def unit(tx: Tx) -> None:
            event_log.append(tx, ticks, at)
            rows = StoredRows(tx, NAME)
            rows.put("known", kept)
            rows.store()

        await wait_out(StoreFull, lambda: self._store.write(unit))
        log.info("calendar.ticked", extra={"reason": f"{max(begun.values())} in {len(begun)} places"})
        return kept


def _known(tx: Tx) -> _Known:
    return StoredRows(tx, NAME).get("known", _Known) or _Known()
