"""What Kantata tells: people, approved time, approved expenses, milestones, project stages.

Approving a timesheet need not touch the stamps of its entries. Time and expenses are therefore read
twice in a pass: the records that changed, and the records of the submissions that changed.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Link, Page, Source
from isthmus_kantata import translate
from isthmus_kantata.allocations import Allocations
from isthmus_kantata.client import Client, Listing, Row
from isthmus_kantata.deletions import Deletions
from isthmus_kantata.paging import Place
from isthmus_kantata.reading import Gathered, Reader
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.walk import People, Walk, read


class _Kind(NamedTuple):
    """What differs between time and expenses on the wire."""

    collection: str
    submissions: str
    of_submissions: str
    """The filter that takes submission ids, rejected and cancelled ones included."""
    include: str
    order: str
    by_stamp: bool
    link: str
    needs_approval: str


_TIME = _Kind(
    collection="time_entries",
    submissions="timesheet_submissions",
    of_submissions="with_recent_timesheet_ids",
    include="recent_submission,role,story,user,workspace",
    order="updated_at:asc",
    by_stamp=True,
    link="time",
    needs_approval="require_time_approvals",
)
_EXPENSE = _Kind(
    collection="expenses",
    submissions="expense_report_submissions",
    of_submissions="with_recent_expense_report_ids",
    include="recent_submission,user,workspace",
    order="created_at:asc",
    by_stamp=False,
    link="expense",
    needs_approval="require_expense_approvals",
)


class Approvals(Reader, Source):
    """Everything this connector reads, stream by stream."""

    streams = (
        "users",
        "time_entries",
        "expenses",
        "milestones",
        "projects",
        "allocations",
        "allocation_removals",
        "deletions",
    )

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        super().__init__(client, settings, ctx)
        self._own_user: str | None = None
        allocations = Allocations(client, settings, ctx)
        self._pulls: dict[str, Callable[[bytes | None], Awaitable[Page]]] = {
            "users": self._users,
            "time_entries": lambda cursor: self._lines("time_entries", _TIME, cursor),
            "expenses": lambda cursor: self._lines("expenses", _EXPENSE, cursor),
            "milestones": self._milestones,
            "projects": self._projects,
            "allocations": allocations.changes,
            "allocation_removals": allocations.removals,
            "deletions": Deletions(client, settings, ctx).pull,
        }

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        return await self._pulls[stream](cursor)

    # -- users ------------------------------------------------------------------------------------------

    async def _users(self, cursor: bytes | None) -> Page:
        """All people, a page at a time; Kantata cannot say who changed, so the cursor remembers."""
        people = read(cursor, People) if cursor is not None else People()
        if people.place == Place() and self._hints is not None:
            hint = await self._hints.newest("users")
            if cursor is not None and hint is not None and hint == people.hint and self._fresh(people.passed):
                return Page(events=[], next=cursor)
            people = msgspec.structs.replace(people, hint=hint, passed=self._ctx.now())
        listing = await self._client.list(
            "users",
            {"on_my_account": "true", "include": "role", "order": "alphabetical:asc"},
            place=people.place,
        )
        told = dict(people.told)
        got = Gathered()
        for row in listing.rows:
            role = listing.side("roles", row.get("role_id"))
            if role is None and self._settings.people == "with_role" and row["id"] not in told:
                continue
            digest = translate.digest_of(row, role)
            before, revision = told.get(row["id"], ("", 0))
            if digest == before:
                continue
            key = self._ctx.key(row["id"])
            try:
                fact = translate.resource_fact(
                    self._teller, row, role, resource=key, revision=revision + 1, seen_at=self._ctx.now()
                )
            except ValueError as error:
                got.refuse(error, f"users/{row['id']}", row)
                continue
            told[row["id"]] = (digest, revision + 1)
            got.events.append(fact)
            got.links.append(Link(kind="resource", key=key, remote_id=row["id"]))
        place = people.place.following(listing.ids, size=self._client.page_size, more=listing.more)
        following = msgspec.structs.replace(people, told=told, place=place or Place())
        return got.page(following, more=place is not None)

    # -- time and expenses ------------------------------------------------------------------------------

    async def _lines(self, stream: str, kind: _Kind, cursor: bytes | None) -> Page:
        walk = await self._begin(stream, cursor)
        if walk is None:
            return Page(events=[], next=cursor or b"")
        # The first pass reads every record, each with its submission; it need not look at submissions.
        phases = 1 if walk.resume is None else 2
        got = Gathered()
        if walk.phase > 0:
            return await self._submitted(kind, walk, got, phases)
        params = {"include": kind.include, "from_archived_workspaces": "true"}
        listing = await self._listing(walk, kind.collection, params, order=kind.order)
        told = [row for row in listing.rows if self._settled(walk, row, _submission(kind, listing, row))]
        await self._tell(kind, listing, told, got)
        return self._end(walk, got, listing, told, by_stamp=kind.by_stamp, phases=phases)

    async def _submitted(self, kind: _Kind, walk: Walk, got: Gathered, phases: int) -> Page:
        """The records of a page of changed submissions; the page is small, its records are many."""
        size = max(2, self._client.page_size // 8)
        params = {"include": "workspace"}
        submissions = await self._listing(walk, kind.submissions, params, order="date:asc", size=size)
        told = [row for row in submissions.rows if self._settled(walk, row)]
        lines = {"from_archived_workspaces": "true", "include": kind.include, "order": "created_at:asc"}
        ids = [row["id"] for row in told]
        async for listing in self._client.named(kind.collection, kind.of_submissions, ids, lines):
            # A filter Kantata does not know it ignores, and answers with everything.
            of_these = [row for row in listing.rows if row.get("recent_submission_id") in ids]
            await self._tell(kind, listing, of_these, got)
        return self._end(walk, got, submissions, told, by_stamp=False, phases=phases, size=size)

    async def _tell(self, kind: _Kind, listing: Listing, rows: Iterable[Row], got: Gathered) -> None:
        """Translate records of one page; what has no canonical form is refused, one by one."""
        for row in rows:
            submission = _submission(kind, listing, row)
            workspace = listing.side("workspaces", row.get("workspace_id"))
            requires = bool((workspace or {}).get(kind.needs_approval, True))
            key = self._ctx.key(row["id"])
            project = await self._project(row.get("workspace_id"))
            resource = await self._key("resource", row.get("user_id"))
            # Handed in again before we saw that the approval was taken back: what was told no longer holds.
            told = (
                submission is not None
                and submission.get("status") not in translate.DECIDED
                and await self._ctx.crosswalk.key_of(kind.link, row["id"]) is not None
            )
            fact: BusinessEvent | None
            try:
                if kind is _TIME:
                    fact = translate.time_fact(
                        self._teller,
                        row,
                        submission,
                        requires_approval=requires,
                        told=told,
                        entry=key,
                        project=project,
                        resource=resource,
                        role=listing.side("roles", row.get("role_id")),
                        story=listing.side("stories", row.get("story_id")),
                    )
                else:
                    fact = translate.expense_fact(
                        self._teller,
                        row,
                        submission,
                        requires_approval=requires,
                        told=told,
                        expense=key,
                        project=project,
                        resource=resource,
                    )
            except ValueError as error:
                got.refuse(error, f"{kind.collection}/{row['id']}", row)
                continue
            if fact is not None:
                got.events.append(fact)
                got.links.append(Link(kind=kind.link, key=key, remote_id=row["id"]))

    # -- milestones and projects ------------------------------------------------------------------------

    async def _milestones(self, cursor: bytes | None) -> Page:
        """Milestones that changed, each with its whole audit trail."""
        walk = await self._begin("milestones", cursor)
        if walk is None:
            return Page(events=[], next=cursor or b"")
        got = Gathered()
        hidden = {"show_archived": "true", "show_from_archived_workspaces": "true"}
        params = {"story_type": "milestone", "include": "workspace", **hidden}
        listing = await self._listing(walk, "stories", params, order="updated_at:asc")
        told = [row for row in listing.rows if self._settled(walk, row)]
        ids = [row["id"] for row in told]
        include = {"include": "story_state_changes,external_references,workspace", **hidden}
        async for trails in self._client.named("stories", "only", ids, include):
            for row in trails.rows:
                changes = trails.sides_of("story_state_changes", row.get("story_state_change_ids"))
                project = await self._project(row.get("workspace_id"))
                milestone = await self._milestone_key(trails, row)
                try:
                    got.events += translate.milestone_facts(
                        self._teller, changes, milestone=milestone, project=project
                    )
                except ValueError as error:
                    got.refuse(error, f"stories/{row['id']}", row)
        return self._end(walk, got, listing, told, by_stamp=True, phases=1)

    async def _milestone_key(self, listing: Listing, row: Row) -> str:
        """Our key of a milestone: the crosswalk's, else the one written on it, else its own id."""
        known = await self._ctx.crosswalk.key_of("milestone", row["id"])
        if known is not None:
            return known
        return self._references.carried(listing, row, "Milestone") or self._ctx.key(row["id"])

    async def _projects(self, cursor: bytes | None) -> Page:
        """Projects that changed, each with the changes of its status."""
        walk = await self._begin("projects", cursor)
        if walk is None:
            return Page(events=[], next=cursor or b"")
        got = Gathered()
        params = {"include_archived": "true"}
        listing = await self._listing(walk, "workspaces", params, order="updated_at:asc")
        told = [row for row in listing.rows if self._settled(walk, row)]
        for row in told:
            project = await self._project(row["id"])
            changes: list[Row] = []
            trail = {"workspace_id": row["id"], "order": "created_at:asc", "include": "user"}
            async for part in self._client.every("workspace_status_changes", trail):
                changes += part.rows
            try:
                got.events += translate.stage_facts(
                    self._teller, changes, project=project, own_user=await self._me()
                )
            except ValueError as error:
                got.refuse(error, f"workspaces/{row['id']}", row)
        return self._end(walk, got, listing, told, by_stamp=True, phases=1)

    async def _me(self) -> str:
        if self._own_user is None:
            me, _ = await self._client.me()
            self._own_user = str(me["id"])
        return self._own_user


def _submission(kind: _Kind, listing: Listing, row: Row) -> Row | None:
    return listing.side(kind.submissions, row.get("recent_submission_id"))
