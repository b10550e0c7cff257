"""A hub without a network: repositories given as folders, served to the hub client in this process.

Every request for a repository is recorded. The local cache is a temporary one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory

__all__ = ["FakeHub", "fake_hub"]


@dataclass
class FakeHub:
    """What is on the hub, what is in its local cache, and what was asked.

    Attributes:
        cache: the folder of the local cache.
        repositories: folders by repository id.
        up: False: no connection can be made.
        ill: every request is answered with an error of the server.
        asked: "METHOD path" of every request for a repository.
    """

    cache: Path
    repositories: dict[str, Path] = field(default_factory=dict)
    up: bool = True
    ill: bool = False
    asked: list[str] = field(default_factory=list)

    def commit(self, repository: str) -> str:
        return hashlib.sha1(repository.encode()).hexdigest()

    def add_to_cache(
        self, repository: str, folder: Path, *, without: tuple[str, ...] = (), absent: Any = ()
    ) -> Path:
        """Lay a folder out as a cached snapshot of the main branch; return the snapshot.

        Args:
            without: names of files that have not been downloaded.
            absent: names of files that are known not to exist.
        """
        place = self.cache / f"models--{repository.replace('/', '--')}"
        commit = self.commit(repository)
        snapshot, nothing = place / "snapshots" / commit, place / ".no_exist" / commit
        for one in (snapshot, nothing, place / "refs"):
            one.mkdir(parents=True, exist_ok=True)
        (place / "refs" / "main").write_text(commit)
        for file in folder.iterdir():
            if file.name not in without:
                (snapshot / file.name).symlink_to(file)
        for name in absent:
            (nothing / name).touch()
        return snapshot

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "/resolve/" in path or path.startswith("/api/models/"):  # not the client's own business
            self.asked.append(f"{request.method} {path}")
        if not self.up:
            raise httpx.ConnectError("no network here", request=request)
        if self.ill:
            return httpx.Response(503)
        if path.startswith("/api/"):
            return self._describe(path.removeprefix("/api/models/"))
        owner, name, _, _, *rest = path.strip("/").split("/")
        repository, file = f"{owner}/{name}", "/".join(rest)
        found = self.repositories.get(repository, Path("none")) / file
        if repository not in self.repositories:
            return httpx.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        commit = {"X-Repo-Commit": self.commit(repository)}
        if not found.is_file():
            return httpx.Response(404, headers={"X-Error-Code": "EntryNotFound", **commit})
        content = found.read_bytes()
        tag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{tag}"', "Content-Length": str(len(content)), **commit}
        return httpx.Response(
            200, headers=headers, content=b"" if request.method == "HEAD" else content
        )

    def _describe(self, asked: str) -> httpx.Response:
        """A repository and its files, or the tree of its files."""
        repository = "/".join(asked.split("/")[:2])
        folder = self.repositories.get(repository)
        if folder is None:
            return httpx.Response(404, headers={"X-Error-Code": "RepoNotFound"})
        if "/tree/" in asked:
            whole = asked.endswith(self.commit(repository))  # else a folder in it, and it has none
            tree = [
                {"type": "file", "path": f.name, "size": f.stat().st_size, "oid": f.name}
                for f in folder.iterdir()
            ]
            return httpx.Response(200, json=tree if whole else [])
        files = [{"rfilename": f.name} for f in folder.iterdir()]
        commit = self.commit(repository)
        found = {"id": repository, "sha": commit, "siblings": files, "tags": []}
        return httpx.Response(200, json=found)


@contextmanager
def fake_hub(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FakeHub]:
    """Put a fake hub in place of the real one."""
    hub = FakeHub(cache)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
    set_client_factory(lambda: httpx.Client(transport=httpx.MockTransport(hub._answer)))
    try:
        yield hub
    finally:
        set_client_factory(default_client_factory)
