"""Packages of the extras: nothing else needs them, and what needs them says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from astrogate.core.errors import AstrogateError
from astrogate.core.packages import need
from astrogate.models.loading.load import load
from astrogate.rendering.video import check_video
from astrogate.studies.kit.report import pyplot

#: What the extras bring, by the names that are imported.
_MISSING = """
import sys
from importlib import import_module
from pkgutil import walk_packages

sys.modules |= dict.fromkeys(("accelerate", "av", "matplotlib", "peft", "ray", "skimage"))
import astrogate

for module in walk_packages(astrogate.__path__, "astrogate."):
    if not module.name.endswith("__main__"):
        import_module(module.name)
frames = astrogate.render(model := astrogate.load(), [model.point("a dog", seed=1)], recipe=astrogate.Recipe(1))
print(next(iter(frames)).image.size)
"""


def test_every_module_and_the_shipped_model_do_without_them() -> None:
    done = subprocess.run([sys.executable, "-c", _MISSING], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "(256, 256)\n"), done.stderr


def test_what_needs_one_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("accelerate", "av", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AstrogateError, match=r"accelerate is not installed.*astrogate\[offload\]"):
        load(offload=True)
    with pytest.raises(AstrogateError, match=r"av is not installed.*astrogate\[video\]"):
        check_video(Path("walk.mp4"))
    with pytest.raises(AstrogateError, match=r"matplotlib is not installed.*astrogate\[report\]"):
        pyplot()
    need("numpy", "none")


@pytest.mark.parametrize(("level", "code"), [(0, 0), (1, 0), (2, 2)])
def test_python_without_docstrings_is_refused_in_one_line(level: int, code: int) -> None:
    text = "from astrogate.core.packages import check_python; check_python()"
    asked = [sys.executable, *["-O"] * level, "-c", text]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) == (code != 0)
    assert ("without -OO" in done.stderr) == (code != 0)
