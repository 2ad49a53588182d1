"""Whether Kantata's event feed has news, so that a short poll need not read everything each time.

The feed is an add-on, keeps nine days, comes late, out of order and twice. It is therefore never the truth:
a hint only says that a pass is worth its calls now, and a whole pass is made every ``full_pass_s`` anyhow.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from isthmus.sdk import Context, Fatal, Retryable
from isthmus_kantata.client import Client, Row

SUBJECTS: Mapping[str, Sequence[str]] = {
    "users": ("User", "AccountMembership"),
    "time_entries": ("TimeEntry", "TimesheetSubmission"),
    "expenses": ("Expense", "ExpenseReportSubmission"),
    "milestones": ("Story",),
    "projects": ("Workspace",),
    "allocations": ("WorkspaceAllocation",),
}
"""What the feed calls the subjects of each stream."""


class Hints:
    """Asks for the newest event of a stream's subjects: one small call for each subject type."""

    def __init__(self, client: Client, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx
        self._refused = False

    async def deleted(self, after: datetime | None) -> list[Row]:
        """The deletions of entries and expenses the feed tells after an instant; none without a feed.

        Raises:
            Retryable, Throttled: no answer; ask again.
        """
        if self._refused:
            return []
        params = {"event_types": "time_entry:deleted,expense:deleted", "order": "created_at:asc"}
        if after is not None:
            params["created_after"] = after.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        found: list[Row] = []
        try:
            async for listing in self._client.every("subscribed_events", params):
                found += [row for row in listing.rows if str(row.get("event_type")).endswith(":deleted")]
        except Fatal as error:
            self._refuse(error)
        return found

    def _refuse(self, error: Fatal) -> None:
        self._refused = True
        self._ctx.log.warning("hints.refused", extra={"reason": str(error)})

    async def newest(self, stream: str) -> str | None:
        """A word for the newest events of a stream: another word, another event. None without a feed.

        Raises:
            Throttled: the connector rests.
        """
        if self._refused:
            return None
        found = []
        for subject in SUBJECTS[stream]:
            params = {"subject_type": subject, "order": "created_at:desc"}
            try:
                listing = await self._client.list("subscribed_events", params, size=2)
            except Fatal as error:
                self._refused = True
                # Every poll reads whole from now on.
                self._ctx.log.warning("hints.refused", extra={"reason": str(error)})
                return None
            except Retryable:
                return None
            found.append(listing.ids[0] if listing.ids else "-")
        return ",".join(found)
