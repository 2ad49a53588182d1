"""TLS to a peer: always verified, 1.2 at least, with the firm's own authority and certificate where set."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from isthmus.sdk.errors import Fatal

__all__ = ["client_context", "expires_at", "why_refused"]


def client_context(ca_file: Path | None, client_cert: Path | None) -> ssl.SSLContext:
    """What a connection is made with. There is no way to switch verification off.

    Args:
        ca_file: The only authorities to trust; None trusts the system's.
        client_cert: Certificate and key in one PEM, for a peer that asks who we are.

    Raises:
        Fatal: a file is missing or is not what it should be.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ValueError) as error:
        raise Fatal(f"ca_file {ca_file}: no certificates in PEM: {error.__class__.__name__}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if client_cert is not None:
        try:
            context.load_cert_chain(str(client_cert))
        except (OSError, ValueError) as error:
            raise Fatal(f"client_cert {client_cert}: no certificate with its key in one PEM") from error
    return context


def why_refused(error: BaseException) -> str | None:
    """The TLS reason inside a transport error, in words for the admin; None where it was something else."""
    for each in _causes(error):
        if isinstance(each, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not accepted: {each.verify_message}"
                " (set ca_file if an authority of your own signed it)"
            )
        if isinstance(each, ssl.SSLError):
            return f"no TLS: {each.reason or each.__class__.__name__}"
    return None


def expires_at(connection: object) -> datetime | None:
    """When the certificate that the peer showed ends; None without TLS."""
    shown = connection.getpeercert() if isinstance(connection, ssl.SSLObject | ssl.SSLSocket) else None
    ends = (shown or {}).get("notAfter")
    return None if not isinstance(ends, str) else datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
