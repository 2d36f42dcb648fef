"""What the user reads when something is wrong: one kind of error, with a remedy that the library itself has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "astrogate"
#: A flag, or a command in backticks.
COMMAND_LINE = re.compile(r"(?<![\w-])--[a-z]|`astrogate ")
#: The demo's page names the command that makes each of its strips.
NAMES_COMMANDS = {"studies/world/demo.py"}
#: These turn their own bare errors into AstrogateErrors, or raise what only a mistake of ours reaches.
BARE_INSIDE = {"core/archive.py", "core/files.py", "core/keys.py", "core/values.py", "rendering/record.py"}
#: What a caller can't tell from a mistake in our own code.
BARE = {"Exception", "ValueError", "TypeError", "RuntimeError", "LookupError", "KeyError", "IndexError", "OSError"}
BARE |= {"FileNotFoundError", "NotImplementedError"}


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of a module but docstrings."""
    docs = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docs:
            yield node.value


def raised(tree: ast.AST) -> Iterator[str]:
    """The names of the exceptions that a module raises."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            yield node.exc.func.id


def modules() -> Iterator[tuple[str, ast.AST]]:
    """The package's modules, but for the command line's."""
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE)
        if "app" not in name.parts:
            yield str(name), ast.parse(path.read_text())


def test_below_the_command_line_no_text_names_its_flags() -> None:
    found = {name: [text for text in texts(tree) if COMMAND_LINE.search(text)] for name, tree in modules()}
    assert {name: told for name, told in found.items() if told and name not in NAMES_COMMANDS} == {}


def test_errors_are_of_one_kind() -> None:
    found = {name: BARE.intersection(raised(tree)) for name, tree in modules()}
    assert {name: kinds for name, kinds in found.items() if kinds and name not in BARE_INSIDE} == {}
