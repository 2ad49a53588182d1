"""Where a simulated Kantata keeps its records: stamps, references, and the feed of events."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from isthmus.sdk.simulator import Record, Simulator

Fields = dict[str, Any]

ACCOUNT_ZONE = ZoneInfo("America/Los_Angeles")
"""Kantata stamps in the zone of the account, with its offset, to the second."""
ACCOUNT_ID = 5201
CURRENCY = "EUR"

# First id of each kind: ranges that do not meet, so that a mixed-up id is not found by accident.
_FIRST_IDS = {
    "User": 9_400_001,
    "Role": 31_001,
    "Workspace": 41_000_001,
    "WorkspaceStatusChange": 2_100_001,
    "Story": 620_000_001,
    "StoryStateChange": 880_000_001,
    "TimeEntry": 710_000_001,
    "TimesheetSubmission": 5_500_001,
    "Expense": 16_000_001,
    "ExpenseReportSubmission": 5_800_001,
    "ExternalReference": 77_000_001,
    "Invoice": 3_300_001,
    "BillingMilestone": 4_400_001,
    "WorkspaceResource": 51_000_001,
    "WorkspaceAllocation": 61_000_001,
    "AccountMembership": 2_700_001,
    "Assignment": 93_000_001,
    "CustomField": 150_001,
    "CustomFieldValue": 99_000_001,
    "Estimate": 7_001,
    "EstimateScenario": 8_001,
    "EstimateScenarioResource": 9_001,
    "ExpenseCategory": 11_001,
    "Post": 130_000_001,
    "WorkspaceGroup": 21_001,
}
FEED = frozenset(
    {
        "Expense",
        "ExpenseReportSubmission",
        "Story",
        "TimeEntry",
        "TimesheetSubmission",
        "User",
        "Workspace",
        "WorkspaceAllocation",
    }
)
"""What the event feed tells of."""
FEED_DAYS, FEED_MAX = 9, 5000

SYNC_STATES = frozenset({"pending", "successful", "failed"})
SUBMITTED = {"TimesheetSubmission": "TimeEntry", "ExpenseReportSubmission": "Expense"}


class Invalid(Exception):
    """What Kantata would answer with status 422."""

    def __init__(self, message: str, field: str = "base") -> None:
        super().__init__(message)
        self.field = field


class Shelf:
    """Records by kind and id, over the simulator's ledger, with the references and events about them."""

    def __init__(self, simulator: Simulator) -> None:
        self._sim = simulator
        self._tables: dict[str, dict[str, Record]] = {}
        self._references: dict[tuple[str, str], list[Record]] = {}
        self.reindex()

    def reindex(self) -> None:
        """Build the look-ups anew from the ledger, after its records were loaded."""
        self._tables.clear()
        self._references.clear()
        for record in self._sim.ledger.all():
            self._index(record)

    def _index(self, record: Record) -> None:
        self._tables.setdefault(record.kind, {})[record.id] = record
        if record.kind == "ExternalReference":
            subject = (record.fields["subject_type"], str(record.fields["subject_id"]))
            self._references.setdefault(subject, []).append(record)

    # -- records ----------------------------------------------------------------------------------------

    def stamp(self) -> str:
        """The stamp of a write: now, or earlier while a slow transaction is played (`slow_down`)."""
        at = self._sim.now()
        slow = self._sim.memory.get("slow")
        if slow is not None and slow["writes"] > 0:
            slow["writes"] -= 1
            at -= timedelta(seconds=slow["behind_s"])
        return at.astimezone(ACCOUNT_ZONE).isoformat(timespec="seconds")

    def slow_down(self, behind_s: float, writes: int) -> None:
        """The next writes show up with a stamp of so long ago, as transactions that took their time."""
        self._sim.memory["slow"] = {"behind_s": behind_s, "writes": writes}

    def _tell(self, record: Record, what: str) -> None:
        """Put an event into the feed; each fifth is there twice."""
        if record.kind not in FEED:
            return
        events: list[Fields] = self._sim.memory.setdefault("feed", [])
        number = self._sim.next_id("SubscribedEvent", 300_000_001)
        at = self._sim.now().astimezone(ACCOUNT_ZONE).isoformat(timespec="seconds")
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in record.kind).lstrip("_")
        event = {
            "event_type": f"{name}:{what}",
            "subject_type": record.kind,
            "subject_id": int(record.id),
            "subject_changed_at": record.fields["updated_at"],
            "created_at": at,
            "account_id": ACCOUNT_ID,
            "context_workspace_id": record.fields.get("workspace_id"),
        }
        events.append({"id": str(number), **event})
        if number % 5 == 0:
            events.append({"id": str(self._sim.next_id("SubscribedEvent")), **event})
        del events[:-FEED_MAX]

    @property
    def has_feed(self) -> bool:
        return bool(self._sim.memory.get("has_feed", True))

    def switch_feed(self, on: bool) -> None:
        self._sim.memory["has_feed"] = on

    def feed(self) -> list[Record]:
        """The events of the last days."""
        oldest = self._sim.now() - timedelta(days=FEED_DAYS)
        return [
            Record(kind="SubscribedEvent", id=event["id"], external_key=None, fields=event, writes=[])
            for event in self._sim.memory.get("feed", [])
            if datetime.fromisoformat(event["created_at"]) >= oldest
        ]

    def get(self, kind: str, id: object) -> Record | None:
        return self._tables.get(kind, {}).get(str(id))

    def all(self, kind: str) -> Iterable[Record]:
        return self._tables.get(kind, {}).values()

    def add(
        self,
        kind: str,
        fields: Fields,
        *,
        op: str = "create",
        external_key: str | None = None,
        body: Fields | None = None,
    ) -> Record:
        id = str(self._sim.next_id(kind, _FIRST_IDS[kind]))
        at = self.stamp()
        record = self._sim.ledger.create(
            kind,
            id,
            {"id": id, **fields, "created_at": at, "updated_at": at},
            at=self._sim.now(),
            op=op,
            external_key=external_key,
            body=body,
        )
        self._index(record)
        self._tell(record, "created")
        return record

    def change(
        self,
        record: Record,
        changes: Fields,
        *,
        op: str = "update",
        body: Fields | None = None,
        touch: bool = True,
    ) -> None:
        """Change fields; ``touch`` says whether Kantata moves ``updated_at`` for this."""
        stamped = {**changes, "updated_at": self.stamp()} if touch else changes
        self._sim.ledger.update(record, stamped, at=self._sim.now(), op=op, body=body)
        self._tell(record, "updated")

    def remove(self, record: Record) -> None:
        """A hard delete, as all of Kantata's are; references go with their subject."""
        self._sim.ledger.remove(record, at=self._sim.now())
        self._tables[record.kind].pop(record.id)
        self._tell(record, "deleted")
        for reference in list(self.references(record.kind, record.id)):
            self.remove(reference)
        if record.kind == "ExternalReference":
            subject = (record.fields["subject_type"], str(record.fields["subject_id"]))
            self._references[subject].remove(record)

    # -- references -------------------------------------------------------------------------------------

    def references(self, kind: str, id: str) -> list[Record]:
        subject = "Submission" if kind in SUBMITTED else kind
        return self._references.get((subject, id), [])

    def refer(self, subject_type: str, subject_id: object, sent: Fields) -> Record:
        """Create a reference, or update the one of this ``service_name`` on this record.

        Raises:
            Invalid: a required field is missing, or there is no such subject.
        """
        for field in ("service_name", "service_model", "service_model_ref"):
            if not sent.get(field):
                raise Invalid("can't be blank", field)
        kinds = SUBMITTED if subject_type == "Submission" else (subject_type,)
        if sent.get("status", "pending") not in SYNC_STATES:
            raise Invalid("is not included in the list", "status")
        subject = next((found for kind in kinds if (found := self.get(kind, subject_id))), None)
        if subject is None:
            raise Invalid("does not exist", "subject_id")
        known = (
            "service_name",
            "service_model",
            "service_model_ref",
            "status",
            "external_status",
            "external_message",
            "external_link",
            "locked",
        )
        fields: Fields = {name: sent[name] for name in known if name in sent}
        fields["last_synced_at"] = self.stamp()
        key = str(sent["service_model_ref"])
        if subject.external_key is None and ":" not in str(sent["service_name"]):
            subject.external_key = key
        for reference in self.references(subject.kind, subject.id):
            if reference.fields["service_name"] == sent["service_name"]:
                self.change(reference, fields, op="upsert", body=sent)
                reference.external_key = key
                return reference
        whole = {
            "status": "pending",
            "external_status": None,
            "external_message": None,
            "external_link": None,
            "locked": False,
            **fields,
            "subject_type": subject_type,
            "subject_id": int(subject.id),
        }
        return self.add("ExternalReference", whole, op="upsert", external_key=key, body=sent)
