"""Laws of plug-ins: what is named is what comes; whatever keeps a module from coming is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from astrogate.core.errors import AstrogateError
from astrogate.core.plugins import named

GROUP = "astrogate.methods"


def test_an_object_by_its_module_and_path() -> None:
    assert named("pathlib:Path.cwd", GROUP) == Path.cwd


@pytest.mark.parametrize(
    ("text", "kind"),
    [("def (", "SyntaxError"), ("nowhere", "NameError"), ("1 / 0", "ZeroDivisionError"), ("", "AttributeError")],
)
def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, kind: str) -> None:
    name = f"broken_{kind.lower()}"
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AstrogateError, match=rf"'{name}:edit' can't be imported \({kind}: ") as told:
        named(f"{name}:edit", GROUP)
    assert "\n" not in str(told.value)


def test_what_names_nothing_is_refused() -> None:
    with pytest.raises(AstrogateError, match=r"'\.mod:edit' can't be imported \(TypeError"):
        named(".mod:edit", GROUP)
    with pytest.raises(AstrogateError, match="ModuleNotFoundError"):
        named("nowhere_at_all:edit", GROUP)
    with pytest.raises(AstrogateError, match="write module:object"):
        named("nothing", GROUP)
