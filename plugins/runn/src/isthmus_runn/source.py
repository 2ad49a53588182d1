"""What planners book: assignments that changed, and assignments that were deleted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from isthmus.events import BusinessEvent
from isthmus.sdk import Context, Fatal, Page, Refused, Rejected, Source
from isthmus_runn import translate
from isthmus_runn.client import Client
from isthmus_runn.settings import RunnSettings


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """A cursor. One sweep reads everything changed after ``since``, oldest change first.

    ``since`` moves on only when a sweep is done, to the newest stamp it saw: never to the clock, so that
    Runn's time and ours need not agree.
    """

    since: datetime | None = None
    high: datetime | None = None
    page: str | None = None
    """Runn's own cursor within the sweep."""
    tentative: list[int] | None = None
    """Projects that were not confirmed when the sweep began; None before the first one."""


class Site(msgspec.Struct, frozen=True):
    """As much of a project as its bookings need; kept for every project of the account."""

    confirmed: bool = False
    template: bool = False
    key: str | None = None
    changed_at: datetime | None = None


class Plan(Source):
    """Bookings of people on projects.

    Stream ``assignments`` gives ``assignment.changed``: one fact per segment, since Runn splits a booking
    around leave into records of their own; whoever wants the booking adds up the segments. Confirming a
    project changes its assignments without touching their stamps, so confirmations are looked for too.
    Stream ``removals`` gives ``assignment.ended`` from Runn's activity log.
    """

    streams = ("assignments", "removals")

    def __init__(self, client: Client, settings: RunnSettings, ctx: Context) -> None:
        self._client = client
        self._ctx = ctx
        self._reference = settings.reference_name
        self._overlap = timedelta(seconds=settings.overlap_s)
        self._projects: dict[int, Site] = {}
        self._projects_seen_to: datetime | None = None
        self._services: dict[int, str] = {}
        self._people: dict[int, str] = {}
        self._strangers: set[int] = set()

    async def pull(self, stream: str, cursor: bytes | None) -> Page:
        sweep = Sweep() if cursor is None else msgspec.json.decode(cursor, type=Sweep)
        read = self._assignments if stream == "assignments" else self._removals
        try:
            return await read(sweep)
        except Rejected as error:
            if sweep.page is None:
                raise Fatal(str(error), peer_words=error.peer_words) from error
            # Runn no longer knows its own cursor: begin the sweep again, the overlap drops what is known.
            return await read(msgspec.structs.replace(sweep, page=None))

    async def _assignments(self, sweep: Sweep) -> Page:
        events: list[BusinessEvent] = []
        refused: list[Refused] = []
        flipped: set[int] = set()
        if sweep.page is None:
            self._strangers.clear()
            tentative = await self._refresh_projects()
            if sweep.tentative is not None:
                flipped = tentative ^ set(sweep.tentative)
            sweep = msgspec.structs.replace(sweep, tentative=sorted(tentative), high=sweep.since)
        rows, following = await self._client.page(
            "assignments",
            {"sortBy": "updatedAt", "order": "asc", **self._after(sweep, "modifiedAfter")},
            sweep.page,
        )
        for row in rows:
            await self._translate(row, None, events, refused)
        for project_id in sorted(flipped):
            await self._confirmation(project_id, events, refused)
        return _page(sweep, _stamps(rows, "updatedAt"), following, events, refused)

    async def _removals(self, sweep: Sweep) -> Page:
        events: list[BusinessEvent] = []
        refused: list[Refused] = []
        params = {"eventType": "assignment_deleted", "orderBy": "asc", **self._after(sweep, "occurredAfter")}
        try:
            rows, following = await self._client.page("activity-log", params, sweep.page)
        except Rejected as error:
            if sweep.page is not None:
                raise
            raise Fatal(
                f'{error}; test accounts have no activity log: set read = ["assignments"] for this connector',
                peer_words=error.peer_words,
            ) from error
        for row in rows:
            if row.get("type") != "assignment_deleted":
                continue
            try:
                key = self._ctx.key(row["assignment"]["id"])
                events.append(
                    translate.assignment_ended(
                        row, source=self._ctx.instance, entity=self._ctx.entity, key=key
                    )
                )
            except (ValueError, KeyError, TypeError) as error:
                refused.append(_refused(error, f"/activity-log#{row.get('eventId')}", row))
        return _page(sweep, _stamps(rows, "timestamp"), following, events, refused)

    async def _confirmation(
        self, project_id: int, events: list[BusinessEvent], refused: list[Refused]
    ) -> None:
        """The assignments of a project that was confirmed, or no longer is."""
        changed_at = (await self._project(project_id)).changed_at
        async for row in self._client.every("assignments", {"projectId": project_id}):
            await self._translate(row, changed_at, events, refused)

    async def _translate(
        self,
        row: dict[str, Any],
        confirmed_at: datetime | None,
        events: list[BusinessEvent],
        refused: list[Refused],
    ) -> None:
        if row.get("isTemplate"):
            return
        try:
            project_id, person_id, role_id = (int(row[name]) for name in ("projectId", "personId", "roleId"))
            project = await self._project(project_id)
            events.append(
                translate.assignment_changed(
                    row,
                    source=self._ctx.instance,
                    entity=self._ctx.entity,
                    key=self._ctx.key(row["id"]),
                    resource=await self._resource_key(person_id, placeholder=bool(row.get("isPlaceholder"))),
                    project=await self._project_key(project_id, project),
                    service=await self._service(role_id),
                    confirmed=project.confirmed,
                    confirmed_at=confirmed_at,
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            refused.append(_refused(error, f"/assignments/{row.get('id')}", row))

    async def _refresh_projects(self) -> set[int]:
        """Read the projects that changed; returns the ids of all that are tentative."""
        seen_to = self._projects_seen_to
        params: dict[str, str | int] = {"includeArchived": "true", "sortBy": "updatedAt", "order": "asc"}
        if seen_to is not None:
            params["modifiedAfter"] = _vendor_time(seen_to - self._overlap)
        async for project in self._client.every("projects", params):
            site = self._projects[int(project["id"])] = self._site(project)
            seen_to = max((at for at in (seen_to, site.changed_at) if at is not None), default=None)
        self._projects_seen_to = seen_to
        return {
            project_id
            for project_id, site in self._projects.items()
            if not site.confirmed and not site.template
        }

    def _site(self, project: dict[str, Any]) -> Site:
        return Site(
            confirmed=bool(project.get("isConfirmed")),
            template=bool(project.get("isTemplate")),
            key=translate.reference_key(project.get("references"), self._reference),
            changed_at=max(_stamps([project], "updatedAt"), default=None),
        )

    async def _project(self, project_id: int) -> Site:
        """The project, read just now or since the last sweep; tentative and nameless when Runn has none."""
        if project_id not in self._projects:
            try:
                self._projects[project_id] = self._site(await self._client.get(f"projects/{project_id}"))
            except Rejected:
                return Site()
        return self._projects[project_id]

    async def _project_key(self, project_id: int, project: Site) -> str:
        key = project.key or await self._ctx.crosswalk.key_of("project", str(project_id))
        return key or self._ctx.key(project_id)

    async def _resource_key(self, person_id: int, *, placeholder: bool) -> str:
        """Our key of a person; a placeholder (a role to be filled) is nobody's but Runn's."""
        if placeholder:
            return self._ctx.key(person_id)
        key = await self._ctx.crosswalk.key_of("resource", str(person_id)) or self._people.get(person_id)
        if key is None and person_id not in self._strangers:
            try:
                person = await self._client.get(f"people/{person_id}")
            except Rejected:
                person = {}
            key = translate.reference_key(person.get("references"), self._reference)
            if key is None:
                self._strangers.add(person_id)
            else:
                self._people[person_id] = key
        return key or self._ctx.key(person_id)

    async def _service(self, role_id: int) -> str:
        """The service a role stands for: our reference on the role, else its name."""
        if role_id not in self._services:
            async for role in self._client.every("roles", {}):
                key = translate.reference_key(role.get("references"), self._reference)
                self._services[int(role["id"])] = key or str(role["name"])
        if role_id not in self._services:
            raise ValueError(f"roleId {role_id} is no role of the account; correct the assignment in Runn")
        return self._services[role_id]

    def _after(self, sweep: Sweep, name: str) -> dict[str, str]:
        return {} if sweep.since is None else {name: _vendor_time(sweep.since - self._overlap)}


def _vendor_time(moment: datetime) -> str:
    """``2026-10-05T09:30:00Z``: Runn's filters take whole seconds. Cutting the fraction off reads more."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _stamps(rows: list[dict[str, Any]], name: str) -> list[datetime]:
    """The readable stamps of a page; a record without one is refused where it is translated."""
    stamps: list[datetime] = []
    for row in rows:
        try:
            stamps.append(translate.instant(row.get(name)))
        except ValueError:
            continue
    return stamps


def _page(
    sweep: Sweep,
    stamps: list[datetime],
    following: str | None,
    events: list[BusinessEvent],
    refused: list[Refused],
) -> Page:
    high = max([*stamps, *([sweep.high] if sweep.high else [])], default=None)
    if following is None:
        after = msgspec.structs.replace(sweep, since=high, high=None, page=None)
    else:
        after = msgspec.structs.replace(sweep, high=high, page=following)
    return Page(events=events, refused=refused, next=msgspec.json.encode(after), more=following is not None)


def _refused(error: Exception, place: str, row: dict[str, Any]) -> Refused:
    reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
    return Refused(reason=reason, place=place, raw=msgspec.json.encode(row))
