"""Nothing listens where others can reach it."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.studies.kit.jobs import Store
from astrogate.studies.kit.ray_engine import on_ray


class Echo:
    """Gives back what it is given."""

    digest = "1"

    def __call__(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        return dict(spec)


def listening() -> set[tuple[str, int]]:
    """The addresses and ports on which anything on this machine waits for connections."""
    found = set[tuple[str, int]]()
    for table, width in (("tcp", 4), ("tcp6", 16)):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A":
                address, port = local.split(":")
                words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, 2 * width, 8)]
                found.add((str(ipaddress.ip_address(b"".join(words))), int(port, 16)))
    return found


def own(address: str) -> bool:
    """Whether this machine alone reaches an address."""
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


def test_listening_sees_what_listens() -> None:
    for address in ("127.0.0.1", "0.0.0.0"):
        with socket.create_server((address, 0)) as server:
            there = (address, server.getsockname()[1])
            assert there in listening()
            assert own(there[0]) == (address == "127.0.0.1")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux")
def test_a_ray_of_our_own_listens_on_loopback_alone(tmp_path: Path) -> None:
    before, seen = listening(), set[tuple[str, int]]()
    for _ in on_ray(Echo, [{"n": n} for n in range(4)], Store(tmp_path), workers=2):
        seen |= listening() - before
    assert seen
    assert not [there for there in sorted(seen) if not own(there[0])]


@pytest.mark.slow
def test_joining_a_cluster_says_whom_it_trusts(tmp_path: Path) -> None:
    with (
        pytest.warns(AstrogateWarning, match="can run code on all of its machines"),
        pytest.raises(AstrogateError, match="no Ray cluster"),
    ):
        list(on_ray(Echo, [{"n": 1}], Store(tmp_path), address="127.0.0.1:9"))
