"""Entries and expenses that were deleted after we told of them.

Kantata deletes hard: the record is gone from every list, and only the event feed says so. The feed is no
truth, so each deletion it tells is looked up by its id first; and it forgets after nine days, so what it
never told is left to reconciliation.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from isthmus.sdk import Page
from isthmus_kantata import translate
from isthmus_kantata.client import Row
from isthmus_kantata.reading import Gathered, Reader, stamps_of
from isthmus_kantata.walk import read

LATE = timedelta(hours=1)
"""Events are generated late and out of order: so far back each look reaches."""
_KINDS: Mapping[str, tuple[str, str]] = {
    "TimeEntry": ("time", "time_entries"),
    "Expense": ("expense", "expenses"),
}
"""Crosswalk kind and collection of what is watched, by the feed's word for it."""


class Feed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The cursor: the newest event seen."""

    seen: datetime | None = None


class Deletions(Reader):
    """The stream of what is gone."""

    async def pull(self, cursor: bytes | None) -> Page:
        """Everything the feed tells since the last look; nothing where the feed is not read."""
        feed = read(cursor, Feed) if cursor is not None else Feed()
        got = Gathered()
        if self._hints is None:
            return got.page(feed, more=False)
        events = await self._hints.deleted(None if feed.seen is None else feed.seen - LATE)
        for subject in _KINDS:
            await self._tell(subject, [e for e in events if e.get("subject_type") == subject], got)
        stamps = stamps_of(events, "created_at")
        seen = max([*stamps, *([feed.seen] if feed.seen else [])], default=None)
        return got.page(Feed(seen=seen), more=False)

    async def _tell(self, subject: str, events: list[Row], got: Gathered) -> None:
        """What we once told of, and what is really gone."""
        kind, collection = _KINDS[subject]
        told: dict[str, Row] = {}
        for event in events:
            id = str(event.get("subject_id"))
            if await self._ctx.crosswalk.key_of(kind, id) is not None:
                told[id] = event
        there: set[str] = set()
        hidden = {"from_archived_workspaces": "true", "order": "created_at:asc"}
        async for listing in self._client.named(collection, "only", list(told), hidden):
            there.update(listing.ids)
        for id in told.keys() - there:
            event = told[id]
            try:
                gone_at = translate.stamp_of(event, "subject_changed_at")
            except ValueError as error:
                got.refuse(error, f"subscribed_events/{event['id']}", event)
                continue
            project = await self._project(event.get("context_workspace_id"))
            got.events.append(
                translate.deleted(self._teller, kind, key=self._ctx.key(id), project=project, gone_at=gone_at)
            )
