"""Keeps credentials out of what people and files get to see: errors, dead letters, logs.

Three things are replaced by ``***``: every `Secret` that lives in this process, or did so lately, in the
forms it travels in; what stands behind a name that only credentials have; and what an Authorization header or
an address with a password looks like.
"""

import re
from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

from isthmus.sdk.secret import Secret, revealed

__all__ = ["Scrubber", "scrub"]

SECRET_MIN = 8
"""Shorter values are words; replacing them would spoil the sentence and protect nobody."""

_NAMED = re.compile(
    r"""(?ix) ( \b (?: access_token | refresh_token | id_token | client_secret | client_assertion | assertion
                     | password | passwd | api_key | apikey )
              \\? ["']? \s* [=:] \s* \\? ["']? )
        [^"'&\s,}\\]{8,}"""
)
_SHAPES = (
    (_NAMED, r"\1***"),
    # A credential has a digit somewhere; "Basic authentication required" has none.
    (re.compile(r"(?i)\b(?:bearer|basic)\s+(?=\S*\d)[A-Za-z0-9._~+/=-]{8,}"), "***"),
    (re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"), "***"),
)


def scrub(text: str) -> str:
    """``text`` without any credential this process holds, or that shows itself as one."""
    forms = {form for value in revealed() for form in _forms(value, SECRET_MIN)}
    return _replace(text, sorted(forms, key=len, reverse=True))


class Scrubber:
    """Replaces the secrets it has learned as well, also short ones and those nobody holds any more."""

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._known: tuple[str, ...] = ()
        self.learn(secrets)

    def learn(self, secrets: Iterable[Secret]) -> None:
        """Know these secrets too, such as those of a new configuration."""
        forms = set(self._known).union(*(_forms(secret.reveal(), 4) for secret in secrets))
        self._known = tuple(sorted(forms, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """``text`` without any known secret, credential header or password in an address."""
        return scrub(_replace(text, self._known))


def _replace(text: str, forms: Iterable[str]) -> str:
    for form in forms:
        text = text.replace(form, "***")
    for shape, instead in _SHAPES:
        text = shape.sub(instead, text)
    return text


@lru_cache(maxsize=512)
def _forms(value: str, shortest: int) -> frozenset[str]:
    """A secret as it is, quoted for a URL or a form, in base64, and escaped as in JSON."""
    forms: set[str] = set()
    # The lines of a key in PEM may show up alone.
    for part in {value, *(line for line in value.splitlines() if len(line) >= 16)}:
        if len(part) >= shortest and not part.startswith("-----"):
            forms.update((part, quote(part, safe=""), quote_plus(part), b64encode(part.encode()).decode()))
            forms.add(part.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
    return frozenset(forms)
