"""What an admin decides about one Kantata account."""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from isthmus.events import Hours
from isthmus.sdk import Secret

ServiceField = Literal["role", "task", "task_type", "default"]


class KantataSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One account, seen through the token of a service user who may approve time."""

    token: Secret
    """Access token of the service user; Kantata's tokens do not expire."""
    base_url: str = "https://api.mavenlink.com/api/v1"
    """Where the API lives; another host only for a simulator or a proxy of your own."""
    time_zone: str = "UTC"
    """IANA zone in which the day of an approval or a completion is counted."""
    read_from: date | None = None
    """Facts last changed before this day are not read; leave out to read the whole history."""
    page_size: Annotated[int, msgspec.Meta(ge=2, le=200)] = 200
    """Records per page; Kantata gives at most 200."""
    overlap_s: Annotated[float, msgspec.Meta(ge=0)] = 600.0
    """How far each poll reaches back behind the newest change: what was committed late is still met."""
    settle_s: Annotated[float, msgspec.Meta(ge=0)] = 2.0
    """How old a change must be before it is told; Kantata's stamps have whole seconds only."""
    hints: bool = False
    """Ask Kantata's event feed first, and read only where it has news; the feed is an add-on."""
    full_pass_s: Annotated[float, msgspec.Meta(ge=0)] = 900.0
    """With ``hints``: how long a stream may go unread while the feed has no news of it."""
    removals_every_s: Annotated[float, msgspec.Meta(ge=0)] = 1800.0
    """How often all open allocations are listed, to find those that were deleted."""
    service_name: str = "isthmus"
    """``service_name`` of the external references written into Kantata."""
    service_field: ServiceField = "role"
    """What names the service of a time entry: its ``role``, the title of its ``task``, the
    ``task_type``, or always ``default`` (see ``default_service``)."""
    services: dict[str, str] = {}
    """Kantata's name of a service to ours, such as ``{"Senior Consultant" = "consulting"}``; a name
    that is not listed is used as it is, in lower case with ``_`` for blanks."""
    default_service: str | None = None
    """Service of an entry that names none; without it such an entry becomes a dead letter."""
    categories: dict[str, str] = {}
    """Kantata's expense category to ours; what is not listed is used as it is."""
    people: Literal["with_role", "all"] = "with_role"
    """Who is a resource: people ``with_role`` only, or ``all`` users, administrators and tools included."""
    capacity_hours_week: Hours = Decimal(40)
    """Weekly capacity of a person; Kantata's user record does not hold it."""
    stages: dict[str, str] = {}
    """Status message or status key of a project to a stage (planned active on_hold completed cancelled),
    before the built-in table is asked."""
    billing_milestones: bool = False
    """Show the billing schedule of a contract as billing milestones. Leave it off where somebody invoices out
    of Kantata: what isthmus bills would be billed twice."""
    status_keys: dict[str, int] = {}
    """Stage to the status key written for it, where the account does not use the built-in ones."""
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=16)] = 4
    """Calls at the same time."""
    per_second: float | None = None
    """Calls per second at most; Kantata does not publish its limits."""
    deadline_s: float = 60.0
    """Longest wait for one answer. Kantata itself gives up after three minutes."""
    worst_commit_s: float = 180.0
    """How long after a lost answer Kantata may still write: its own three minutes. What was created is looked
    up only then; at Kantata itself less than 180 is refused."""
