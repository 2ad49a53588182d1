"""What one Runn account holds, and what happens to it: the rules behind both the API and the users."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from isthmus.sdk.simulator import Record
from isthmus_runn.simulator.shapes import Invalid

if TYPE_CHECKING:
    from isthmus_runn.simulator.simulator import RunnSimulator

Fields = dict[str, Any]

MINUTES_PER_DAY = 480


class Account:
    """Records are in the simulator's ledger; kinds are client, project, person, role, contract,
    assignment, actual, leave, note and text_field."""

    def __init__(self, sim: "RunnSimulator") -> None:
        self._sim = sim

    def stamp(self) -> str:
        """The stamp of a write: now, or earlier while a slow transaction is played (`slow_down`)."""
        at = self._sim.now()
        slow = self._sim.memory.get("slow")
        if slow is not None and slow["writes"] > 0:
            slow["writes"] -= 1
            at -= timedelta(seconds=slow["behind_s"])
        return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def today(self) -> str:
        return self._sim.now().date().isoformat()

    def of_kind(self, kind: str) -> Iterator[Record]:
        return self._sim.ledger.of_kind(kind)

    def get(self, kind: str, remote_id: object) -> Record | None:
        return self._sim.ledger.get(kind, str(remote_id))

    def need(self, kind: str, remote_id: object) -> Record:
        """A record a body refers to.

        Raises:
            Invalid: there is none.
        """
        record = self.get(kind, remote_id)
        if record is None:
            raise Invalid(f"{kind.capitalize()} with id {remote_id} does not exist")
        return record

    def add(self, kind: str, fields: Fields, *, body: Fields | None = None, op: str = "create") -> Record:
        """Keep a new record; ``body`` is what was sent, where a client sent something."""
        now = self.stamp()
        number = self._sim.next_id(kind, 1001)
        references = fields.get("references") or []
        return self._sim.ledger.create(
            kind,
            str(number),
            {"id": number, **fields, "createdAt": now, "updatedAt": now},
            at=self._sim.now(),
            op=op,
            external_key=references[0]["externalId"] if references else None,
            body=body,
        )

    def change(
        self, record: Record, changes: Fields, *, body: Fields | None = None, op: str = "update"
    ) -> Record:
        """Change a record; its stamp moves even when nothing differs, as Runn's does."""
        self._sim.ledger.update(
            record, {**changes, "updatedAt": self.stamp()}, at=self._sim.now(), op=op, body=body or changes
        )
        if changes.get("references"):
            record.external_key = changes["references"][0]["externalId"]
        return record

    def role(self, name: str) -> Record:
        """The role of that name, made when there is none."""
        for record in self.of_kind("role"):
            if record.fields["name"] == name:
                return record
        fields = {
            "name": name,
            "isArchived": False,
            "defaultHourCost": 0,
            "standardRate": 0,
            "references": [],
        }
        return self.add("role", fields)

    def person(self, body: Fields, *, placeholder: bool = False) -> Record:
        """A person and their first contract."""
        self.need("role", body["roleId"])
        email = body.get("email")
        taken = (other for other in self.of_kind("person") if email and other.fields["email"] == email)
        if any(taken):
            raise Invalid(f"A person with email {email} already exists", 409)
        record = self.add(
            "person",
            {
                "firstName": body["firstName"],
                "lastName": body["lastName"],
                "email": email,
                "isArchived": False,
                "isPlaceholder": placeholder,
                "teamId": None,
                "references": body.get("references", []),
                "tags": [],
                "holidaysGroupId": None,
                "managers": [],
            },
            body=body,
        )
        minutes = body.get("minutesPerDay", MINUTES_PER_DAY)
        self.add(
            "contract",
            {
                "personId": record.fields["id"],
                "roleId": body["roleId"],
                "startDate": body.get("startDate", self.today()),
                "endDate": body.get("endDate"),
                "employmentType": body.get("employmentType", "employee"),
                "costPerHour": body.get("costPerHour", 0),
                "minutesPerDay": minutes,
                "rosteredDays": dict.fromkeys(
                    ("monday", "tuesday", "wednesday", "thursday", "friday"), minutes
                ),
                "jobTitle": None,
            },
        )
        return record

    def contract_of(self, person_id: int) -> Record | None:
        """The person's contract; the newest, if there are more."""
        newest = None
        for record in self.of_kind("contract"):
            if record.fields["personId"] == person_id:
                newest = record
        return newest

    def project(self, body: Fields) -> Record:
        self.need("client", body["clientId"])
        return self.add(
            "project",
            {
                "name": body["name"],
                "isTemplate": body.get("isTemplate", False),
                "isArchived": False,
                "isConfirmed": body.get("isConfirmed", False),
                "pricingModel": body.get("pricingModel", "tm"),
                "rateType": body.get("rateType", "hours"),
                "teamId": body.get("teamId"),
                "budget": body.get("budget"),
                "expensesBudget": body.get("expensesBudget"),
                "references": body.get("references", []),
                "clientId": body["clientId"],
                "rateCardId": body.get("rateCardId"),
                "customFields": {"select": [], "text": [], "checkbox": [], "date": []},
                "managerIds": body.get("managerIds", []),
                "tags": [],
            },
            body=body,
        )

    def assign(self, body: Fields) -> list[Record]:
        """A booking, in as many segments as the person's leave leaves of it."""
        if body["endDate"] < body["startDate"]:
            raise Invalid("endDate must be on or after startDate")
        project = self.need("project", body["projectId"])
        person = self.need("person", body["personId"])
        self.need("role", body["roleId"])
        pieces = self.around_leave(body["personId"], body["startDate"], body["endDate"])
        if not pieces:
            raise Invalid("The person is on leave for the whole of this assignment")
        return [
            self.add(
                "assignment",
                {
                    "personId": body["personId"],
                    "startDate": starts,
                    "endDate": ends,
                    "projectId": body["projectId"],
                    "minutesPerDay": body["minutesPerDay"],
                    "roleId": body["roleId"],
                    "isActive": True,
                    "note": body.get("note"),
                    "isBillable": body.get("isBillable", project.fields["pricingModel"] != "nb"),
                    "phaseId": body.get("phaseId"),
                    "isNonWorkingDay": body.get("isNonWorkingDay", False),
                    "isTemplate": project.fields["isTemplate"],
                    "isPlaceholder": person.fields["isPlaceholder"],
                    "workstreamId": body.get("workstreamId"),
                },
                body=body,
            )
            for starts, ends in pieces
        ]

    def around_leave(self, person_id: int, starts: str, ends: str) -> list[tuple[str, str]]:
        """What the person's leave leaves of a period: first and last days, in order."""
        pieces = [(starts, ends)]
        for leave in self.of_kind("leave"):
            if leave.fields["personId"] == person_id:
                pieces = [
                    part
                    for piece in pieces
                    for part in _without(*piece, leave.fields["startDate"], leave.fields["endDate"])
                ]
        return sorted(pieces)

    def unassign(self, record: Record, actor: Fields) -> None:
        """Delete an assignment; the activity log keeps what it was."""
        self._sim.ledger.remove(record, at=self._sim.now())
        log: list[Fields] = self._sim.memory["activity"]
        log.append(
            {
                "eventId": f"evt-{self._sim.next_id('activity')}",
                "type": "assignment_deleted",
                "actor": actor,
                "timestamp": self.stamp(),
                "assignment": {k: v for k, v in record.fields.items() if k not in ("createdAt", "updatedAt")},
            }
        )

    def take_leave(self, body: Fields) -> tuple[Record, list[int]]:
        """Leave, and the ids of the assignments that made way for it: shortened, split or deleted."""
        self.need("person", body["personId"])
        leave = self.add("leave", {"note": None, "minutesPerDay": None, **body}, body=body)
        moved: list[int] = []
        for record in [r for r in self.of_kind("assignment") if r.fields["personId"] == body["personId"]]:
            was = (record.fields["startDate"], record.fields["endDate"])
            pieces = self.around_leave(body["personId"], *was)
            if pieces == [was]:
                continue
            moved.append(record.fields["id"])
            if not pieces:
                self.unassign(record, {"type": "system"})
                continue
            self.change(record, {"startDate": pieces[0][0], "endDate": pieces[0][1]}, op="split")
            for starts, ends in pieces[1:]:
                rest = {k: v for k, v in record.fields.items() if k not in ("id", "createdAt", "updatedAt")}
                part = self.add("assignment", {**rest, "startDate": starts, "endDate": ends}, op="split")
                moved.append(part.fields["id"])
        return leave, moved

    def check_actual(self, body: Fields) -> None:
        """Whether an actual can be written.

        Raises:
            Invalid: what it refers to is missing, neither kind of minutes is set, or the day is locked.
        """
        if "billableMinutes" not in body and "nonbillableMinutes" not in body:
            raise Invalid("Either billableMinutes or nonbillableMinutes must be set")
        for kind in ("project", "person", "role"):
            self.need(kind, body[f"{kind}Id"])
        locked_until = self._sim.memory["locks"].get(str(body["projectId"]))
        if locked_until is not None and body["date"] <= locked_until:
            raise Invalid(f"Timesheets of this project are locked until {locked_until}")

    def record_actual(self, body: Fields) -> Record:
        """The total of a person, project, role and day: what was there is overwritten."""
        fields = {
            "date": body["date"],
            "billableMinutes": body.get("billableMinutes", 0),
            "nonbillableMinutes": body.get("nonbillableMinutes", 0),
            "billableNote": body.get("billableNote"),
            "nonbillableNote": body.get("nonbillableNote"),
            "phaseId": body.get("phaseId"),
            "personId": body["personId"],
            "projectId": body["projectId"],
            "roleId": body["roleId"],
            "workstreamId": body.get("workstreamId"),
        }
        place = "|".join(str(fields[n]) for n in ("personId", "projectId", "roleId", "workstreamId", "date"))
        ids: dict[str, str] = self._sim.memory["actual_ids"]
        known = self.get("actual", ids[place]) if place in ids else None
        if known is not None:
            return self.change(known, fields, body=body, op="upsert")
        record = self.add("actual", fields, body=body, op="upsert")
        ids[place] = record.id
        return record


def _without(starts: str, ends: str, leave_starts: str, leave_ends: str) -> list[tuple[str, str]]:
    """A period without the days of a leave: none, one or two periods. Days compare as text."""
    if leave_ends < starts or leave_starts > ends:
        return [(starts, ends)]
    parts = []
    if leave_starts > starts:
        parts.append((starts, _shift(leave_starts, -1)))
    if leave_ends < ends:
        parts.append((_shift(leave_ends, 1), ends))
    return parts


def _shift(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()
