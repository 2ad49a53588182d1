"""What Kantata tells: people, approved time, approved expenses, milestones, project stages.

Approving a timesheet need not touch the stamps of its entries. Time and expenses are therefore read
twice in a pass: the records that changed, and the records of the submissions that changed.
"""

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, time, timedelta
from typing import NamedTuple

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Link, Page, Refused, Source
from isthmus_kantata import translate
from isthmus_kantata.client import Client, Listing, Row
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.translate import Teller, Untranslatable
from isthmus_kantata.walk import Walk, advance, begin, read_people, read_walk


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


class _Gathered:
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


class Approvals(Source):
    """Everything this connector reads, stream by stream."""

    streams = ("users", "time_entries", "expenses", "milestones", "projects")

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._teller = Teller(source=ctx.instance, entity=ctx.entity, settings=settings)
        self._own_user: str | None = None
        self._pulls: dict[str, Callable[[bytes | None], Awaitable[Page]]] = {
            "users": self._users,
            "time_entries": lambda cursor: self._lines(_TIME, cursor),
            "expenses": lambda cursor: self._lines(_EXPENSE, cursor),
            "milestones": self._milestones,
            "projects": self._projects,
        }

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        return await self._pulls[stream](cursor)

    # -- users ------------------------------------------------------------------------------------------

    async def _users(self, cursor: bytes | None) -> Page:
        """All people, a page at a time; Kantata cannot say who changed, so the cursor remembers."""
        people = read_people(cursor)
        listing = await self._client.list(
            "users",
            {"on_my_account": "true", "include": "role", "order": "alphabetical:asc"},
            page=people.page,
        )
        told = dict(people.told)
        got = _Gathered()
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
        following = msgspec.structs.replace(people, told=told, page=people.page + 1 if listing.more else 1)
        return got.page(following, more=listing.more)

    # -- time and expenses ------------------------------------------------------------------------------

    async def _lines(self, kind: _Kind, cursor: bytes | None) -> Page:
        walk = self._begin(cursor)
        # The first pass reads every record, each with its submission; it need not look at submissions.
        phases = 1 if walk.resume is None else 2
        got = _Gathered()
        if walk.phase == 0:
            params = {**self._since(walk, kind.order, kind.include), "from_archived_workspaces": "true"}
            listing = await self._client.list(kind.collection, params, page=walk.page)
            told = [row for row in listing.rows if self._settled(walk, row, _submission(kind, listing, row))]
            await self._tell(kind, listing, told, got)
            by_stamp, stamps = kind.by_stamp, _stamps(told)
        else:
            listing, stamps = await self._submitted(kind, walk, got)
            by_stamp = False
        return self._end(walk, got, listing, stamps, by_stamp=by_stamp, phases=phases)

    async def _submitted(self, kind: _Kind, walk: Walk, got: _Gathered) -> tuple[Listing, list[datetime]]:
        """The records of a page of changed submissions; the page is small, its records are many."""
        submissions = await self._client.list(
            kind.submissions,
            self._since(walk, "date:asc", "workspace"),
            page=walk.page,
            per_page=max(1, self._settings.page_size // 8),
        )
        told = [row for row in submissions.rows if self._settled(walk, row, None)]
        if told:
            ids = ",".join(row["id"] for row in told)
            params = {
                kind.of_submissions: ids,
                "from_archived_workspaces": "true",
                "include": kind.include,
                "order": "created_at:asc",
            }
            async for listing in self._client.every(kind.collection, params):
                await self._tell(kind, listing, listing.rows, got)
        return submissions, _stamps(told)

    async def _tell(self, kind: _Kind, listing: Listing, rows: Iterable[Row], got: _Gathered) -> None:
        """Translate records of one page; what has no canonical form is refused, one by one."""
        for row in rows:
            submission = _submission(kind, listing, row)
            workspace = listing.side("workspaces", row.get("workspace_id"))
            requires = bool((workspace or {}).get(kind.needs_approval, True))
            key = self._ctx.key(row["id"])
            project = await self._key("project", row.get("workspace_id"))
            resource = await self._key("resource", row.get("user_id"))
            fact: BusinessEvent | None
            try:
                if kind is _TIME:
                    fact = translate.time_fact(
                        self._teller,
                        row,
                        submission,
                        requires_approval=requires,
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
        walk = self._begin(cursor)
        got = _Gathered()
        params = {
            **self._since(walk, "updated_at:asc", "workspace"),
            "story_type": "milestone",
            "show_archived": "true",
            "show_from_archived_workspaces": "true",
        }
        listing = await self._client.list("stories", params, page=walk.page)
        told = [row for row in listing.rows if self._settled(walk, row, None)]
        if told:
            trails = await self._client.list(
                "stories",
                {
                    "only": ",".join(row["id"] for row in told),
                    "include": "story_state_changes,external_references,workspace",
                    "show_archived": "true",
                    "show_from_archived_workspaces": "true",
                },
            )
            for row in trails.rows:
                changes = trails.sides_of("story_state_changes", row.get("story_state_change_ids"))
                project = await self._key("project", row.get("workspace_id"))
                milestone = await self._milestone_key(trails, row)
                try:
                    got.events += translate.milestone_facts(
                        self._teller, changes, milestone=milestone, project=project
                    )
                except ValueError as error:
                    got.refuse(error, f"stories/{row['id']}", row)
        return self._end(walk, got, listing, _stamps(told), by_stamp=True, phases=1)

    async def _milestone_key(self, listing: Listing, row: Row) -> str:
        """Our key of a milestone: the crosswalk's, else the one written on it, else its own id."""
        known = await self._ctx.crosswalk.key_of("milestone", row["id"])
        if known is not None:
            return known
        for reference in listing.sides_of("external_references", row.get("external_reference_ids")):
            if (reference.get("service_name"), reference.get("service_model")) == (
                self._settings.service_name,
                "Milestone",
            ):
                return str(reference["service_model_ref"])
        return self._ctx.key(row["id"])

    async def _projects(self, cursor: bytes | None) -> Page:
        """Projects that changed, each with the changes of its status."""
        walk = self._begin(cursor)
        got = _Gathered()
        params = {**self._since(walk, "updated_at:asc", ""), "include_archived": "true"}
        listing = await self._client.list("workspaces", params, page=walk.page)
        told = [row for row in listing.rows if self._settled(walk, row, None)]
        for row in told:
            project = await self._key("project", row["id"])
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
        return self._end(walk, got, listing, _stamps(told), by_stamp=True, phases=1)

    # -- shared -----------------------------------------------------------------------------------------

    def _begin(self, cursor: bytes | None) -> Walk:
        day = self._settings.read_from
        start = datetime.combine(day, time(), tzinfo=UTC) if day else None
        return begin(read_walk(cursor, start), self._ctx.now())

    def _end(
        self,
        walk: Walk,
        got: _Gathered,
        listing: Listing,
        stamps: list[datetime],
        *,
        by_stamp: bool,
        phases: int,
    ) -> Page:
        overlap = timedelta(seconds=max(self._settings.overlap_s, self._settings.settle_s))
        following = advance(
            walk, stamps, full=listing.more, by_stamp=by_stamp, phases=phases, overlap=overlap
        )
        return got.page(following, more=following.started is not None)

    def _since(self, walk: Walk, order: str, include: str) -> dict[str, str]:
        params = {"order": order}
        if include:
            params["include"] = include
        if walk.updated_after is not None:
            params["updated_after"] = walk.updated_after
        return params

    def _settled(self, walk: Walk, row: Row, submission: Row | None) -> bool:
        """Whether a change is old enough to be told: within one second more may follow it.

        A stamp ahead of our clock says that the clocks differ, not that the change is young.
        """
        assert walk.started is not None
        try:
            at = translate.changed_at(row, submission)
        except Untranslatable:
            return True
        return not walk.started - timedelta(seconds=self._settings.settle_s) < at <= walk.started

    async def _key(self, kind: str, remote_id: object) -> str:
        if remote_id is None:
            return self._ctx.key("none")
        known = await self._ctx.crosswalk.key_of(kind, str(remote_id))
        return known or self._ctx.key(remote_id)

    async def _me(self) -> str:
        if self._own_user is None:
            me, _ = await self._client.me()
            self._own_user = str(me["id"])
        return self._own_user


def _submission(kind: _Kind, listing: Listing, row: Row) -> Row | None:
    return listing.side(kind.submissions, row.get("recent_submission_id"))


def _stamps(rows: Iterable[Row]) -> list[datetime]:
    """When each record changed; one without a readable stamp is refused elsewhere."""
    found = []
    for row in rows:
        try:
            found.append(translate.stamp_of(row, "updated_at"))
        except Untranslatable:
            continue
    return found
