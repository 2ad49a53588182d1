"""Sends notices to a webhook, signed as Standard Webhooks says."""

from datetime import datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from isthmus.ops.notices.channels import Channel, Gone, NotTaken
from isthmus.ops.notices.deciding import Notice
from isthmus.ops.notices.words import body
from isthmus.sdk.errors import ConnectorError, Throttled
from isthmus.sdk.http import HttpLimits, open_http
from isthmus.sdk.secret import Secret
from isthmus.sdk.signing import keys_of, signed

__all__ = ["Webhook"]

DEADLINE_S = 20.0
ANSWER_MAX = 64 * 1024


class Webhook(Channel):
    """One address. Redirects are not followed: they are a failure, as anything but 2xx is."""

    name = "webhook"

    def __init__(self, url: str, secret: Secret, *, ca_file: Path | None = None) -> None:
        """
        Args:
            ca_file: PEM of the only authorities to trust; None trusts the system's.

        Raises:
            ValueError: the secret has not the form of one.
        """
        parts = urlsplit(url)
        self.address = sha256(url.encode()).hexdigest()
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secret_path = parts.path
        self._keys = keys_of(secret)
        self._limits = HttpLimits(deadline_s=DEADLINE_S, max_body_bytes=ANSWER_MAX, ca_file=ca_file)

    async def send(self, notice: Notice, now: datetime) -> str:
        content = body(notice)
        headers = {"content-type": "application/json", **signed(notice.id, now, content, self._keys)}
        try:
            async with open_http(self._origin, limits=self._limits) as http:
                reply = await http.post(self._path, content=content, headers=headers)
        except Throttled as error:
            raise NotTaken(self._words(error), retry_after_s=error.retry_after_s) from error
        except ConnectorError as error:
            raise NotTaken(self._words(error)) from error
        if reply.status == 410:
            raise Gone("it answered 410: no more messages are wanted there")
        if not reply.ok:
            where = "; redirects are not followed" if 300 <= reply.status < 400 else ""
            raise NotTaken(f"it answered {reply.status}{where}")
        return f"it answered {reply.status}"

    def _words(self, error: ConnectorError) -> str:
        """The path of such an address is often a secret itself."""
        words = str(error)
        return words.replace(self._secret_path, "(path)") if len(self._secret_path) > 1 else words
