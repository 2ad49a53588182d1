"""What bodies and queries must look like, and what Runn says when they do not.

Runn validates against its OpenAPI document; the sentences are those of its validator. Properties it does
not know are dropped without a word.
"""

import re
from typing import Any

import msgspec


class Invalid(Exception):
    """An answer other than success: ``status`` and the sentence in ``message``; of a 429 also the pause."""

    def __init__(self, message: str, status: int = 400, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s


class Prop(msgspec.Struct, frozen=True):
    """One property of a body."""

    kind: str
    """string, integer, number, boolean, array, object or date; ``string?`` also takes null."""
    required: bool = False
    choices: tuple[str, ...] = ()
    minimum: int | None = None


Shape = dict[str, Prop]

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?")

_REFERENCE: Shape = {"referenceName": Prop("string", True), "externalId": Prop("string", True)}

CLIENT: Shape = {
    "name": Prop("string", True),
    "website": Prop("string?"),
    "references": Prop("array"),
    "isArchived": Prop("boolean"),
}
PROJECT: Shape = {
    "name": Prop("string", True),
    "clientId": Prop("integer", True),
    "isConfirmed": Prop("boolean"),
    "isTemplate": Prop("boolean"),
    "isArchived": Prop("boolean"),
    "budget": Prop("number?"),
    "expensesBudget": Prop("number?"),
    "teamId": Prop("integer?"),
    "pricingModel": Prop("string", choices=("fp", "tm", "nb")),
    "rateType": Prop("string", choices=("hours", "days")),
    "rateCardId": Prop("integer?"),
    "references": Prop("array"),
    "managerIds": Prop("array"),
}
PERSON: Shape = {
    "firstName": Prop("string", True),
    "lastName": Prop("string", True),
    "roleId": Prop("integer", True),
    "email": Prop("string?"),
    "references": Prop("array"),
    "isArchived": Prop("boolean"),
    "startDate": Prop("date"),
    "endDate": Prop("date?"),
    "employmentType": Prop("string", choices=("employee", "contractor")),
    "costPerHour": Prop("number?"),
    "minutesPerDay": Prop("integer", minimum=1),
}
ROLE: Shape = {
    "name": Prop("string", True),
    "defaultHourCost": Prop("number?"),
    "standardRate": Prop("number?"),
    "references": Prop("array"),
    "isArchived": Prop("boolean"),
}
ASSIGNMENT: Shape = {
    "personId": Prop("integer", True),
    "projectId": Prop("integer", True),
    "roleId": Prop("integer", True),
    "startDate": Prop("date", True),
    "endDate": Prop("date", True),
    "minutesPerDay": Prop("integer", True, minimum=1),
    "phaseId": Prop("integer?"),
    "workstreamId": Prop("integer?"),
    "note": Prop("string?"),
    "isBillable": Prop("boolean"),
    "isNonWorkingDay": Prop("boolean"),
}
ACTUAL: Shape = {
    "date": Prop("date", True),
    "billableMinutes": Prop("integer", minimum=0),
    "nonbillableMinutes": Prop("integer", minimum=0),
    "billableNote": Prop("string?"),
    "nonbillableNote": Prop("string?"),
    "phaseId": Prop("integer?"),
    "workstreamId": Prop("integer?"),
    "personId": Prop("integer", True),
    "projectId": Prop("integer", True),
    "roleId": Prop("integer", True),
}
NOTE: Shape = {"note": Prop("string", True)}
TEXT_VALUE: Shape = {"id": Prop("integer", True), "value": Prop("string?", True)}
TEXT_FIELD: Shape = {
    "name": Prop("string", True),
    "description": Prop("string?"),
    "model": Prop("string", True, choices=("PERSON", "PROJECT")),
    "required": Prop("boolean"),
    "showInPlanner": Prop("boolean"),
    "filterableInPlanner": Prop("boolean"),
}
LEAVE: Shape = {
    "personId": Prop("integer", True),
    "startDate": Prop("date", True),
    "endDate": Prop("date", True),
    "note": Prop("string?"),
    "minutesPerDay": Prop("integer?"),
}


def body_of(data: object, shape: Shape, *, partial: bool = False, place: str = "body") -> dict[str, Any]:
    """The known properties of a body.

    Args:
        partial: a PATCH, which may leave out what a POST requires.

    Raises:
        Invalid: in the validator's words.
    """
    if not isinstance(data, dict):
        raise Invalid(f"{place} must be object")
    for name, prop in shape.items():
        if prop.required and not partial and name not in data:
            raise Invalid(f"{place} must have required property '{name}'")
    kept = {name: value for name, value in data.items() if name in shape}
    for name, value in kept.items():
        _check(f"{place}/{name}", shape[name], value)
    for at, reference in enumerate(kept.get("references") or ()):
        body_of(reference, _REFERENCE, place=f"{place}/references/{at}")
    return kept


def _check(place: str, prop: Prop, value: object) -> None:
    kind = prop.kind.removesuffix("?")
    if value is None:
        if not prop.kind.endswith("?"):
            raise Invalid(f"{place} must be {'string' if kind == 'date' else kind}")
        return
    fits = {
        "string": isinstance(value, str),
        "date": isinstance(value, str),
        "integer": isinstance(value, int) and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "boolean": isinstance(value, bool),
        "array": isinstance(value, list),
    }[kind]
    if not fits:
        raise Invalid(f"{place} must be {'string' if kind == 'date' else kind}")
    if kind == "date" and not _DAY.fullmatch(str(value)):
        raise Invalid(f'{place} must match format "date"')
    if prop.choices and value not in prop.choices:
        raise Invalid(f"{place} must be equal to one of the allowed values")
    if prop.minimum is not None and isinstance(value, int) and value < prop.minimum:
        raise Invalid(f"{place} must be >= {prop.minimum}")


def whole(query: dict[str, str], name: str, default: int | None = None) -> int | None:
    """A number of a query string."""
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"-?\d+", text):
        raise Invalid(f"querystring/{name} must be integer")
    return int(text)


def flag(query: dict[str, str], name: str, *, default: bool) -> bool:
    """true or false of a query string."""
    text = query.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise Invalid(f"querystring/{name} must be boolean")
    return text == "true"


def choice(query: dict[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    """One word of a query string."""
    text = query.get(name, default)
    if text not in allowed:
        raise Invalid(f"querystring/{name} must be equal to one of the allowed values")
    return text


def day(query: dict[str, str], name: str) -> str | None:
    """A day of a query string."""
    text = query.get(name)
    if text is not None and not _DAY.fullmatch(text):
        raise Invalid(f'querystring/{name} must match format "date"')
    return text


def stamp(query: dict[str, str], name: str) -> str | None:
    """A day or an instant of a query string, padded so that it compares with stored stamps as text."""
    text = query.get(name)
    if text is None:
        return None
    if not _STAMP.fullmatch(text):
        raise Invalid(f'querystring/{name} must match format "date-time"')
    if len(text) == len("2026-10-05"):
        return f"{text}T00:00:00.000Z"
    return text.replace("Z", ".000Z") if text.endswith("Z") and "." not in text else text
