"""A directory to write configurations into."""

from collections.abc import Callable
from pathlib import Path

import pytest

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes ``isthmus.toml`` and, by keyword, files of ``conf.d``; gives the directory."""

    def write(main: str, **more: str) -> Path:
        (tmp_path / "isthmus.toml").write_text(main)
        (tmp_path / "conf.d").mkdir(exist_ok=True)
        for name, text in more.items():
            (tmp_path / "conf.d" / f"{name}.toml").write_text(text)
        return tmp_path

    return write
