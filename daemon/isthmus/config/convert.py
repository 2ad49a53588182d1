"""From plain TOML values to settings Structs, with every problem noted and none raised.

msgspec stops at the first wrong value. So each field is converted on its own, and tables inside tables are
walked; only what has no structure of its own is left to `msgspec.convert`, strictly.
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec

from isthmus.config.places import KeyPath, dotted
from isthmus.config.problems import Findings, did_you_mean
from isthmus.events.values import decode_hook
from isthmus.sdk.secret import Secret

__all__ = ["WRONG", "Converter", "CredentialProblem", "Wrong", "build"]

S = TypeVar("S", bound=msgspec.Struct)
_WHERE = re.compile(r" - at `(key in )?\$.*`$")


class Wrong:
    """Stands for a value that could not be converted; its problem is noted."""


WRONG = Wrong()


class CredentialProblem(ValueError):
    """A secret that cannot be had: the code, and what the admin does."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


class Converter:
    """Converts the values of one configuration.

    Args:
        directory: what relative paths start from.
        secret: gives the secret a value refers to, or raises `CredentialProblem`.
    """

    def __init__(
        self, findings: Findings, directory: Path, secret: Callable[[object], Secret] | None = None
    ) -> None:
        self._findings = findings
        self._directory = directory
        self._secret = secret

    def fields(
        self, wanted: type[msgspec.Struct], raw: Mapping[str, Any], path: KeyPath, also: Sequence[str] = ()
    ) -> dict[str, Any] | Wrong:
        """The field values of ``wanted`` from a table; `WRONG` when any of them has a problem.

        ``also`` has further keys the table may have, that were taken out before.
        """
        before = self._findings.errors
        fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}
        for key in raw:
            if key not in fields:
                name = dotted(path) or "the configuration"
                known = [*fields, *also]
                hint = did_you_mean(key, known) or f"it knows {', '.join(known)}"
                self._findings.add("config.unknown-key", (*path, key), f'{name} has no setting "{key}"', hint)
        values = {}
        for key, field in fields.items():
            if key in raw:
                values[field.name] = self.value(field.type, raw[key], (*path, key))
            elif field.required:
                self._findings.add(
                    "config.missing-key", path, f'{dotted(path)} needs "{key}"', _example(key, field.type)
                )
        return values if self._findings.errors == before else WRONG

    def struct(
        self, wanted: type[S], raw: Mapping[str, Any], path: KeyPath, also: Sequence[str] = ()
    ) -> S | Wrong:
        """A whole Struct from a table."""
        values = self.fields(wanted, raw, path, also)
        if isinstance(values, Wrong):
            return values
        return build(self._findings, wanted, values, path)

    def value(self, wanted: Any, raw: Any, path: KeyPath) -> Any:
        """One value; `WRONG` when it has a problem."""
        before = self._findings.errors
        inside = _only_struct(wanted)
        if inside is not None and isinstance(raw, dict):
            return self.struct(inside, raw, path)
        parts = self._parts(wanted, raw, path)
        if self._findings.errors > before:
            return WRONG
        if parts is not None:
            return parts
        try:
            return msgspec.convert(raw, wanted, strict=True, dec_hook=self._hook)
        except msgspec.ValidationError as error:
            self._note(error, wanted, raw, path)
            return WRONG

    def _parts(self, wanted: Any, raw: Any, path: KeyPath) -> Any:
        """A list or table of tables, element by element; None where there is no Struct inside.

        Other lists and tables are looked at element by element too, but only for their problems.
        """
        element = _element(wanted)
        if element is None or not isinstance(raw, list | dict):
            return None
        pairs = enumerate(raw) if isinstance(raw, list) else raw.items()
        made = {key: self.value(element, item, (*path, key)) for key, item in pairs}
        if _only_struct(element) is None:
            return None
        origin = get_origin(_bare(wanted)) or list
        return made if isinstance(raw, dict) else (tuple if origin is tuple else list)(made.values())

    def _hook(self, wanted: type, raw: object) -> object:
        if wanted is Secret and self._secret is not None:
            return self._secret(raw)
        if wanted is Path:
            return self._path(raw)
        return decode_hook(wanted, raw)

    def _path(self, raw: object) -> Path:
        if not isinstance(raw, str) or not raw or "\0" in raw:
            raise ValueError("expected a path in quotes")
        if raw.startswith("~"):
            raise ValueError('"~" is not expanded; write the path in full')
        return self._directory / raw

    def _note(self, error: msgspec.ValidationError, wanted: Any, raw: Any, path: KeyPath) -> None:
        cause = error.__cause__
        if isinstance(cause, CredentialProblem):
            self._findings.add(cause.code, path, f"{dotted(path)}: {cause}", cause.hint, secret=True)
            return
        text = _WHERE.sub("", str(error))
        hint = ""
        choices = [choice for choice in get_args(_bare(wanted)) if isinstance(choice, str)]
        if choices:
            text = f"expected one of {', '.join(choices)}"
            hint = did_you_mean(raw, choices) if isinstance(raw, str) else ""
        self._findings.add(
            "config.bad-value",
            path,
            f"{dotted(path)}: {text[:1].lower()}{text[1:]}",
            hint,
            secret=_holds_secret(wanted),
        )


def build(findings: Findings, wanted: type[S], values: Mapping[str, Any], path: KeyPath) -> S | Wrong:
    """Make the Struct; what its own check refuses becomes a problem at the setting it names."""
    try:
        return wanted(**values)
    except (ValueError, TypeError) as error:
        named = [name for name in values if re.search(rf"\b{re.escape(name)}\b", str(error))]
        key = (*path, named[0]) if named else path
        secret = any(_holds_secret(field.type) for field in msgspec.structs.fields(wanted))
        findings.add("config.bad-value", key, f"{dotted(path)}: {error}", secret=secret)
        return WRONG


def _bare(wanted: Any) -> Any:
    """The type without ``Annotated`` and without ``| None``."""
    while get_origin(wanted) is Annotated:
        wanted = get_args(wanted)[0]
    if get_origin(wanted) in (Union, types.UnionType):
        rest = [arg for arg in get_args(wanted) if arg is not type(None)]
        if len(rest) == 1:
            return _bare(rest[0])
    return wanted


def _only_struct(wanted: Any) -> type[msgspec.Struct] | None:
    """The Struct a table must have the form of; None for tagged Structs, which msgspec chooses among."""
    bare = _bare(wanted)
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and bare.__struct_config__.tag is None:
        return bare
    return None


def _element(wanted: Any) -> Any:
    """What a list or a table of values holds; None for anything else."""
    bare = _bare(wanted)
    origin, args = get_origin(bare), get_args(bare)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return args[1]
    if origin in (list, set, frozenset) or (origin is tuple and args[1:] == (...,)):
        return args[0]
    return None


def _holds_secret(wanted: Any) -> bool:
    return _bare(wanted) is Secret or any(_holds_secret(arg) for arg in get_args(wanted))


def _example(key: str, wanted: Any) -> str:
    bare = _bare(wanted)
    if bare is Secret:
        return f'write {key} = {{ credential = "a-name" }}'
    if bare is str or bare is Path:
        return f'write {key} = "..."'
    return f"write {key} = ..."
