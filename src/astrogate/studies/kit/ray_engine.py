"""The engine on Ray Core actors (Moritz et al. 2018): workers of one thread each, on this machine or a cluster.

An actor that dies is started again and its item is done again, up to `_TRIES` times; `run_item` makes that harmless.
Items go to actors that are ready, so one that waits for a processor holds nothing up.
The dashboard stays off: it has let strangers in (CVE-2023-48022). A cluster that is started here listens on loopback
alone.
"""

from __future__ import annotations

import logging
import os
import socket
import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.packages import need
from astrogate.studies.kit.jobs import Maker, Spec, Store, run_item

#: How often an item that takes its worker down is tried again.
_TRIES = 3


def on_ray(
    make: Maker, specs: Sequence[Spec], store: Store, *, workers: int = 2, address: str | None = None
) -> Iterator[str]:
    """Do items on `workers` actors and yield keys as they are done; `address` joins a cluster ("auto": the local one).

    Raises AstrogateError where Ray is not installed or no cluster answers.
    """
    need("ray", "ray")
    import ray

    if workers < 1:
        raise AstrogateError(f"{workers} workers", "use 1 or more")
    one_thread = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    local: dict[str, Any] = {"num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    local["_node_ip_address"] = "127.0.0.1"
    if address:
        warnings.warn(
            "whoever reaches this Ray cluster can run code on all of its machines; join one whose network you trust",
            AstrogateWarning,
            stacklevel=2,
        )
        _check_answers(address)
    if not address:
        _listen_on_loopback()
    try:
        ray.init(
            address,
            runtime_env={"env_vars": one_thread},
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address else local),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _absent(address, error) from error
    kind: Any = ray.remote(num_cpus=1, max_restarts=-1, max_task_retries=_TRIES)(_Worker)
    try:
        actors = [kind.remote(make, store) for _ in range(min(workers, len(specs)))]
        waiting, left = deque(specs), len(specs)
        running: dict[Any, tuple[Any, Spec | None]] = {actor.up.remote(): (actor, None) for actor in actors}
        while left:
            (done,), _ = ray.wait(list(running))
            actor, spec = running.pop(done)
            key = _result(done, spec)
            if spec is not None:
                left -= 1
                yield key
            if waiting:
                spec = waiting.popleft()
                running[actor.run.remote(spec)] = (actor, spec)
    finally:
        ray.shutdown()


def _listen_on_loopback() -> None:
    """Let a Ray that is started here listen on this machine's own address alone, as it does on macOS and Windows.

    Elsewhere it takes 127.0.0.1 for the machine's address in the network. It holds for the rest of this process.
    """
    from ray._private import ray_constants

    os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"  # for what it starts
    ray_constants.ENABLE_RAY_CLUSTER = False


def _check_answers(address: str) -> None:
    """Raise AstrogateError where nothing takes connections at "host:port": Ray itself would end this process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise _absent(address, error) from error


def _absent(address: str | None, error: Exception) -> AstrogateError:
    return AstrogateError(f"no Ray cluster at {address!r} ({error})", "start one, or leave address out")


def _result(done: Any, spec: Spec | None) -> str:
    """The key of a finished item, "" of an actor that is up; what went wrong with it, in one line."""
    import ray
    from ray.exceptions import RayError

    try:
        return ray.get(done)
    except RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, AstrogateError):
            raise cause from None
        last = str(error).strip().splitlines()[-1]
        at = "" if spec is None else f" at {dict(spec)}"
        raise AstrogateError(f"a worker failed{at} ({last})", "run it in this process to see more") from error


class _Worker:
    """One actor: what works, and where results go."""

    def __init__(self, make: Maker, store: Store) -> None:
        self.work, self.store = make(), store

    def up(self) -> str:
        """Nothing, once the worker is there."""
        return ""

    def run(self, spec: Spec) -> str:
        """Do an item; see `run_item`."""
        return run_item(spec, self.work, self.store)
