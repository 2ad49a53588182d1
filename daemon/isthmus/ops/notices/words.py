"""A notice in words: a subject, a plain text for people, a JSON body for programs. Pure."""

from collections.abc import Iterable, Mapping
from datetime import UTC
from decimal import Decimal

import msgspec

from isthmus.ops.notices.deciding import Group, Notice

__all__ = ["body", "heading", "text"]

_encoder = msgspec.json.Encoder(decimal_format="string")
_LOOK = {
    "parked": "isthmus status",
    "quarantined": "isthmus connector list",
}
"""By class: the command that tells more; for exceptions it is `isthmus exception list`."""


def heading(notice: Notice) -> str:
    """One line of our own words, numbers and the owner's name."""
    owner = _line(notice.owner, 60)
    match notice.kind:
        case "news":
            return f"isthmus: {notice.count} new for {owner}, {notice.open} open"
        case "reminder":
            return f"isthmus: {notice.open} still open for {owner}"
        case "resolved":
            return f"isthmus: all is resolved for {owner}"
        case "test":
            return f"isthmus: a test message for {owner}"


def text(notice: Notice) -> str:
    """The message for people: no line is longer than a mail may have."""
    lines = [heading(notice), ""]
    if notice.kind == "test":
        lines.append("Somebody ran 'isthmus notify test'. Nothing needs to be done.")
    elif notice.kind == "resolved":
        lines.append("Nothing waits for you any more.")
    else:
        lines.append("What is new:" if notice.kind == "news" else "What still waits for you:")
        lines += [line for group in notice.groups for line in _group(group)]
        if notice.left_out:
            lines.append(f"  and {notice.left_out} more groups")
        lines += ["", f"In all {notice.open} wait{_at_stake(notice.stakes)}."]
        lines += ["", f"To see them: {', '.join(_commands(notice.groups))}"]
    lines += ["", f"Message {notice.id} of {notice.made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"]
    return "\n".join(lines) + "\n"


def body(notice: Notice) -> bytes:
    """The webhook's body: ``{"type", "timestamp", "data"}`` as Standard Webhooks advises.

    Amounts are strings of their digits. The same notice gives the same bytes, so the same signature base.
    """
    data = {
        "owner": notice.owner,
        "text": heading(notice),
        "count": notice.count,
        "open": notice.open,
        "stakes": notice.stakes,
        "groups": [
            {
                "class": group.error_class,
                "where": group.where,
                "count": group.count,
                "stakes": group.stakes,
                "subjects": [_line(subject, 80) for subject in group.subjects],
            }
            for group in notice.groups
        ],
        "groups_left_out": notice.left_out,
    }
    return _encoder.encode(
        {"type": f"notice.{notice.kind}", "timestamp": notice.made_at.astimezone(UTC), "data": data}
    )


def _group(group: Group) -> Iterable[str]:
    where, what = _line(group.where, 80), _line(group.error_class, 40)
    yield f"  {group.count} x {what} in {where}{_at_stake(group.stakes)}"
    if group.subjects:
        more = "" if group.count <= len(group.subjects) else " ..."
        yield f"      {', '.join(_line(subject, 80) for subject in group.subjects)}{more}"


def _at_stake(stakes: Mapping[str, Decimal]) -> str:
    sums = ", ".join(f"{amount} {_line(currency, 3)}" for currency, amount in stakes.items())
    return f", at stake {sums}" if sums else ""


def _commands(groups: Iterable[Group]) -> list[str]:
    return sorted({_LOOK.get(group.error_class, "isthmus exception list") for group in groups})


def _line(raw: str, most: int) -> str:
    """A name that others chose, on one line and with nothing a terminal or a mail reader would obey."""
    shown = "".join(each if each.isprintable() else " " for each in raw)
    return shown if len(shown) <= most else shown[: most - 3] + "..."
