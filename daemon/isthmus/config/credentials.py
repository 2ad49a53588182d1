"""Secrets come from files that only the service can read, never from the configuration."""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from isthmus.config.convert import CredentialProblem
from isthmus.sdk.secret import Secret

__all__ = ["Secrets"]

MAX_BYTES = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Secrets:
    """Looks credentials up: in ``$CREDENTIALS_DIRECTORY`` first, else in ``secrets_dir``.

    systemd guards the first; the second must be 0700 and its files 0600, or nothing is read from it.
    """

    def __init__(self, secrets_dir: Path | None, environ: Mapping[str, str] = os.environ) -> None:
        given = environ.get("CREDENTIALS_DIRECTORY")
        self._credentials_dir = Path(given) if given else None
        self._secrets_dir = secrets_dir
        self.given: list[Secret] = []
        """Every secret handed out so far, for the log's scrubber."""

    def resolve(self, value: object) -> Secret:
        """The secret that ``{ credential = "name" }`` refers to.

        Raises:
            CredentialProblem: it is written literally, misspelt, missing, or readable by others.
        """
        if not isinstance(value, dict):
            raise CredentialProblem(
                "config.literal-secret",
                "a secret must not be written into the file",
                'put it into a file of its own and write { credential = "its-name" }',
            )
        name = value.get("credential")
        if set(value) != {"credential"} or not isinstance(name, str) or not _NAME.fullmatch(name):
            raise CredentialProblem(
                "config.bad-credential",
                "this is no reference to a credential",
                'write { credential = "name" }; a name has letters, digits, dots, dashes and underscores',
            )
        secret = Secret(self._read(name))
        self.given.append(secret)
        return secret

    def _read(self, name: str) -> str:
        if self._credentials_dir is not None:
            # The unit's LoadCredential=secret:DIRECTORY gives each file of it the name secret_<file>.
            for file in (name, f"secret_{name}"):
                content = _content(self._credentials_dir / file)
                if content is not None:
                    return content
        if self._secrets_dir is not None and _is_private(self._secrets_dir):
            content = _content(self._secrets_dir / name, private=True)
            if content is not None:
                return content
        where = "set daemon.secrets_dir, or (as systemd does) CREDENTIALS_DIRECTORY"
        if self._secrets_dir is not None:
            where = f"put it into {self._secrets_dir / name} (mode 0600, directory 0700)"
        elif self._credentials_dir is not None:
            where = (
                f"put it into a file {name} in the directory the unit's LoadCredential= names, and restart"
            )
        raise CredentialProblem("config.missing-credential", f'there is no credential "{name}"', where)


def _is_private(directory: Path) -> bool:
    """Whether secrets may be read from it; False when it is not there.

    Raises:
        CredentialProblem: others can look into it.
    """
    try:
        status = directory.stat()
    except OSError:
        return False
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid not in (os.geteuid(), 0):
        raise CredentialProblem(
            "config.unsafe-credential",
            f"others can look into {directory} (mode {stat.S_IMODE(status.st_mode):04o})",
            f"chmod 0700 {directory}, owned by the service's user",
        )
    return True


def _content(file: Path, *, private: bool = False) -> str | None:
    """What a file holds; None when there is no such file.

    Raises:
        CredentialProblem: it cannot be read, is no plain file, or (``private``) others can read it.
    """
    try:
        # Non-blocking, so that a pipe put there cannot hang the start.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        text, hint = f"{file} cannot be read: {error.strerror}", "let the service's user read it"
        raise CredentialProblem("config.missing-credential", text, hint) from error
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            text, hint = f"{file} is no plain file", "put the secret into a plain file"
            raise CredentialProblem("config.unsafe-credential", text, hint)
        if private and stat.S_IMODE(status.st_mode) & 0o077:
            text = f"others can read {file} (mode {stat.S_IMODE(status.st_mode):04o})"
            hint = f"chmod 0600 {file}, and change the secret if it was exposed"
            raise CredentialProblem("config.unsafe-credential", text, hint)
        return _text(file, os.read(handle, MAX_BYTES + 1))
    finally:
        os.close(handle)


def _text(file: Path, content: bytes) -> str:
    """The secret without the line end that an editor adds."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise CredentialProblem(
            "config.bad-credential", f"{file} is not UTF-8 text", "store it as text, keys as PEM"
        ) from error
    text = text.removesuffix("\n").removesuffix("\r")
    if not text or len(content) > MAX_BYTES:
        size = "empty" if not text else f"longer than {MAX_BYTES} bytes"
        raise CredentialProblem("config.bad-credential", f"{file} is {size}", "write the secret into it")
    return text
