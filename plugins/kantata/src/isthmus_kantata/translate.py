"""Kantata's records to canonical facts; pure functions, no clock, no I/O. The way back is `outward`.

Kantata keeps no version numbers and stamps whole seconds. The revision of an entry or an expense is
therefore made of the newest stamp of the record and of its submission, and, within one second, of the
submission's id and state: each step of an approval gives a higher one, and reading again gives the same.
Milestones and project stages have an audit trail that cannot be edited; their revision counts it.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from hashlib import blake2b
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from isthmus.events import (
    AssignmentChanged,
    AssignmentEnded,
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    ProjectStageChanged,
    ResourceChanged,
    TimeApproved,
    TimeUnapproved,
    minor_digits,
)
from isthmus_kantata.settings import KantataSettings, ServiceField

Row = Mapping[str, Any]
Stage = Literal["planned", "active", "on_hold", "completed", "cancelled"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PER_DAY = Decimal("0.000001")
"""Hours a day keep six digits, so that the days add up to the minutes that were planned."""

# The hundreds of a status key are Kantata's colours: grey and light green before the start, green and
# yellow under way, red blocked or ended, blue finished.
_BY_COLOUR: dict[str, Stage] = {
    "1": "planned",
    "2": "planned",
    "3": "active",
    "4": "active",
    "5": "on_hold",
    "6": "completed",
}
_BY_MESSAGE: dict[str, Stage] = {
    "on hold": "on_hold",
    "cancelled": "cancelled",
    "canceled": "cancelled",
    "completed": "completed",
    "done": "completed",
}
STATUS_KEYS: dict[str, int] = {
    "planned": 100,
    "active": 300,
    "on_hold": 400,
    "completed": 600,
    "cancelled": 501,
}


class Untranslatable(ValueError):
    """A record that has no canonical form; the text names the field and what would be right."""


class Teller(msgspec.Struct, frozen=True, kw_only=True):
    """What every fact of one instance shares."""

    source: str
    entity: str
    settings: KantataSettings

    def day(self, stamp: datetime) -> date:
        return stamp.astimezone(ZoneInfo(self.settings.time_zone)).date()


def stamp_of(row: Row, field: str) -> datetime:
    """An instant with its offset.

    Raises:
        Untranslatable: it is missing, no instant, or has no offset.
    """
    text = row.get(field)
    try:
        stamp = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        stamp = None
    if stamp is None or stamp.tzinfo is None:
        raise Untranslatable(f"{field} {text!r} is no instant with an offset")
    return stamp.astimezone(UTC)


def changed_at(row: Row, submission: Row | None) -> datetime:
    """When a record or its approval last changed."""
    stamps = [stamp_of(row, "updated_at")]
    if submission is not None:
        stamps.append(stamp_of(submission, "updated_at"))
    return max(stamps)


_STEP = {"approved": 1, "rejected": 2, "cancelled": 2}
DECIDED = frozenset(_STEP)
"""The states of a submission that somebody decided on; the others wait."""


def revision_of(row: Row, submission: Row | None) -> int:
    """Grows with every step of a record's approval: seconds x 1000 + place within the second."""
    place = 0
    if submission is not None:
        place = int(submission["id"]) % 250 * 4 + _STEP.get(str(submission.get("status")), 0)
    return int(changed_at(row, submission).timestamp()) * 1000 + place


def hours_of(minutes: object) -> Decimal:
    """Minutes as hours with two digits, half up: Kantata counts minutes, a bill counts hundredths.

    Raises:
        Untranslatable: not a positive whole number.
    """
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes <= 0:
        raise Untranslatable(f"time_in_minutes {minutes!r} must be a whole number above 0")
    return (Decimal(minutes) / 60).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def money_of(cents: object, currency: object, base_unit: object) -> Decimal:
    """Subunits as an amount; ``base_unit`` is how many make one: 100 for EUR, 1 for JPY.

    Raises:
        Untranslatable: no whole number, or a base unit that is not the currency's.
    """
    if not isinstance(cents, int) or isinstance(cents, bool):
        raise Untranslatable(f"amount_in_cents {cents!r} must be a whole number")
    if not isinstance(currency, str) or len(currency) != 3:
        raise Untranslatable(f"currency {currency!r} must be an ISO code; set one on the project")
    digits = minor_digits(currency)
    if base_unit is not None and base_unit != 10**digits:
        raise Untranslatable(f"currency_base_unit {base_unit!r} is not the {10**digits} of {currency}")
    return Decimal(cents).scaleb(-digits)


def service_of(
    settings: KantataSettings, role: Row | None, story: Row | None, *, field: ServiceField | None = None
) -> str:
    """The canonical service of a time entry, or of a booking, which knows only a role.

    Raises:
        Untranslatable: nothing names one and there is no default.
    """
    name: object = None
    match field or settings.service_field:
        case "role":
            name = role and role.get("name")
        case "task":
            name = story and story.get("title")
        case "task_type":
            name = story and story.get("story_type")
    if not name:
        if settings.default_service:
            return settings.default_service
        raise Untranslatable(
            f"no {field or settings.service_field} names the service; set one in Kantata, or default_service"
        )
    return settings.services.get(str(name), str(name).strip().lower().replace(" ", "_"))


def is_approved(row: Row, submission: Row | None, requires_approval: bool, told: bool) -> bool | None:
    """Whether a record is approved; None while nobody has decided, and nothing was ever told of it.

    Args:
        told: whether it was told before: what waits for a new decision has lost the old one.
    """
    if submission is not None:
        status = submission.get("status")
        if status == "approved":
            return True
        return False if status in DECIDED or told else None
    if row.get("approved") is True or not requires_approval:
        return True
    return None


def time_fact(
    teller: Teller,
    row: Row,
    submission: Row | None,
    *,
    requires_approval: bool,
    told: bool = False,
    entry: str,
    project: str,
    resource: str,
    role: Row | None,
    story: Row | None,
) -> TimeApproved | TimeUnapproved | None:
    """What a time entry says now; None while it is not decided.

    Raises:
        Untranslatable: a field has no canonical form.
    """
    approved = is_approved(row, submission, requires_approval, told)
    if approved is None:
        return None
    at = changed_at(row, submission)
    if not approved:
        return TimeUnapproved(
            source=teller.source,
            entity=teller.entity,
            occurred_at=at,
            entry=entry,
            revision=revision_of(row, submission),
            project=project,
            reason=_resolution(submission),
        )
    return TimeApproved(
        source=teller.source,
        entity=teller.entity,
        occurred_at=at,
        entry=entry,
        revision=revision_of(row, submission),
        project=project,
        resource=resource,
        service=service_of(teller.settings, role, story),
        worked_on=day_of(row, "date_performed"),
        hours=hours_of(row.get("time_in_minutes")),
        billable=bool(row.get("billable")),
        approved_on=teller.day(_resolved_at(submission) or at),
        task=story.get("title") if story else None,
        note=row.get("notes") or None,
    )


def expense_fact(
    teller: Teller,
    row: Row,
    submission: Row | None,
    *,
    requires_approval: bool,
    told: bool = False,
    expense: str,
    project: str,
    resource: str,
) -> ExpenseValidated | ExpenseWithdrawn | None:
    """What an expense says now; None while it is not decided.

    Raises:
        Untranslatable: a field has no canonical form.
    """
    approved = is_approved(row, submission, requires_approval, told)
    if approved is None:
        return None
    at = changed_at(row, submission)
    if not approved:
        return ExpenseWithdrawn(
            source=teller.source,
            entity=teller.entity,
            occurred_at=at,
            expense=expense,
            revision=revision_of(row, submission),
            project=project,
            reason=_resolution(submission),
        )
    category = str(row.get("category") or "")
    if not category:
        raise Untranslatable("category is empty; choose one on the expense")
    return ExpenseValidated(
        source=teller.source,
        entity=teller.entity,
        occurred_at=at,
        expense=expense,
        revision=revision_of(row, submission),
        project=project,
        resource=resource,
        category=teller.settings.categories.get(category, category),
        spent_on=day_of(row, "date"),
        amount=money_of(row.get("amount_in_cents"), row.get("currency"), row.get("currency_base_unit")),
        currency=str(row.get("currency")),
        billable=bool(row.get("is_billable")),
    )


def deleted(
    teller: Teller, kind: str, *, key: str, project: str, gone_at: datetime
) -> TimeUnapproved | ExpenseWithdrawn:
    """An entry or expense that was deleted; nothing of its second is newer (`revision_of` ends in 998)."""
    common: dict[str, Any] = {
        "source": teller.source,
        "entity": teller.entity,
        "occurred_at": gone_at,
        "revision": int(gone_at.timestamp()) * 1000 + 999,
        "project": project,
        "reason": "deleted in Kantata",
    }
    return TimeUnapproved(**common, entry=key) if kind == "time" else ExpenseWithdrawn(**common, expense=key)


def milestone_facts(
    teller: Teller, changes: Sequence[Row], *, milestone: str, project: str
) -> list[MilestoneAchieved | MilestoneReopened]:
    """Every time a milestone was completed or opened again, from its audit trail, oldest first."""
    facts: list[MilestoneAchieved | MilestoneReopened] = []
    completed = False
    for change in sorted(changes, key=lambda row: (stamp_of(row, "created_at"), int(row["id"]))):
        now_completed = change.get("state") == "completed"
        if now_completed == completed:
            continue
        completed = now_completed
        at = stamp_of(change, "created_at")
        if completed:
            facts.append(
                MilestoneAchieved(
                    source=teller.source,
                    entity=teller.entity,
                    occurred_at=at,
                    milestone=milestone,
                    project=project,
                    achieved_on=teller.day(at),
                    revision=len(facts) + 1,
                )
            )
        else:
            facts.append(
                MilestoneReopened(
                    source=teller.source,
                    entity=teller.entity,
                    occurred_at=at,
                    milestone=milestone,
                    project=project,
                    reopened_on=teller.day(at),
                    revision=len(facts) + 1,
                )
            )
    return facts


def stage_of(settings: KantataSettings, key: object, message: object) -> Stage:
    """The stage a status key and its message stand for.

    Raises:
        Untranslatable: neither the settings nor the built-in table know it.
    """
    named = settings.stages.get(str(message)) or settings.stages.get(str(key))
    if named is not None:
        if named not in STATUS_KEYS:
            raise Untranslatable(f"stages maps {message!r} to {named!r}, which is no stage")
        return named  # type: ignore[return-value]
    known = _BY_MESSAGE.get(str(message).lower()) or _BY_COLOUR.get(str(key)[:1])
    if known is None:
        raise Untranslatable(f"status {message!r} (key {key!r}) stands for no stage; add it to stages")
    return known


def stage_facts(
    teller: Teller, changes: Sequence[Row], *, project: str, own_user: str
) -> list[ProjectStageChanged]:
    """Every change of a project's stage that a person made, oldest first.

    A move between two statuses of one stage is none; what ``own_user``, isthmus itself, wrote is left
    out, but counted, so that revisions stay what they were.
    """
    facts = []
    for number, change in enumerate(
        sorted(changes, key=lambda row: (stamp_of(row, "created_at"), int(row["id"]))), start=1
    ):
        if change.get("from_status_key") in (None, "") or str(change.get("user_id")) == own_user:
            continue
        before = stage_of(teller.settings, change["from_status_key"], change.get("from_message"))
        after = stage_of(teller.settings, change.get("to_status_key"), change.get("to_message"))
        if before == after:
            continue
        at = stamp_of(change, "created_at")
        facts.append(
            ProjectStageChanged(
                source=teller.source,
                entity=teller.entity,
                occurred_at=at,
                project=project,
                stage=after,
                previous=before,
                changed_on=teller.day(at),
                revision=number,
            )
        )
    return facts


def resource_fact(
    teller: Teller, row: Row, role: Row | None, *, resource: str, revision: int, seen_at: datetime
) -> ResourceChanged:
    """A person as the account knows him now.

    Raises:
        Untranslatable: the person has no name.
    """
    if not row.get("full_name"):
        raise Untranslatable("full_name is empty; give the user a name")
    return ResourceChanged(
        source=teller.source,
        entity=teller.entity,
        occurred_at=seen_at,
        resource=resource,
        name=str(row["full_name"]),
        capacity_hours_week=teller.settings.capacity_hours_week,
        status="inactive" if row.get("disabled") else "active",
        role=role.get("name") if role else None,
        email=row.get("email_address") or None,
        revision=revision,
    )


def digest_of(row: Row, role: Row | None) -> str:
    """What tells two states of a person apart; users carry no stamp of change."""
    told = [
        row.get("full_name"),
        row.get("email_address"),
        bool(row.get("disabled")),
        role and role.get("name"),
    ]
    return blake2b(msgspec.json.encode(told), digest_size=6).hexdigest()


def allocation_fact(
    teller: Teller,
    row: Row,
    resource: Row | None,
    *,
    allocation: str,
    project: str,
    person: str | None,
    unnamed: str,
    seen_at: datetime | None = None,
) -> AssignmentChanged:
    """A booking as it stands. A soft one, and one of a role nobody fills yet, is tentative.

    Kantata plans minutes over a range of days; they are spread evenly over its Mondays to Fridays, or over
    all its days where it has none of these.

    Args:
        resource: whom the booking is for: a user, or a role that is still to be filled.
        unnamed: the key of that role, where ``person`` is None.
        seen_at: when it came back after it was told as ended; None for a plain change.

    Raises:
        Untranslatable: a field has no canonical form.
    """
    if resource is None:
        raise Untranslatable(
            f"workspace_resource_id {row.get('workspace_resource_id')!r} is no resource the service user sees"
        )
    starts_on, ends_on = day_of(row, "start_date"), day_of(row, "end_date")
    minutes = row.get("minutes")
    if not isinstance(minutes, int) or isinstance(minutes, bool) or minutes < 0:
        raise Untranslatable(f"minutes {minutes!r} must be a whole number, 0 or more")
    if ends_on < starts_on:
        raise Untranslatable(f"end_date {ends_on} lies before start_date {starts_on}")
    role = {"name": resource.get("role_name")} if resource.get("role_name") else None
    at = max(stamp_of(row, "updated_at"), seen_at or stamp_of(row, "updated_at"))
    return AssignmentChanged(
        source=teller.source,
        entity=teller.entity,
        occurred_at=at,
        assignment=allocation,
        resource=person or unnamed,
        project=project,
        service=service_of(teller.settings, role, None, field="role"),
        starts_on=starts_on,
        ends_on=ends_on,
        hours_per_day=(Decimal(minutes) / 60 / work_days(starts_on, ends_on)).quantize(_PER_DAY),
        tentative=row.get("hard") is not True or person is None,
        revision=_millis(at),
    )


def allocation_ended(
    teller: Teller, *, allocation: str, starts_on: date, seen_at: datetime
) -> AssignmentEnded:
    """A booking that was deleted; nothing of it is planned any more."""
    return AssignmentEnded(
        source=teller.source,
        entity=teller.entity,
        occurred_at=seen_at,
        assignment=allocation,
        ended_on=starts_on,
        revision=_millis(seen_at),
    )


def work_days(starts_on: date, ends_on: date) -> int:
    """Mondays to Fridays in a range, both ends included; all its days where there are none."""
    days = (ends_on - starts_on).days + 1
    weeks, rest = divmod(days, 7)
    loose = sum((starts_on.weekday() + n) % 7 < 5 for n in range(rest))
    return weeks * 5 + loose or days


def _millis(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def day_of(row: Row, field: str) -> date:
    """A day.

    Raises:
        Untranslatable: it is none.
    """
    try:
        return date.fromisoformat(str(row.get(field)))
    except ValueError as error:
        raise Untranslatable(f"{field} {row.get(field)!r} is no date like 2026-10-05") from error


def _resolved_at(submission: Row | None) -> datetime | None:
    if submission is None or not submission.get("current_resolution_created_at_date"):
        return None
    return stamp_of(submission, "current_resolution_created_at_date")


def _resolution(submission: Row | None) -> str | None:
    return (submission or {}).get("current_resolution_description") or None
