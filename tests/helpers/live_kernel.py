"""A live kernel of this very Python, as Jupyter talks to it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ipykernel")
pytest.importorskip("jupyter_client")

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

__all__ = ["PATIENCE", "Cell", "Kernel", "environment", "live_kernel", "manager", "plain"]

#: Seconds for one answer; a kernel that was killed never gives one.
PATIENCE = 60

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def plain(text: str) -> str:
    """Without terminal colours."""
    return _COLOUR.sub("", text)


def manager(directory: Path, kind: type[KernelManager] = KernelManager) -> KernelManager:
    """Of a kernel of `sys.executable`, whatever kernels this machine has installed."""
    none_installed = KernelSpecManager(kernel_dirs=[])
    return kind(kernel_spec_manager=none_installed, connection_file=str(directory / "connection.json"))


def environment(directory: Path) -> dict[str, str]:
    """No settings, history or startup files of the user's, no threads, no colours."""
    return {
        **os.environ,
        "IPYTHONDIR": str(directory / "ipython"),
        "JUPYTER_CONFIG_DIR": str(directory / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(directory),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }


@dataclass(frozen=True)
class Cell:
    """What one executed cell answered."""

    content: dict[str, Any]
    outputs: list[tuple[str, dict[str, Any]]]

    @property
    def text(self) -> str:
        """What it printed."""
        return plain("".join(content["text"] for kind, content in self.outputs if kind == "stream"))

    @property
    def data(self) -> dict[str, str]:
        """Its value, by MIME type."""
        (data,) = [content["data"] for kind, content in self.outputs if kind == "execute_result"]
        return data

    @property
    def page(self) -> str:
        """What `?` shows below the notebook."""
        (payload,) = self.content["payload"]
        assert payload["source"] == "page"
        return plain(payload["data"]["text/plain"])


class Kernel:
    def __init__(self, client: BlockingKernelClient) -> None:
        self.client = client

    def run(self, code: str) -> Cell:
        """Execute a cell."""
        outputs: list[tuple[str, dict[str, Any]]] = []

        def note(message: dict[str, Any]) -> None:
            outputs.append((message["msg_type"], message["content"]))

        reply = self.client.execute_interactive(code, timeout=PATIENCE, output_hook=note, allow_stdin=False)
        return Cell(reply["content"], outputs)

    def define(self, code: str) -> None:
        """Execute a cell that says nothing and fails at nothing."""
        cell = self.run(code)
        assert cell.content["status"] == "ok", plain("\n".join(cell.content["traceback"]))

    def tooltip(self, code: str, detail_level: int = 0) -> str:
        """What Shift-Tab shows with the cursor at the end of `code`."""
        reply = self.client.inspect(code, len(code), detail_level, reply=True, timeout=PATIENCE)
        assert reply["content"]["status"] == "ok"
        return plain(reply["content"]["data"].get("text/plain", ""))

    def completions(self, code: str) -> list[str]:
        """What Tab offers with the cursor at the end of `code`."""
        reply = self.client.complete(code, len(code), reply=True, timeout=PATIENCE)
        assert reply["content"]["status"] == "ok"
        return reply["content"]["matches"]


@contextmanager
def live_kernel(directory: Path) -> Iterator[Kernel]:
    started = manager(directory)
    started.start_kernel(env=environment(directory), cwd=str(directory), extra_arguments=["--log-level=40"])
    client = started.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=PATIENCE)
        yield Kernel(client)
    finally:
        client.stop_channels()
        started.shutdown_kernel(now=True)
