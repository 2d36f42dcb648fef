"""A hub id is looked at first: what can't be used is refused before any weights are downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlparse

from astrogate.models.loading.locate import shipped_folder

SHA = hashlib.sha1(b"a commit").hexdigest()
TRY = """
import json, sys, warnings
warnings.simplefilter("ignore")
import astrogate as ag
from astrogate.measure.clip import Clip
for name in sys.argv[1:]:
    try:
        got = Clip(name[5:]).folder.name if name.startswith("clip:") else ag.load(name, device="cpu").name
        print(json.dumps([name, got]))
    except ag.AstrogateError as error:
        print(json.dumps([name, str(error)]))
"""


class Hub(BaseHTTPRequestHandler):
    """The part of the hub's protocol by which a repository is listed and its files are downloaded."""

    root: Path
    claimed: dict[str, int]
    got: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        words = urlparse(self.path).path.strip("/").split("/")
        if words[:2] == ["api", "models"]:
            self.listed("/".join(words[2:4]), tree="tree" in words)
        else:  # owner/name/resolve/revision/file
            path = self.root / "/".join(words[:2]) / "/".join(words[4:])
            if self.command == "GET":
                self.got.append("/".join((*words[:2], *words[4:])))
            self.sent(path.read_bytes() if path.is_file() else None)

    def listed(self, repo: str, *, tree: bool) -> None:
        folder = self.root / repo
        if not folder.is_dir():
            self.sent(None)
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        size = self.claimed.get(repo)
        siblings = [
            {"rfilename": str(path.relative_to(folder)), "size": size or path.stat().st_size, "blobId": "x"}
            for path in files
        ]
        told: Any = {"id": repo, "sha": SHA, "siblings": siblings}
        if tree:
            told = [{"type": "file", "path": s["rfilename"], "size": s["size"], "oid": "x"} for s in siblings]
        self.sent(json.dumps(told).encode())

    def sent(self, content: bytes | None) -> None:
        self.send_response(404 if content is None else 200)
        if content is None:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("X-Repo-Commit", SHA)
        self.send_header("ETag", f'"{hashlib.sha256(content or b"").hexdigest()}"')
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command == "GET" and content:
            self.wfile.write(content)

    def log_message(self, *given: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(root: Path, claimed: dict[str, int]) -> Generator[tuple[str, list[str]]]:
    """A hub of the repositories in a folder: its address, and what is downloaded from it."""
    handler = type("Handler", (Hub,), {"root": root, "claimed": claimed, "got": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", handler.got
    finally:
        server.shutdown()
        server.server_close()


def tried(endpoint: str, home: Path, *names: str) -> dict[str, str]:
    """What loading hub ids says: the model's name, or why not."""
    env = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(home),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
    }
    ran = subprocess.run([sys.executable, "-c", TRY, *names], env=env, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(line) for line in ran.stdout.splitlines())


def test_a_repository_is_looked_at_before_its_weights_are_downloaded(tiny_folder: Path, tmp_path: Path) -> None:
    root = tmp_path / "hub"
    for name in ("good", "index", "video", "pickled", "huge"):
        shutil.copytree(tiny_folder, root / "a" / name)
    for path in ("model.safetensors", "unet/diffusion_pytorch_model.bin", "unet/run.py", "sample.png"):
        (root / "a" / "good" / path).write_bytes(b"\x80\x02")
    (root / "a" / "index" / "model_index.json").unlink()
    (root / "a" / "video" / "model_index.json").write_text(json.dumps({"_class_name": "CogVideoXPipeline"}))
    unet = root / "a" / "pickled" / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_suffix(".bin"))
    half = root / "a" / "half"
    shutil.copytree(tiny_folder, half)
    for path in list(half.rglob("*model.safetensors")):
        shutil.copy(path, path.with_suffix(".bin"))
        path.rename(path.with_name(path.name.replace(".safe", ".fp16.safe")))
    shutil.copytree(shipped_folder() / "clip", root / "a" / "clip")
    (root / "a" / "clip" / "pytorch_model.bin").write_bytes(b"\x80\x02")
    ids = [f"a/{name}" for name in ("good", "index", "video", "pickled", "huge", "none", "half")] + ["clip:a/clip"]
    with serving(root, {"a/huge": 10**15}) as (endpoint, got):
        said = tried(endpoint, tmp_path / "home", *ids, f"a/good@{SHA}")
    assert said["a/good"] == said[f"a/good@{SHA}"] == f"a/good@{SHA}"
    assert (said["a/half"], said["clip:a/clip"]) == (f"a/half@{SHA}", SHA)
    assert "a/index holds no model_index.json" in said["a/index"]
    assert "a/video is a CogVideoXPipeline" in said["a/video"]
    assert "a/pickled has unet/diffusion_pytorch_model.bin, and no safetensors of unet" in said["a/pickled"]
    assert "GB are free" in said["a/huge"]
    assert "a/none is not available from the hub (RepositoryNotFound" in said["a/none"]
    assert all("\n" not in text for text in said.values())
    assert {path for path in got if path.startswith(("a/index", "a/video", "a/pickled", "a/huge", "a/none"))} == {
        f"a/{name}/model_index.json" for name in ("video", "pickled", "huge")
    }
    assert "a/good/unet/diffusion_pytorch_model.safetensors" in got
    assert not [path for path in got if path.endswith((".bin", ".py", ".png", "good/model.safetensors"))]
    again = tried("http://127.0.0.1:9", tmp_path / "home", "a/good", "a/huge", "clip:a/clip")
    assert (again["a/good"], again["clip:a/clip"]) == (f"a/good@{SHA}", SHA)
    assert "a/huge" in again["a/huge"]
    assert again["a/huge"] != f"a/huge@{SHA}"
