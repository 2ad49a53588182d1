"""Every operation of the services, in one table: what is routed, checked and documented comes from here."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from isthmus.events.values import Hours, Key
from isthmus.ops.explain import Part
from isthmus.ops.financials import ProjectFinancials
from isthmus.ops.invoices import InvoiceStatus
from isthmus.ops.tokens import Scope
from isthmus.services.feed import FeedPage, FeedQuery
from isthmus.services.submissions import (
    AssignmentAdjustment,
    AssignmentWithdrawal,
    ContractAmendment,
    Submission,
    Submitted,
    TimeSubmission,
    TimeWithdrawal,
)

__all__ = ["OPERATIONS", "PREFIX", "Operation", "TimeStatus", "problems_of"]

PREFIX = "/api/v1"


class NoQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An operation without parameters; one that comes all the same is a mistake."""


class TimeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a time entry."""

    entry: Key
    revision: int
    approved: bool
    """False: its approval was withdrawn."""
    hours: Hours | None
    answer: list[str]
    """Where each part of it stands, a sentence for each; none while the rules have not looked at it."""
    parts: list[Part]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that can be asked or submitted."""

    name: str
    method: Literal["GET", "POST"]
    path: str
    """Below `PREFIX`. ``{key}`` takes the rest of the path: a key may have a slash."""
    domain: str
    scope: Scope | None
    """None: nobody is asked who they are."""
    summary: str
    about: str = ""
    key: str = ""
    """What ``{key}`` is."""
    query: type[msgspec.Struct] = NoQuery
    body: type[Submission] | None = None
    answers: dict[int, type[Any] | None]
    """By status; None: the document itself."""


_SUBMITTED: dict[int, type[Any] | None] = {201: Submitted, 200: Submitted}

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        name="getDocument",
        method="GET",
        path="/openapi.json",
        domain="about",
        scope=None,
        summary="This document",
        answers={200: None},
    ),
    Operation(
        name="getProjectFinancials",
        method="GET",
        path="/project-financials/{key}",
        domain="projects",
        scope="projects:read",
        summary="Financial status of a project",
        about="Charged, held by reason, unbilled, invoiced, paid and backlog, from the same facts as the "
        "command line and the metrics.",
        key="the project's key, such as crm:0068c00000AbCdE",
        answers={200: ProjectFinancials},
    ),
    Operation(
        name="submitTime",
        method="POST",
        path="/time-entries",
        domain="time",
        scope="time:submit",
        summary="Submit an approved time entry",
        about="A change is the same entry with a higher revision; what the older one billed is reversed.",
        body=TimeSubmission,
        answers=_SUBMITTED,
    ),
    Operation(
        name="withdrawTime",
        method="POST",
        path="/time-withdrawals",
        domain="time",
        scope="time:submit",
        summary="Take the approval of a time entry back",
        about="Its revision is higher than the one that is withdrawn.",
        body=TimeWithdrawal,
        answers=_SUBMITTED,
    ),
    Operation(
        name="getTime",
        method="GET",
        path="/time-entries/{key}",
        domain="time",
        scope="time:read",
        summary="What became of a time entry",
        about="Billed and where it arrived, waived, or held, why, and what ends the hold.",
        key="the `key` of the submission's answer, or any system's key of a time entry",
        answers={200: TimeStatus},
    ),
    Operation(
        name="amendContract",
        method="POST",
        path="/contract-amendments",
        domain="contracts",
        scope="contracts:submit",
        summary="Amend a contract in every system",
        about="The lines are the whole new truth. Terms, contract, schedule, demand and projection follow in "
        "this order, each when the one before is done.",
        body=ContractAmendment,
        answers=_SUBMITTED,
    ),
    Operation(
        name="adjustForecast",
        method="POST",
        path="/forecast-adjustments",
        domain="forecast",
        scope="forecast:submit",
        summary="Publish an adjustment of the forecast",
        about="An assignment is what the forecast looks ahead with; a new outlook of the project follows "
        "within the forecast's lag window, and stands in the feed as forecast.revised.",
        body=AssignmentAdjustment,
        answers=_SUBMITTED,
    ),
    Operation(
        name="withdrawForecastAdjustment",
        method="POST",
        path="/forecast-withdrawals",
        domain="forecast",
        scope="forecast:submit",
        summary="End an adjustment of the forecast",
        about="From `ended_on` on nothing is planned by it. Its revision is higher than the adjustment's.",
        body=AssignmentWithdrawal,
        answers=_SUBMITTED,
    ),
    Operation(
        name="getInvoice",
        method="GET",
        path="/invoices/{key}",
        domain="invoices",
        scope="invoices:read",
        summary="Status of an invoice",
        key="the invoice's key, or the ERP's own id of it",
        answers={200: InvoiceStatus},
    ),
    Operation(
        name="readFeed",
        method="GET",
        path="/feed",
        domain="feed",
        scope="feed:read",
        summary="Events and forecast facts in pages",
        about="For a reader that tolerates lag: read until `more` is false, keep `next`, ask again later.",
        query=FeedQuery,
        answers={200: FeedPage},
    ),
)


def problems_of(operation: Operation) -> list[str]:
    """The codes of the problems an operation may answer with."""
    found = ["too-slow", "too-large", "wrong-host", "invalid", "broken"]
    if operation.scope is not None:
        found += [
            "no-token",
            "bad-token",
            "expired-token",
            "revoked-token",
            "missing-scope",
            "rate-limited",
            "busy",
        ]
    if operation.key:
        found.append("not-found")
    if operation.body is not None:
        found += ["malformed", "not-json", "other-content", "overtaken", "key-reused"]
    return found


IdempotencyKey = Annotated[
    str,
    Meta(
        pattern=r"^[!-~]{1,200}$(?!\n)",
        description="chosen by you, new for each submission; the same request under it is answered the same",
    ),
]
"""The header of operations with a body."""
