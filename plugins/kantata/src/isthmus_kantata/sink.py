"""What Kantata takes: projects, their stage and milestones, and the state of their invoices.

Kantata has no idempotency keys. A project and a milestone carry our key as an external reference that
is made in the same call, so a lost answer is settled by looking the key up (class B). The state of an
invoice is an external reference itself, and those are upserts (class A). Kantata keeps one reference per
``service_name`` and record, so each invoice has a service name of its own.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.events import (
    BusinessEvent,
    ContractAmended,
    ContractSigned,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    PaymentReceived,
    ProjectCreated,
    ProjectStageChanged,
)
from isthmus.sdk import (
    Context,
    Delivery,
    DeliveryClass,
    Link,
    Receipt,
    Rejected,
    Sink,
    Unmet,
    Unsure,
)
from isthmus_kantata import translate
from isthmus_kantata.client import Client, Row
from isthmus_kantata.settings import KantataSettings

Signed = ContractSigned | ContractAmended
_LOOKED_UP = ("project.created", "contract.signed", "contract.amended")


class Provisioning(Sink):
    """Keeps projects, milestones and invoice states in Kantata as the other systems say they are."""

    accepts = frozenset(
        {
            "project.created",
            "project.stage_changed",
            "contract.signed",
            "contract.amended",
            "invoice.released",
            "invoice.voided",
            "payment.received",
        }
    )

    def __init__(self, client: Client, settings: KantataSettings, ctx: Context) -> None:
        self._client = client
        self._settings = settings
        self._ctx = ctx
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
            case InvoiceReleased() | InvoiceVoided() | PaymentReceived() as event:
                return await self._show_invoice(event)
            case event:
                raise Rejected(f"Kantata takes no {event.kind}; correct the route", reason="mapping")

    async def find(self, delivery: Delivery) -> Receipt | None:
        match delivery.event:
            case ProjectCreated() as event:
                return await self._find_project(event.project)
            case ContractSigned() | ContractAmended() as event:
                workspace = await self._workspace(event.project)
                stories = await self._milestones_of(workspace)
                terms = _terms(event)
                if any(
                    term.milestone not in stories
                    or not _same(stories[term.milestone].get("title"), term.title)
                    for term in terms
                ):
                    return None
                return _milestone_receipt(workspace, terms, stories)
            case _:
                return None

    # -- projects ---------------------------------------------------------------------------------------

    async def _create_project(self, event: ProjectCreated) -> Receipt:
        found = await self._find_project(event.project)
        if found is not None:
            return found
        body = translate.workspace_of(event, self._settings)
        row, listing = await self._client.write(
            "POST", "workspaces", "workspaces", body, include="external_references"
        )
        if not _same(row.get("title"), event.name):
            raise Unsure(f"creating project {event.project} was answered with another project, {row['id']}")
        references = listing.sides_of("external_references", row.get("external_reference_ids"))
        if not any(reference.get("service_model_ref") == event.project for reference in references):
            await self._refer("Workspace", row["id"], body["workspace"]["external_reference"])
        return _project_receipt(event.project, row["id"], "created")

    async def _find_project(self, project: str) -> Receipt | None:
        references = await self._references("Workspace", "Project", project)
        workspaces = sorted({str(reference["subject_id"]) for reference in references})
        if len(workspaces) > 1:
            raise Rejected(
                f"{len(workspaces)} projects carry {project}: {', '.join(workspaces)}; remove the reference "
                "from all but one",
                reason="duplicate",
            )
        return _project_receipt(project, workspaces[0], "found") if workspaces else None

    async def _move(self, event: ProjectStageChanged) -> Receipt:
        workspace = await self._workspace(event.project)
        key = translate.status_key_of(self._settings, event.stage)
        row, _ = await self._client.write(
            "PUT", f"workspaces/{workspace}", "workspaces", {"workspace": {"status_key": key}}
        )
        status = row.get("status") or {}
        if row["id"] != workspace or str(status.get("key")) != str(key):
            raise Unsure(f"project {workspace} was to get status {key} and has {status.get('key')}")
        return Receipt(remote_id=workspace, detail=f"status {key}")

    async def _workspace(self, project: str | None) -> str:
        """Kantata's id of a project.

        Raises:
            Unmet: the project is not there yet.
        """
        if project is None:
            raise Rejected("the fact names no project; Kantata has no other place for it", reason="mapping")
        workspace = await self._ctx.crosswalk.remote_id("project", project)
        if workspace is None:
            raise Unmet(f"project {project} is not in Kantata yet")
        return workspace

    # -- milestones -------------------------------------------------------------------------------------

    async def _ensure_milestones(self, event: Signed) -> Receipt:
        """One milestone per term; titles follow the contract, what a contract drops stays as it is."""
        workspace = await self._workspace(event.project)
        terms = _terms(event)
        stories = await self._milestones_of(workspace) if terms else {}
        for term in terms:
            story = stories.get(term.milestone)
            if story is None:
                stories[term.milestone] = await self._create_milestone(workspace, term)
            elif not _same(story.get("title"), term.title):
                stories[term.milestone] = await self._rename(story, term)
        return _milestone_receipt(workspace, terms, stories)

    async def _create_milestone(self, workspace: str, term: MilestoneTerm) -> Row:
        reference = {
            "service_name": self._settings.service_name,
            "service_model": "Milestone",
            "service_model_ref": term.milestone,
            "status": "successful",
        }
        body = {
            "story": {
                "workspace_id": int(workspace),
                "title": term.title,
                "story_type": "milestone",
                "external_reference": reference,
            }
        }
        row, listing = await self._client.write(
            "POST", "stories", "stories", body, include="external_references"
        )
        if not _same(row.get("title"), term.title) or row.get("story_type") != "milestone":
            raise Unsure(f"creating milestone {term.milestone} was answered with another story, {row['id']}")
        references = listing.sides_of("external_references", row.get("external_reference_ids"))
        if not any(kept.get("service_model_ref") == term.milestone for kept in references):
            await self._refer("Story", row["id"], reference)
        return row

    async def _rename(self, story: Row, term: MilestoneTerm) -> Row:
        row, _ = await self._client.write(
            "PUT", f"stories/{story['id']}", "stories", {"story": {"title": term.title}}
        )
        if row["id"] != story["id"] or not _same(row.get("title"), term.title):
            raise Unsure(
                f"milestone {story['id']} was to be named {term.title!r} and is {row.get('title')!r}"
            )
        return row

    async def _milestones_of(self, workspace: str) -> dict[str, Row]:
        """The milestones of a project that carry a key of ours, by that key."""
        found: dict[str, Row] = {}
        params = {
            "workspace_id": workspace,
            "story_type": "milestone",
            "include": "external_references",
            "show_archived": "true",
            "show_from_archived_workspaces": "true",
            "order": "created_at:asc",
        }
        async for listing in self._client.every("stories", params):
            for row in listing.rows:
                for reference in listing.sides_of("external_references", row.get("external_reference_ids")):
                    if reference.get("service_name") != self._settings.service_name:
                        continue
                    key = str(reference.get("service_model_ref"))
                    if key in found and found[key]["id"] != row["id"]:
                        raise Rejected(
                            f"milestones {found[key]['id']} and {row['id']} both carry {key}; remove one",
                            reason="duplicate",
                        )
                    found[key] = row
        return found

    # -- invoices ---------------------------------------------------------------------------------------

    async def _show_invoice(self, event: InvoiceReleased | InvoiceVoided | PaymentReceived) -> Receipt:
        """Write the invoice's state where the people of the project see it."""
        known = await self._references("Workspace", "Invoice", event.invoice)
        if event.project is None and known:
            workspace = str(known[0]["subject_id"])
        elif event.project is None and not isinstance(event, InvoiceReleased):
            raise Unmet(f"invoice {event.invoice} is not shown in Kantata yet")
        else:
            workspace = await self._workspace(event.project)
        before = next((row for row in known if str(row["subject_id"]) == workspace), None)
        status, message = translate.invoice_line(event, before.get("external_message") if before else None)
        kept = await self._refer(
            "Workspace",
            workspace,
            {
                "service_name": f"{self._settings.service_name}:{event.invoice}",
                "service_model": "Invoice",
                "service_model_ref": event.invoice,
                "status": "successful",
                "external_status": status,
                "external_message": message,
            },
        )
        link = Link(kind="invoice", key=event.invoice, remote_id=kept["id"])
        return Receipt(remote_id=kept["id"], detail=f"{status}: {message}", links=[link])

    # -- references -------------------------------------------------------------------------------------

    async def _references(self, subject_type: str, model: str, ref: str) -> list[Row]:
        """References of ours to one external object, oldest first."""
        found: list[Row] = []
        params = {
            "subject_type": subject_type,
            "service_model": model,
            "service_model_ref": ref,
            "order": "created_at:asc",
        }
        async for listing in self._client.every("external_references", params):
            found += [row for row in listing.rows if self._ours(row, model, ref)]
        return found

    def _ours(self, row: Row, model: str, ref: str) -> bool:
        """Whether Kantata kept to the filter: an unknown one it ignores, and answers with everything."""
        name = str(row.get("service_name"))
        return (
            (name == self._settings.service_name or name.startswith(f"{self._settings.service_name}:"))
            and row.get("service_model") == model
            and row.get("service_model_ref") == ref
        )

    async def _refer(self, subject_type: str, subject: str, fields: Mapping[str, Any]) -> Row:
        """Create or update a reference; returns it once it shows what was written."""
        sent = {
            **fields,
            "subject_type": subject_type,
            "subject_id": int(subject),
        }
        row, _ = await self._client.write(
            "POST",
            "external_references/create_or_update",
            "external_references",
            {"external_reference": sent},
        )
        for field, value in sent.items():
            if str(row.get(field)) != str(value):
                raise Unsure(
                    f"reference {row['id']} was to say {field} {value!r}, it says {row.get(field)!r}"
                )
        return row


def _same(theirs: object, ours: str) -> bool:
    """Whether a title is ours; blanks are Kantata's to trim."""
    return " ".join(str(theirs).split()) == " ".join(ours.split())


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
