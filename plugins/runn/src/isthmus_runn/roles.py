"""Which role a person has, in the account and on a project.

A row of actuals belongs to a role. Two roles for one person, project and day would count the day twice, so
the role of a person on a project is decided once and then remembered: first in the crosswalk, and in Runn
itself by the rows already there, should the crosswalk be lost.
"""

from typing import Any

from isthmus.sdk import Context, Link, Rejected
from isthmus_runn.client import Client

KIND = "project_role"
"""Crosswalk kind: ``<project>|<resource>`` is ``<projectId>/<personId>/<roleId>``."""


class Roles:
    """Looks roles up, as few times as possible."""

    def __init__(self, client: Client, ctx: Context, *, default_role: str | None) -> None:
        self._client = client
        self._ctx = ctx
        self._default = default_role
        self._ids: dict[str, int] = {}
        self._decided: dict[str, int] = {}

    async def of_name(self, name: str | None) -> int:
        """The role called ``name``, else the default role.

        Raises:
            Rejected: Runn has neither (reason ``mapping``).
        """
        for wanted in (name, self._default):
            if wanted is not None and (role_id := await self._id(wanted)) is not None:
                return role_id
        raise Rejected(
            f"Runn has no role {name!r}, and default_role is {self._default!r}; "
            f"create the role in Runn or set default_role to one that is there",
            reason="mapping",
        )

    async def on_project(
        self, project: str, resource: str, project_id: str, person_id: str
    ) -> tuple[int, list[Link]]:
        """The role of a person on a project, and the link that will remember it, if it is new.

        It is the role of rows already there, else of an assignment, else of the person's contract.
        """
        key = f"{project}|{resource}"
        known = await self._ctx.crosswalk.remote_id(KIND, key)
        if known is not None:
            self._decided.pop(key, None)
            return int(known.rpartition("/")[2]), []
        if key not in self._decided:
            self._decided[key] = await self._decide(int(project_id), int(person_id))
        role_id = self._decided[key]
        return role_id, [Link(kind=KIND, key=key, remote_id=f"{project_id}/{person_id}/{role_id}")]

    async def _decide(self, project_id: int, person_id: int) -> int:
        for path in ("actuals", "assignments"):
            params: dict[str, str | int] = {"projectId": project_id, "personId": person_id, "sortBy": "id"}
            rows, _ = await self._client.page(path, params)
            if rows:
                return int(rows[0]["roleId"])
        try:
            contract: dict[str, Any] = await self._client.get(f"people/{person_id}/contracts/current")
        except Rejected:
            return await self.of_name(None)
        return int(contract["roleId"])

    async def _id(self, name: str) -> int | None:
        if name not in self._ids:
            async for role in self._client.every("roles", {}):
                if not role.get("isArchived"):
                    self._ids.setdefault(str(role["name"]), int(role["id"]))
        return self._ids.get(name)
