"""Runs a command line inside the test's own process, which is quicker than an interpreter for each."""

import contextlib
import io
import os
from unittest import mock

import msgspec

from isthmus.cli.commands import app
from isthmus.cli.exits import carry_out

__all__ = ["Done", "isthmus"]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a command said and how it ended."""

    returncode: int
    stdout: str
    stderr: str


def isthmus(*arguments: str, **env: str) -> Done:
    """Run ``isthmus ARGUMENTS`` with these further environment variables."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.dict(os.environ, env),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = carry_out(app, list(arguments))
    return Done(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())
