"""Bookings of people on projects: allocations that changed, and allocations that are gone.

Kantata deletes hard and says so nowhere but in its event feed, which forgets. So what is open is remembered
in the cursor of ``allocation_removals``, listed whole now and then, and what is missing from the list is
looked up by its id before it is told as ended: a list can hide a record for other reasons.
"""

from datetime import date, datetime, timedelta

import msgspec

from isthmus.sdk import Page
from isthmus_kantata import translate
from isthmus_kantata.client import Row
from isthmus_kantata.reading import Gathered, Reader
from isthmus_kantata.walk import read

FAR_AHEAD = date(2999, 12, 31)
BACK = timedelta(days=35)
"""Bookings that ended earlier are no longer watched: nothing is planned in the past."""
GONE_MAX = 500
"""So many removed bookings are remembered, should one come back."""


class Open(msgspec.Struct, frozen=True, array_like=True):
    """What is known of an open allocation: its first and last day."""

    starts_on: date
    ends_on: date


class Watch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor of the removals: the open allocations by id, and those told as ended."""

    swept: datetime | None = None
    open: dict[str, Open] = {}
    gone: list[str] = []


class Allocations(Reader):
    """The two streams of bookings."""

    async def changes(self, cursor: bytes | None) -> Page:
        """Allocations that changed, oldest change first."""
        walk = await self._begin("allocations", cursor)
        if walk is None:
            return Page(events=[], next=cursor or b"")
        got = Gathered()
        listing = await self._listing(
            walk, "workspace_allocations", {"include": "workspace"}, order="updated_at:asc"
        )
        told = [row for row in listing.rows if self._settled(walk, row)]
        await self._tell(told, got)
        return self._end(walk, got, listing, told, by_stamp=True, phases=1)

    async def removals(self, cursor: bytes | None) -> Page:
        """Allocations that were open at the last sweep and are no longer there; one sweep is one page."""
        watch = read(cursor, Watch) if cursor is not None else Watch()
        now = self._ctx.now()
        pause = timedelta(seconds=self._settings.removals_every_s)
        if cursor is not None and watch.swept is not None and now - watch.swept < pause:
            return Page(events=[], next=cursor)
        since = now.date() - BACK
        params = {
            "overlaps_with_date_range": f"{since}:{FAR_AHEAD}",
            "include": "workspace",
            "order": "updated_at:asc",
        }
        got = Gathered()
        there: dict[str, Open] = {}
        back: list[Row] = []
        async for listing in self._client.every("workspace_allocations", params):
            for row in listing.rows:
                try:
                    there[row["id"]] = Open(
                        translate.day_of(row, "start_date"), translate.day_of(row, "end_date")
                    )
                except ValueError:
                    continue  # refused where its change is told
                if row["id"] in watch.gone:
                    back.append(row)
        absent = [id for id, known in watch.open.items() if id not in there and known.ends_on >= since]
        moved: set[str] = set()  # only out of the range now
        async for listing in self._client.named("workspace_allocations", "only", absent, {}):
            moved.update(listing.ids)
        ended = [id for id in absent if id not in moved]
        for id in ended:
            got.events.append(
                translate.allocation_ended(
                    self._teller,
                    allocation=self._ctx.key(id),
                    starts_on=watch.open[id].starts_on,
                    seen_at=now,
                )
            )
        await self._tell(back, got, seen_at=now)
        gone = [id for id in watch.gone if id not in there] + ended
        following = Watch(swept=now, open=there, gone=gone[-GONE_MAX:])
        return got.page(following, more=False)

    async def _tell(self, rows: list[Row], got: Gathered, *, seen_at: datetime | None = None) -> None:
        """Translate allocations. Who is booked, and as what, is on the resource, not on the allocation."""
        ids = sorted({str(row["workspace_resource_id"]) for row in rows if row.get("workspace_resource_id")})
        resources: dict[str, Row] = {}
        include = {"include": "user,role", "order": "created_at:asc"}
        async for listing in self._client.named("workspace_resources", "only", ids, include):
            resources |= {row["id"]: row for row in listing.rows}
        for row in rows:
            resource = resources.get(str(row.get("workspace_resource_id")))
            user = (resource or {}).get("user_id")
            try:
                got.events.append(
                    translate.allocation_fact(
                        self._teller,
                        row,
                        resource,
                        allocation=self._ctx.key(row["id"]),
                        project=await self._project(row.get("workspace_id")),
                        person=None if user is None else await self._key("resource", user),
                        unnamed=self._ctx.key(f"resource-{row.get('workspace_resource_id')}"),
                        seen_at=seen_at,
                    )
                )
            except ValueError as error:
                got.refuse(error, f"workspace_allocations/{row['id']}", row)
