"""Whether Kantata's event feed has news, so that a short poll need not read everything each time.

The feed is an add-on, keeps nine days, comes late, out of order and twice. It is therefore never the truth:
a hint only says that a pass is worth its calls now, and a whole pass is made every ``full_pass_s`` anyhow.
"""

from collections.abc import Mapping, Sequence

from isthmus.sdk import Context, Fatal, Retryable
from isthmus_kantata.client import Client

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
