"""What every stream does alike: begin a pass, ask for the next page, and put the cursor behind it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, time, timedelta

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Link, Page, Refused
from isthmus_kantata import translate
from isthmus_kantata.client import Client, Listing, Row
from isthmus_kantata.hints import Hints
from isthmus_kantata.references import References
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.translate import Teller, Untranslatable
from isthmus_kantata.walk import Walk, advance, begin, read_walk

HELD_BACK = "held back"
"""In place of a hint: something was too young to be told, so the next poll makes a pass."""


class Gathered:
    """What a page gives, while it is put together."""

    def __init__(self) -> None:
        self.events: list[BusinessEvent] = []
        self.refused: list[Refused] = []
        self.links: list[Link] = []

    def page(self, next: msgspec.Struct, *, more: bool) -> Page:
        return Page(
            events=self.events,
            next=msgspec.json.encode(next),
            more=more,
            refused=self.refused,
            links=self.links,
        )

    def refuse(self, error: ValueError, place: str, row: Row) -> None:
        self.refused.append(
            Refused(reason=str(error), place=f"/api/v1/{place}", raw=msgspec.json.encode(row))
        )


class Reader:
    """The tools of a stream."""

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._teller = Teller(source=ctx.instance, entity=ctx.entity, settings=settings)
        self._hints = Hints(client, ctx) if settings.hints else None
        self._references = References(client, ctx, settings.service_name)
        self._written: dict[str, str | None] = {}

    async def _begin(self, stream: str, cursor: bytes | None) -> Walk | None:
        """The walk with a pass in hand; None where the feed has no news and the last pass is not long ago."""
        day = self._settings.read_from
        walk = read_walk(cursor, datetime.combine(day, time(), tzinfo=UTC) if day else None)
        if walk.started is None and self._hints is not None:
            hint = await self._hints.newest(stream)
            if hint is not None and hint == walk.hint and self._fresh(walk.passed):
                return None
            walk = msgspec.structs.replace(walk, hint=hint)
        return begin(walk, self._ctx.now())

    def _fresh(self, passed: datetime | None) -> bool:
        patience = timedelta(seconds=self._settings.full_pass_s)
        return passed is not None and self._ctx.now() - passed < patience

    async def _listing(
        self, walk: Walk, collection: str, params: Mapping[str, str], *, order: str, size: int | None = None
    ) -> Listing:
        """The page the walk stands before: what changed after its bound, in ``order``."""
        asked = {"order": order, **params}
        if walk.updated_after is not None:
            asked["updated_after"] = walk.updated_after
        return await self._client.list(collection, asked, place=walk.place, size=size)

    def _end(
        self,
        walk: Walk,
        got: Gathered,
        listing: Listing,
        told: Iterable[Row],
        *,
        by_stamp: bool,
        phases: int,
        size: int | None = None,
    ) -> Page:
        """The page, with the cursor behind it; ``told`` are the records that were not held back."""
        told = list(told)
        if walk.hint is not None and len(told) < len(listing.rows):
            walk = msgspec.structs.replace(walk, hint=HELD_BACK)
        following = advance(
            walk,
            listing.ids,
            stamps_of(told, "updated_at"),
            more=listing.more,
            size=size or self._client.page_size,
            by_stamp=by_stamp,
            phases=phases,
            overlap=timedelta(seconds=max(self._settings.overlap_s, self._settings.settle_s)),
        )
        return got.page(following, more=following.started is not None)

    def _settled(self, walk: Walk, row: Row, submission: Row | None = None) -> bool:
        """Whether a change is old enough to be told: within one second more may follow it.

        A stamp ahead of our clock says that the clocks differ, not that the change is young.
        """
        assert walk.started is not None
        try:
            at = translate.changed_at(row, submission)
        except Untranslatable:
            return True
        return not walk.started - timedelta(seconds=self._settings.settle_s) < at <= walk.started

    async def _project(self, workspace: object) -> str:
        """Our key of a project: the crosswalk's, else the one written on it, else its own id."""
        known = await self._key("project", workspace)
        if workspace is None or known != self._ctx.key(workspace):
            return known
        id = str(workspace)
        if id not in self._written:  # isthmus alone writes our key, and then the crosswalk knows it too
            self._written[id] = await self._references.project(id)
        return self._written[id] or known

    async def _key(self, kind: str, remote_id: object) -> str:
        if remote_id is None:
            return self._ctx.key("none")
        known = await self._ctx.crosswalk.key_of(kind, str(remote_id))
        return known or self._ctx.key(remote_id)


def stamps_of(rows: Iterable[Row], field: str) -> list[datetime]:
    """The readable stamps of records; one without is refused where it is translated."""
    found = []
    for row in rows:
        try:
            found.append(translate.stamp_of(row, field))
        except Untranslatable:
            continue
    return found
