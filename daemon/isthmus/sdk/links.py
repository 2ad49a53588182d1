"""Whether a link that a peer gave stays at the configured origin: scheme, host and port."""

from urllib.parse import urljoin, urlsplit

from isthmus.sdk.errors import Fatal

__all__ = ["Origin", "check_base", "origin_of", "resolve", "shown"]

Origin = tuple[str, str, int]
"""Scheme, host in lower case, port."""


def check_base(base_url: str) -> None:
    """Look at a configured base URL.

    Raises:
        Fatal: it is no http(s) URL, or carries credentials.
    """
    refusal = f"{shown(base_url)!r} is no base URL; write https://host without a user name"
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        usable = False
    if not usable:
        raise Fatal(refusal)


def resolve(base: str, link: str) -> str:
    """``link`` as an absolute URL of the origin of ``base``, as the standard library reads it.

    Refused are links with a user name, and what some readers mend and others do not: ``//host``,
    backslashes, spaces, control characters.

    Raises:
        Fatal: the link leaves the origin, or is malformed.
    """
    if link.startswith("//") or "\\" in link or any(ord(c) < 33 for c in link):
        raise Fatal(f"a link of the peer is malformed: {shown(link)!r}")
    try:
        joined = urljoin(base, link or ".")
        parts = urlsplit(joined)
    except ValueError as error:
        raise Fatal(f"a link of the peer is malformed: {shown(link)!r}") from error
    if parts.username is not None or parts.password is not None or origin_of(joined) != origin_of(base):
        raise Fatal(f"a link of the peer leaves {origin_of(base)[1]}: {parts.scheme}://{parts.hostname}")
    return joined


def origin_of(url: str) -> Origin:
    """Where a URL leads; the port is 0 where it has none that could be meant."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError:
        port = 0
    return parts.scheme, (parts.hostname or "").lower(), port


def shown(url: str) -> str:
    """The start of a URL for an error: no user name, no query."""
    return url.partition("?")[0].rpartition("@")[2][:80]
