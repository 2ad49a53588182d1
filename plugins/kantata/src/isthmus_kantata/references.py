"""External references: our key on a Kantata record, and the state of its sync, where people see it.

``external_references/create_or_update`` is an upsert: one reference per ``service_name`` and record. So a
reference is class A, and what needs a place of its own on a record takes a service name of its own.
"""

from collections.abc import Mapping
from typing import Any

from isthmus.sdk import Context, Rejected, Unmet, Unsure
from isthmus_kantata.client import Client, Listing, Row


class References:
    """The references this instance keeps."""

    def __init__(self, client: Client, ctx: Context, service_name: str) -> None:
        self._client = client
        self._ctx = ctx
        self.service_name = service_name

    async def workspace(self, project: str) -> str:
        """Kantata's id of a project: the crosswalk's, else that of the one that carries our key.

        Raises:
            Unmet: the project is not there yet.
        """
        known = await self._ctx.crosswalk.remote_id("project", project)
        known = known or await self.bearer(project)
        if known is None:
            raise Unmet(f"project {project} is not in Kantata yet")
        return known

    async def bearer(self, project: str) -> str | None:
        """The project that carries our key.

        Raises:
            Rejected: more than one does.
        """
        found = await self.to("Workspace", "Project", project)
        ids = sorted({str(reference["subject_id"]) for reference in found})
        if len(ids) > 1:
            raise Rejected(
                f"{len(ids)} projects carry {project}: {', '.join(ids)}; remove the reference "
                "from all but one",
                reason="duplicate",
            )
        return ids[0] if ids else None

    async def project(self, workspace: str) -> str | None:
        """The key of ours a project carries; None where the crosswalk gives that key to another one."""
        reference = await self.on("Workspace", workspace, self.service_name)
        if reference is None or reference.get("service_model") != "Project":
            return None
        key = str(reference.get("service_model_ref"))
        owner = await self._ctx.crosswalk.remote_id("project", key)
        return key if owner in (None, workspace) else None

    async def to(self, subject_type: str, model: str, ref: str) -> list[Row]:
        """Ours, to one external object, oldest first."""
        params = {
            "subject_type": subject_type,
            "service_model": model,
            "service_model_ref": ref,
            "order": "created_at:asc",
        }
        found: list[Row] = []
        async for listing in self._client.every("external_references", params):
            # A filter Kantata does not know it ignores, and answers with everything.
            found += [
                row
                for row in listing.rows
                if self._ours(row)
                and (row.get("subject_type"), row.get("service_model"), row.get("service_model_ref"))
                == (subject_type, model, ref)
            ]
        return found

    async def on(self, subject_type: str, subject: str, name: str) -> Row | None:
        """The one with this service name on a record."""
        params = {"subject_type": subject_type, "subject_id": subject, "service_name": name}
        async for listing in self._client.every("external_references", params):
            for row in listing.rows:
                if (row.get("subject_type"), str(row.get("subject_id")), row.get("service_name")) == (
                    subject_type,
                    subject,
                    name,
                ):
                    return row
        return None

    def carried(self, listing: Listing, row: Row, model: str) -> str | None:
        """The key of ours a record carries, from the references that came along with it."""
        reference = self.of(listing, row, model)
        return None if reference is None else str(reference.get("service_model_ref"))

    def of(self, listing: Listing, row: Row, model: str) -> Row | None:
        """Our reference on a record, of those that came along with it."""
        for reference in listing.sides_of("external_references", row.get("external_reference_ids")):
            if self._ours(reference) and reference.get("service_model") == model:
                return reference
        return None

    async def keep(self, subject_type: str, subject: str, fields: Mapping[str, Any]) -> Row:
        """Create or update a reference; returns it once it shows what was written.

        Raises:
            Unsure: no answer, or one that shows something else.
            Rejected: Kantata refused it, in its own words.
        """
        sent = {**fields, "subject_type": subject_type, "subject_id": int(subject)}
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

    def new(self, model: str, ref: str, **more: str) -> dict[str, str]:
        """The reference that is made in the same call as its record."""
        return {
            "service_name": self.service_name,
            "service_model": model,
            "service_model_ref": ref,
            "status": "successful",
            **more,
        }

    def _ours(self, row: Row) -> bool:
        name = str(row.get("service_name"))
        return name == self.service_name or name.startswith(f"{self.service_name}:")


def one_each(found: dict[str, Row], key: str, row: Row, noun: str) -> None:
    """Note which record carries ``key``.

    Raises:
        Rejected: another one carries it too; a person has to decide.
    """
    if key in found and found[key]["id"] != row["id"]:
        raise Rejected(
            f"{noun} {found[key]['id']} and {row['id']} both carry {key}; remove one", reason="duplicate"
        )
    found[key] = row
