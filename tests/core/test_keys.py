"""Equal contents have equal keys, different ones different keys, whatever process makes them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch

import astrogate
from astrogate.core.keys import key_of


@dataclass(frozen=True)
class Thing:
    name: str
    vectors: dict[str, torch.Tensor] = field(default_factory=dict)


ONE = torch.arange(6.0)
DIFFERENT: list[tuple[Any, ...]] = [
    (),
    ("",),
    ("a", "b"),
    ("ab",),
    (["a", "b"],),
    ("b", "a"),
    (None,),
    (0,),
    (0.0,),
    (False,),
    ("0",),
    (b"ab",),
    ({"a": 1},),
    ({"a": 1, "b": 2},),
    ({"a": [1]},),
    (ONE,),
    (ONE.reshape(2, 3),),
    (ONE.reshape(3, 2),),
    (ONE.double(),),
    (ONE.bfloat16(),),
    (ONE.flip(0),),
    (ONE[0],),
    (ONE[:0],),
    (Thing("a"),),
    (Thing("b"),),
    (Thing("a", {"x": ONE}),),
    (Thing("a", {"y": ONE}),),
    (Thing("a", {"x": ONE + 1}),),
]


def test_different_contents_have_different_keys() -> None:
    keys = [key_of(*content) for content in DIFFERENT]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


def test_equal_contents_have_equal_keys() -> None:
    assert (
        key_of({"a": 1, "b": ONE}) == key_of({"b": ONE.clone(), "a": 1}) == key_of(MappingProxyType({"a": 1, "b": ONE}))
    )
    assert key_of((1, 2)) == key_of([1, 2])
    assert key_of(torch.arange(12.0).reshape(3, 4).T[1]) == key_of(torch.tensor([1.0, 5.0, 9.0], requires_grad=True))
    for content in DIFFERENT:
        assert key_of(*content) == key_of(*content)


def test_keys_do_not_depend_on_the_process() -> None:
    code = "from astrogate.core.keys import key_of; print(key_of({'b': 'é', 'a': [1, 2.5, None]}, b'x'))"
    made = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout for _ in range(2)}
    assert made == {key_of({"a": [1, 2.5, None], "b": "é"}, b"x") + "\n"}


@pytest.mark.parametrize("value", [{1, 2}, object(), Thing, print])
def test_what_has_no_lasting_content_has_no_key(value: Any) -> None:
    with pytest.raises(TypeError):
        key_of(value)


def test_nothing_else_hashes_but_weights_their_folders_and_seeds() -> None:
    root = Path(astrogate.__file__).parent
    users = {str(path.relative_to(root)) for path in root.rglob("*.py") if "hashlib" in path.read_text()}
    assert users == {"core/keys.py", "core/seeds.py", "models/identity.py", "models/loading/checks.py"}
