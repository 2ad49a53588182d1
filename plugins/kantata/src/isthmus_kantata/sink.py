"""What Kantata takes: projects, their stage, milestones and billing schedule, and where the money stands.

Kantata has no idempotency keys. A project, a milestone and a billing milestone carry our key as an external
reference that is made in the same call, so a lost answer is settled by looking the key up (class B). What is
only shown, the state of an invoice or of an hour, is an external reference itself, and those are upserts
(class A).
"""

from collections.abc import Mapping

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
    ContractAmended,
    ContractSigned,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    PaymentReceived,
    ProjectCreated,
    ProjectStageChanged,
    ScheduleRevised,
)
from isthmus.sdk import (
    Context,
    Delivery,
    DeliveryClass,
    Link,
    Receipt,
    Rejected,
    Sink,
    Unsure,
)
from isthmus_kantata import outward
from isthmus_kantata.client import Client, Row
from isthmus_kantata.references import References, one_each
from isthmus_kantata.schedule import Schedules
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.status import Statuses

Signed = ContractSigned | ContractAmended
_LOOKED_UP = ("project.created", "contract.signed", "contract.amended", "schedule.revised")


class Provisioning(Sink):
    """Keeps projects, milestones and what is shown on them as the other systems say they are."""

    accepts = frozenset(
        {
            "project.created",
            "project.stage_changed",
            "contract.signed",
            "contract.amended",
            "schedule.revised",
            "charge.determined",
            "charge.held",
            "charge.released",
            "charge.waived",
            "charge.posted",
            "invoice.released",
            "invoice.voided",
            "payment.received",
        }
    )

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
        self._references = References(client, ctx, settings.service_name)
        self._statuses = Statuses(ctx, self._references)
        self._schedules = Schedules(client, ctx, self._references)
        self.concurrency = settings.concurrency
        self.worst_commit_s = settings.worst_commit_s

    def delivery_class(self, event: BusinessEvent) -> DeliveryClass:
        return DeliveryClass.B if event.kind in _LOOKED_UP else DeliveryClass.A

    async def deliver(self, delivery: Delivery) -> Receipt:
        match delivery.event:
            case ProjectCreated() as event:
                return await self._create_project(event)
            case ProjectStageChanged() as event:
                return await self._move(event)
            case ContractSigned() | ContractAmended() as event:
                return await self._ensure_milestones(event)
            case ScheduleRevised() as event:
                return await self._schedule(event)
            case ChargeDetermined() | ChargeWaived() | ChargeHeld() | ChargeReleased() as event:
                return await self._statuses.judged(event)
            case ChargePosted() as event:
                return await self._statuses.posted(event)
            case InvoiceReleased() | InvoiceVoided() | PaymentReceived() as event:
                workspace = await self._workspace(event.project) if event.project is not None else None
                return await self._statuses.invoice(event, workspace)
            case event:
                raise Rejected(f"Kantata takes no {event.kind}; correct the route", reason="mapping")

    async def find(self, delivery: Delivery) -> Receipt | None:
        match delivery.event:
            case ProjectCreated() as event:
                return await self._find_project(event.project)
            case ContractSigned() | ContractAmended() as event:
                workspace = await self._workspace(event.project)
                terms = _terms(event)
                stories = await self._milestones_of(workspace, terms)
                if any(
                    term.milestone not in stories or _differs(stories[term.milestone], term) for term in terms
                ):
                    return None
                return _milestone_receipt(workspace, terms, stories)
            case ScheduleRevised() as event:
                return await self._schedules.shown(event, await self._workspace(event.project))
            case _:
                return None

    # -- projects ---------------------------------------------------------------------------------------

    async def _create_project(self, event: ProjectCreated) -> Receipt:
        found = await self._find_project(event.project)
        if found is not None:
            return found
        body = outward.workspace_of(event, self._settings)
        row, listing = await self._client.write(
            "POST", "workspaces", "workspaces", body, include="external_references"
        )
        if not _same(row.get("title"), event.name):
            raise Unsure(f"creating project {event.project} was answered with another project, {row['id']}")
        if self._references.carried(listing, row, "Project") != event.project:
            await self._references.keep("Workspace", row["id"], body["workspace"]["external_reference"])
        return _project_receipt(event.project, row["id"], "created")

    async def _find_project(self, project: str) -> Receipt | None:
        workspace = await self._references.bearer(project)
        return None if workspace is None else _project_receipt(project, workspace, "found")

    async def _move(self, event: ProjectStageChanged) -> Receipt:
        workspace = await self._workspace(event.project)
        key = outward.status_key_of(self._settings, event.stage)
        row, _ = await self._client.write(
            "PUT", f"workspaces/{workspace}", "workspaces", {"workspace": {"status_key": key}}
        )
        status = row.get("status") or {}
        if row["id"] != workspace or str(status.get("key")) != str(key):
            raise Unsure(f"project {workspace} was to get status {key} and has {status.get('key')}")
        return Receipt(remote_id=workspace, detail=f"status {key}")

    async def _workspace(self, project: str | None) -> str:
        """Kantata's id of the project a fact names.

        Raises:
            Unmet: the project is not there yet.
        """
        if project is None:
            raise Rejected("the fact names no project; Kantata has no other place for it", reason="mapping")
        return await self._references.workspace(project)

    # -- milestones and their schedule ------------------------------------------------------------------

    async def _ensure_milestones(self, event: Signed) -> Receipt:
        """One milestone per term; titles and days follow the contract, what it drops stays as it is."""
        workspace = await self._workspace(event.project)
        terms = _terms(event)
        stories = await self._milestones_of(workspace, terms)
        for term in terms:
            story = stories.get(term.milestone)
            if story is None:
                stories[term.milestone] = await self._create_milestone(workspace, term)
            elif _differs(story, term):
                stories[term.milestone] = await self._change_milestone(story, term)
        return _milestone_receipt(workspace, terms, stories)

    async def _create_milestone(self, workspace: str, term: MilestoneTerm) -> Row:
        reference = self._references.new("Milestone", term.milestone)
        story = {
            "workspace_id": int(workspace),
            "story_type": "milestone",
            **outward.milestone_of(term),
            "external_reference": reference,
        }
        row, listing = await self._client.write(
            "POST", "stories", "stories", {"story": story}, include="external_references"
        )
        if _differs(row, term) or row.get("story_type") != "milestone":
            raise Unsure(f"creating milestone {term.milestone} was answered with another story, {row['id']}")
        if self._references.carried(listing, row, "Milestone") != term.milestone:
            await self._references.keep("Story", row["id"], reference)
        return row

    async def _change_milestone(self, story: Row, term: MilestoneTerm) -> Row:
        row, _ = await self._client.write(
            "PUT", f"stories/{story['id']}", "stories", {"story": outward.milestone_of(term)}
        )
        if row["id"] != story["id"] or _differs(row, term):
            raise Unsure(
                f"milestone {story['id']} was to be {term.title!r} and is {row.get('title')!r}, "
                f"due {row.get('due_date')}"
            )
        return row

    async def _milestones_of(self, workspace: str, terms: list[MilestoneTerm]) -> dict[str, Row]:
        """The milestones of a project that carry the keys of these terms, by key."""
        keys = [term.milestone for term in terms]
        found: dict[str, Row] = {}
        params = {
            "workspace_id": workspace,
            "story_type": "milestone",
            "include": "external_references",
            "show_archived": "true",
            "show_from_archived_workspaces": "true",
            "order": "created_at:asc",
        }
        by_ref = "external_reference_service_model_refs"
        async for listing in self._client.named("stories", by_ref, keys, params):
            for row in listing.rows:
                key = self._references.carried(listing, row, "Milestone")
                if key in keys:
                    one_each(found, str(key), row, "milestones")
        return found

    async def _schedule(self, event: ScheduleRevised) -> Receipt:
        if not self._settings.billing_milestones:
            raise Rejected(
                "billing_milestones is off; switch it on, or take schedule.revised out of the route",
                reason="mapping",
            )
        return await self._schedules.show(event, await self._workspace(event.project))


def _same(theirs: object, ours: str) -> bool:
    """Whether a title is ours; blanks are Kantata's to trim."""
    return " ".join(str(theirs).split()) == " ".join(ours.split())


def _differs(story: Row, term: MilestoneTerm) -> bool:
    """Whether a milestone does not say what the contract says; without a planned day its day is theirs."""
    planned = term.planned_on
    return not _same(story.get("title"), term.title) or (
        planned is not None and story.get("due_date") != planned.isoformat()
    )


def _terms(event: Signed) -> list[MilestoneTerm]:
    return [term for line in event.lines if isinstance(line, Milestones) for term in line.milestones]


def _project_receipt(project: str, workspace: str, detail: str) -> Receipt:
    link = Link(kind="project", key=project, remote_id=workspace)
    return Receipt(remote_id=workspace, detail=detail, links=[link])


def _milestone_receipt(workspace: str, terms: list[MilestoneTerm], stories: Mapping[str, Row]) -> Receipt:
    """Named after the stories; a contract without milestones is held by the project alone."""
    links = [
        Link(kind="milestone", key=term.milestone, remote_id=stories[term.milestone]["id"]) for term in terms
    ]
    ids = [link.remote_id for link in links]
    return Receipt(
        remote_id=",".join(ids) or workspace,
        detail=f"{len(ids)} milestones on project {workspace}",
        links=links,
    )
