"""The fake account as `isthmus simulate runn` serves it, and what its users can do."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from isthmus.sdk.simulator import ActRefused, Record, Simulator
from isthmus_runn.simulator.account import Account
from isthmus_runn.simulator.api import Api
from isthmus_runn.simulator.shapes import Invalid

Outcome = TypeVar("Outcome")

USER = {"type": "user", "userId": 1}
ROLES = ("Consultant", "Senior Consultant", "Project Manager")
FORECAST_FIELD = "Revenue outlook"
DEMAND_FIELD = "Contract demand"


class RunnSimulator(Simulator):
    """One Runn account with three roles and two text fields on projects; everything else is made."""

    plugin = "runn"
    rate_limit = 6000
    """Calls per minute. Higher than a small account's, so that the demo waits only when it is told to."""

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        super().__init__(seed=seed, now=now)
        self.memory |= {
            "tokens": {f"LIVE_{self.random.randbytes(16).hex()}": ["read", "write"]},
            "rate": {"window": 0, "used": 0, "refuse": 0},
            "locks": {},
            "activity": [],
            "actual_ids": {},
            "test_account": False,
            "rate_limit": self.rate_limit,
        }
        self._account = Account(self)
        self._api = Api(self, self._account)
        for name in ROLES:
            self._account.role(name)
        for name in (FORECAST_FIELD, DEMAND_FIELD):
            field = {"name": name, "model": "PROJECT", "description": None}
            switches = {"required": False, "showInPlanner": True, "filterableInPlanner": False}
            self._account.add("text_field", {**field, **switches})

    def routes(self) -> Sequence[BaseRoute]:
        methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

        async def answer(request: Request) -> Response:
            return await self._api.answer(request)

        return [Route("/{path:path}", answer, methods=methods)]

    def credentials(self) -> dict[str, Any]:
        return {
            "base_url": self.base_url,
            "token": next(iter(self.memory["tokens"]), ""),
            "default_role": ROLES[0],
            "forecast_field": FORECAST_FIELD,
            "demand_field": DEMAND_FIELD,
            "overlap_s": 5,
            "worst_commit_s": 2.0,
        }

    def acts(self) -> dict[str, Callable[..., Any]]:
        return {
            "add_client": self.add_client,
            "add_person": self.add_person,
            "add_placeholder": self.add_placeholder,
            "add_project": self.add_project,
            "archive_person": self.archive_person,
            "archive_project": self.archive_project,
            "assign": self.assign,
            "confirm_project": self.confirm_project,
            "end_assignment": self.end_assignment,
            "lock_timesheets": self.lock_timesheets,
            "move_assignment": self.move_assignment,
            "revoke_token": self.revoke_token,
            "restrict_token": self.restrict_token,
            "set_rate_limit": self.set_rate_limit,
            "slow_down": self.slow_down,
            "take_leave": self.take_leave,
            "use_test_account": self.use_test_account,
            "use_up_rate_limit": self.use_up_rate_limit,
        }

    def add_client(self, name: str) -> dict[str, Any]:
        """A planner enters a client by hand."""
        fields: dict[str, Any] = {"name": name, "website": None, "isArchived": False, "references": []}
        return self._account.add("client", fields).fields

    def add_person(self, name: str, role: str, email: str | None = None) -> dict[str, Any]:
        """A planner enters a person by hand; the role is made when it is new."""
        first, _, last = name.rpartition(" ")
        role_id = self._account.role(role).fields["id"]
        body = {"firstName": first or name, "lastName": last, "roleId": role_id, "email": email}
        return _allowed(lambda: self._account.person(body)).fields

    def add_placeholder(self, role: str) -> dict[str, Any]:
        """A planner needs somebody for a role and does not know whom yet."""
        role_id = self._account.role(role).fields["id"]
        body = {"firstName": "Placeholder", "lastName": role, "roleId": role_id}
        return self._account.person(body, placeholder=True).fields

    def add_project(self, name: str, client: str | int, confirmed: bool = False) -> dict[str, Any]:
        """A planner enters a project by hand, tentative unless ``confirmed``."""
        body = {"name": name, "clientId": self._find("client", client).fields["id"], "isConfirmed": confirmed}
        return self._account.project(body).fields

    def assign(
        self,
        person: str | int,
        project: str | int,
        start: str,
        end: str,
        minutes: int,
        role: str | None = None,
        tentative: bool = False,
    ) -> list[dict[str, Any]]:
        """Book a person on a project for so many minutes a day; both may be given by id, name, email or the
        key isthmus gave. Leave splits the booking into segments; all of them are returned. ``tentative``
        makes the whole project tentative, as Runn knows no tentative assignment."""
        who, what = self._find("person", person), self._find("project", project)
        if tentative and what.fields["isConfirmed"]:
            self._account.change(what, {"isConfirmed": False})
        contract = self._account.contract_of(who.fields["id"])
        own_role = contract.fields["roleId"] if contract else self._account.role(ROLES[0]).fields["id"]
        body = {
            "personId": who.fields["id"],
            "projectId": what.fields["id"],
            "roleId": own_role if role is None else self._account.role(role).fields["id"],
            "startDate": start,
            "endDate": end,
            "minutesPerDay": minutes,
        }
        return [record.fields for record in _allowed(lambda: self._account.assign(body))]

    def confirm_project(self, project: str | int, confirmed: bool = True) -> dict[str, Any]:
        """A planner confirms a project, or makes it tentative again."""
        return self._account.change(self._find("project", project), {"isConfirmed": confirmed}).fields

    def end_assignment(self, assignment: int, on: str | None = None) -> dict[str, Any]:
        """A planner deletes an assignment; with ``on``, the last day still planned, it is only shortened."""
        record = self._find("assignment", assignment)
        if on is None:
            self._account.unassign(record, USER)
            return {**record.fields, "deleted": True}
        if on < record.fields["startDate"]:
            raise ActRefused(
                f"assignment {assignment} starts on {record.fields['startDate']}; delete it instead"
            )
        return self._account.change(record, {"endDate": on}).fields

    def move_assignment(
        self, assignment: int, start: str | None = None, end: str | None = None, minutes: int | None = None
    ) -> dict[str, Any]:
        """A planner changes the dates or the minutes a day of an assignment."""
        given = {"startDate": start, "endDate": end, "minutesPerDay": minutes}
        changes = {name: value for name, value in given.items() if value is not None}
        return self._account.change(self._find("assignment", assignment), changes).fields

    def archive_project(self, project: str | int, archived: bool = True) -> dict[str, Any]:
        """A planner archives a project, or takes it back; its bookings and hours stay."""
        return self._account.change(self._find("project", project), {"isArchived": archived}).fields

    def archive_person(self, person: str | int, archived: bool = True) -> dict[str, Any]:
        """A planner archives a person, or takes them back; their bookings and hours stay."""
        return self._account.change(self._find("person", person), {"isArchived": archived}).fields

    def take_leave(self, person: str | int, start: str, end: str) -> dict[str, Any]:
        """A person is on leave; what is booked on those days makes way, split into segments."""
        body = {"personId": self._find("person", person).fields["id"], "startDate": start, "endDate": end}
        leave, moved = self._account.take_leave(body)
        return {**leave.fields, "assignments": moved}

    def lock_timesheets(self, project: str | int, until: str) -> dict[str, Any]:
        """A manager locks the timesheets of a project up to a day; hours of those days are refused."""
        record = self._find("project", project)
        self.memory["locks"][record.id] = until
        return {"projectId": record.fields["id"], "lockedUntil": until}

    def use_up_rate_limit(self, calls: int = 1) -> dict[str, Any]:
        """Another client of the account spends the budget: the next ``calls`` calls are answered 429."""
        self.memory["rate"]["refuse"] += calls
        return {"refuse": self.memory["rate"]["refuse"]}

    def set_rate_limit(self, calls: int) -> dict[str, Any]:
        """The account may make so many calls a minute from now on."""
        self.memory["rate_limit"] = calls
        return {"limit": calls}

    def slow_down(self, behind_s: float, writes: int = 1) -> dict[str, Any]:
        """The next writes show up with a stamp of so many seconds ago, as slow transactions do."""
        slow = self.memory["slow"] = {"behind_s": behind_s, "writes": writes}
        return slow

    def revoke_token(self) -> dict[str, Any]:
        """An administrator deletes the API token and makes a new one; `credentials` then shows that."""
        self.memory["tokens"] = {f"LIVE_{self.random.randbytes(16).hex()}": ["read", "write"]}
        return {"tokens": 1}

    def restrict_token(self, scopes: list[str]) -> dict[str, Any]:
        """An administrator changes the scopes of the API token: ``read``, ``write`` or both."""
        for token in self.memory["tokens"]:
            self.memory["tokens"][token] = scopes
        return {"scopes": scopes}

    def use_test_account(self) -> dict[str, Any]:
        """The token turns out to be one of a test account, which has no activity log."""
        self.memory["test_account"] = True
        return {"test_account": True}

    def _find(self, kind: str, what: str | int) -> Record:
        """A record by id, by our key, by name or by email."""
        record = self._account.get(kind, what)
        if record is not None:
            return record
        for record in self._account.of_kind(kind):
            fields = record.fields
            full_name = f"{fields.get('firstName')} {fields.get('lastName')}"
            if what in (record.external_key, fields.get("name"), fields.get("email"), full_name):
                return record
        raise ActRefused(f"there is no {kind} {what!r}")


def _allowed(act: Callable[[], Outcome]) -> Outcome:
    """What the account's rules make of an act.

    Raises:
        ActRefused: they forbid it.
    """
    try:
        return act()
    except Invalid as refusal:
        raise ActRefused(str(refusal)) from refusal
