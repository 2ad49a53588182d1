"""Days that begin: told once each, wherever contracts are dated, whatever the clock does."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from isthmus.app import calendar
from isthmus.app.calendar import Calendar, Leapt, days_begun, next_midnight
from isthmus.events import CalendarTicked, ContractSigned, TimeAndMaterials
from isthmus.runtime.doorbell import Doorbells
from isthmus.sdk.errors import Fatal
from isthmus.store import log
from isthmus.store.face import Store
from isthmus.store.open import open_memory_store
from tests.delivery.given import IN_VIRTUAL_TIME

KIRITIMATI, BERLIN, ANGELES = "Pacific/Kiritimati", "Europe/Berlin", "America/Los_Angeles"
ZONES = (KIRITIMATI, BERLIN, ANGELES, "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
"""Havana puts its clocks forward at midnight, Lord Howe by half an hour."""


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "days"),
    [
        pytest.param("2026-10-31T09:59:59Z", ("10-31", "10-31", "10-31"), id="the last second of October"),
        pytest.param("2026-10-31T10:00:00Z", ("11-01", "10-31", "10-31"), id="November on Kiritimati"),
        pytest.param("2026-10-31T23:00:00Z", ("11-01", "11-01", "10-31"), id="an hour later in Berlin"),
        pytest.param("2026-11-01T06:59:59Z", ("11-01", "11-01", "10-31"), id="late evening in Los Angeles"),
        pytest.param("2026-11-01T07:00:00Z", ("11-01", "11-01", "11-01"), id="November everywhere"),
        pytest.param(
            "2026-10-25T00:30:00Z", ("10-25", "10-25", "10-24"), id="the night of 25 hours in Berlin"
        ),
        pytest.param(
            "2026-11-01T09:30:00Z", ("11-01", "11-01", "11-01"), id="the hour Los Angeles has twice"
        ),
        pytest.param("2028-02-29T00:00:00Z", ("02-29", "02-29", "02-28"), id="a leap day"),
    ],
)
def test_a_month_ends_where_the_contract_is_dated(now: str, days: tuple[str, str, str]) -> None:
    places = {("de", zone): None for zone in (KIRITIMATI, BERLIN, ANGELES)}
    begun = days_begun(places, at(now))
    assert tuple(f"{begun['de', zone]:%m-%d}" for zone in (KIRITIMATI, BERLIN, ANGELES)) == days


@pytest.mark.parametrize(
    ("newest", "now", "begun"),
    [
        pytest.param(date(2026, 10, 31), "2026-10-31T20:00:00Z", None, id="the same day is not told again"),
        pytest.param(
            date(2026, 11, 2), "2026-10-31T20:00:00Z", None, id="a clock that stepped back tells none"
        ),
        pytest.param(
            date(2026, 10, 2),
            "2026-10-31T20:00:00Z",
            date(2026, 10, 31),
            id="after a holiday only the newest",
        ),
        pytest.param(None, "2026-10-31T20:00:00Z", date(2026, 10, 31), id="the first contract of a zone"),
    ],
)
def test_which_days_are_told(newest: date | None, now: str, begun: date | None) -> None:
    found = days_begun({("de", BERLIN): newest}, at(now))
    assert found.get(("de", BERLIN)) == begun


def test_a_clock_that_leapt_ahead_tells_nothing_until_a_person_accepts_the_day() -> None:
    places: dict[tuple[str, str], date | None] = {("de", BERLIN): date(2026, 10, 1)}
    with pytest.raises(Leapt, match=r"2027-11-05.*2026-10-01.*isthmus resume calendar"):
        days_begun(places, at("2027-11-05T12:00:00Z"))
    accepted = days_begun(places, at("2027-11-05T12:00:00Z"), accepted=date(2027, 11, 5))
    assert accepted == {("de", BERLIN): date(2027, 11, 5)}


def test_a_new_zone_does_not_excuse_a_leap() -> None:
    with pytest.raises(Leapt):
        days_begun({("de", BERLIN): date(2026, 10, 1), ("us", ANGELES): None}, at("2027-11-05T12:00:00Z"))


def test_a_calendar_that_knows_one_zone_only_is_found_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    places = {("de", zone): None for zone in (KIRITIMATI, BERLIN, ANGELES)}
    right = days_begun(places, at("2026-10-31T10:00:00Z"))
    monkeypatch.setattr(calendar, "ZoneInfo", lambda name: ZoneInfo("UTC"))
    assert days_begun(places, at("2026-10-31T10:00:00Z")) != right
    assert next_midnight(places, at("2026-10-31T10:00:00Z")) != at("2026-10-31T23:00:00Z")


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_begins_with_its_first_instant(zone: str) -> None:
    """Every hour of 400 days is asked; an instant before, the day had not begun."""
    now = at("2026-10-01T00:30:00Z")
    for _ in range(400 * 24):
        midnight = next_midnight({("de", zone): None}, now)
        assert midnight is not None
        local = ZoneInfo(zone)
        assert midnight > now
        before = (midnight - timedelta(microseconds=1)).astimezone(local).date()
        assert before == now.astimezone(local).date()
        assert midnight.astimezone(local).date() == before + timedelta(days=1)
        now += timedelta(hours=1)


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.integers(1, 60 * 60 * 24 * 3), min_size=1, max_size=40),
    zones=st.sets(st.sampled_from(ZONES), min_size=1),
)
def test_looked_at_in_any_steps_days_only_go_on_and_end_at_the_newest(
    steps: list[int], zones: set[str]
) -> None:
    newest: dict[tuple[str, str], date | None] = {("de", zone): None for zone in zones}
    now = at("2026-10-20T00:00:00Z")
    for step in steps:
        now += timedelta(seconds=step)
        begun = days_begun(newest, now)
        for place, day in begun.items():
            before = newest[place]
            assert before is None or day > before
        newest.update(begun)
    assert newest == {("de", zone): now.astimezone(ZoneInfo(zone)).date() for zone in zones}


def signed(contract: str, zone: str, entity: str = "de") -> ContractSigned:
    return ContractSigned(
        source="crm",
        occurred_at=at("2026-10-30T08:00:00Z"),
        entity=entity,
        contract=contract,
        revision=1,
        customer="A",
        project="P1",
        title="Rollout",
        currency="EUR",
        signed_on=date(2026, 9, 20),
        starts_on=date(2026, 10, 1),
        time_zone=zone,
        lines=[TimeAndMaterials(line="T", default_rate=Decimal("100.00"))],
    )


class Box:
    """A store, a clock that may be set, and a calendar at work."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bells = Doorbells()
        self.set = timedelta()

    def now(self) -> datetime:
        return at("2026-10-31T20:00:00Z") + timedelta(seconds=trio.current_time()) + self.set

    def calendar(self) -> Calendar:
        return Calendar(self.store, self.bells.of("calendar"), self.now, self.bells.ring_all)

    async def tell(self, *contracts: ContractSigned) -> None:
        await self.store.write(lambda tx: log.append(tx, contracts, self.now()))
        self.bells.ring_all()

    async def ticks(self) -> list[tuple[str, str | None, str]]:
        rows = await self.store.read(lambda tx: log.search(tx, kind="calendar.ticked", limit=1000))
        events = [row.event() for row in rows]
        return [
            (event.entity, event.time_zone, f"{event.day:%m-%d}")
            for event in events
            if isinstance(event, CalendarTicked)
        ]


@IN_VIRTUAL_TIME
async def test_days_are_told_as_they_begin_and_once_also_after_a_restart() -> None:
    async with open_memory_store(now=lambda: at("2026-10-31T20:00:00Z")) as store:
        box = Box(store)
        for _ in range(2):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(box.calendar().run)
                await trio.sleep(10)
                assert await box.ticks() == [], "no contract, no calendar"
                nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.calendar().run)
            await box.tell(signed("C1", BERLIN), signed("C2", ANGELES, entity="us"))
            await trio.sleep(10)
            assert await box.ticks() == [("de", BERLIN, "10-31"), ("us", ANGELES, "10-31")]
            await trio.sleep(4 * 3600)
            assert (await box.ticks())[2:] == [("de", BERLIN, "11-01")]
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.calendar().run)
            await trio.sleep(10)
            assert len(await box.ticks()) == 3, "a restart tells nothing twice"
            await box.tell(signed("C3", KIRITIMATI))
            await trio.sleep(10)
            assert (await box.ticks())[3:] == [("de", KIRITIMATI, "11-01")]
            await trio.sleep(24 * 3600)
            assert (await box.ticks())[4:] == [
                ("us", ANGELES, "11-01"),
                ("de", KIRITIMATI, "11-02"),
                ("de", BERLIN, "11-02"),
            ]
            nursery.cancel_scope.cancel()


@IN_VIRTUAL_TIME
async def test_a_clock_set_far_ahead_parks_the_calendar_and_a_resume_accepts_it() -> None:
    async with open_memory_store(now=lambda: at("2026-10-31T20:00:00Z")) as store:
        box = Box(store)
        actor = box.calendar()
        await box.tell(signed("C1", BERLIN))
        with trio.move_on_after(10):
            await actor.run()
        box.set = timedelta(days=400)
        with pytest.raises(Fatal, match="check the clock"):
            await actor.run()
        assert len(await box.ticks()) == 1
        with trio.move_on_after(10):
            await actor.run()
        assert (await box.ticks())[1:] == [("de", BERLIN, "12-05")]


@IN_VIRTUAL_TIME
async def test_a_clock_set_back_tells_nothing_until_the_days_are_new_again() -> None:
    async with open_memory_store(now=lambda: at("2026-10-31T20:00:00Z")) as store:
        box = Box(store)
        await box.tell(signed("C1", BERLIN))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(box.calendar().run)
            await trio.sleep(10)
            box.set = -timedelta(days=2)
            await trio.sleep(2 * 24 * 3600)
            assert len(await box.ticks()) == 1
            await trio.sleep(12 * 3600)
            assert (await box.ticks())[1:] == [("de", BERLIN, "11-01")]
            nursery.cancel_scope.cancel()
