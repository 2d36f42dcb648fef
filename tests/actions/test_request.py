"""Laws of requests, over every kind: data and back, one line for what they don't take, and commands that say it all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import click
import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from astrogate.actions.request import Request
from astrogate.actions.table import REQUESTS, request_of
from astrogate.actions.typed import Curves, Files, HoldPair, InputFile, Numbers, Range, Settings, Texts, When
from astrogate.app.cli.main import main
from astrogate.app.cli.options import made
from astrogate.app.cli.reference import below
from astrogate.core.errors import AstrogateError
from tests.app.test_cli import run

pytestmark = pytest.mark.parametrize("kind", REQUESTS)

#: A value of a type that is no option's default, and the texts that stand for it at the command line.
SAMPLES: dict[Any, tuple[Any, list[str]]] = {
    str: ("a word", ["a word"]),
    bool: (True, []),
    int: (3, ["3"]),
    float: (1.5, ["1.5"]),
    Path: (Path("some/where"), ["some/where"]),
    InputFile: (Path("a/file.png"), ["a/file.png"]),
    Files: ((Path("one"), Path("two")), ["one", "two"]),
    Range: ((0.125, 0.5), ["0.125:0.5"]),
    When: (("noise", 0.75, 0.125), ["noise:0.75:0.125"]),
    HoldPair: ((0.5, 0.25), ["0.5:0.25"]),
    Numbers: ((3, 5), ["3,5"]),
    Texts: (("one", "two"), ["one", "two"]),
    Settings: ((("fat:thin", 0.5), ("a.safetensors", -1.0)), ["fat:thin=0.5", "a.safetensors=-1"]),
    Curves: ((((0.0, 1.0), (0.5, 0.0)), ((0.25, 2.0),)), ["0:1,0.5:0", "0.25:2"]),
}


def sample(hint: Any, field: FieldInfo) -> tuple[Any, list[str]]:
    """A value of an option that is not its default, and its texts."""
    if get_origin(hint) is Literal:
        choice = next(choice for choice in get_args(hint) if choice != field.default)
        return choice, [choice]
    for known, found in SAMPLES.items():
        if hint == known:
            below = [limit.lt for limit in field.metadata if isinstance(limit, Lt)]
            return (0.5, ["0.5"]) if below else found
    return sample(next(part for part in get_args(hint) if part is not type(None)), field)


def hints(kind: str) -> dict[str, Any]:
    """Each option's type as it was written."""
    found = get_type_hints(REQUESTS[kind], include_extras=True)
    return {name: found[name] for name in REQUESTS[kind].model_fields}


def samples(kind: str) -> dict[str, tuple[Any, list[str]]]:
    """A value for every option of a kind, and its texts."""
    return {name: sample(hint, REQUESTS[kind].model_fields[name]) for name, hint in hints(kind).items()}


def few(kind: str) -> dict[str, Any]:
    """Values for what must be given alone."""
    return {
        name: value for name, (value, _) in samples(kind).items() if REQUESTS[kind].model_fields[name].is_required()
    }


def whole(kind: str) -> Request:
    return REQUESTS[kind].of(**{name: value for name, (value, _) in samples(kind).items()})


def test_data_and_back(kind: str) -> None:
    """With every option and with none; what is asked for is all there is to a request."""
    for request in (whole(kind), REQUESTS[kind].of(**few(kind))):
        data = json.loads(json.dumps(request.to_json(), allow_nan=False))
        again = request_of(data, "a record")
        assert again == request
        assert type(again) is REQUESTS[kind]
        assert again.to_json() == request.to_json()
        assert again.changed() == request
        assert {"kind", *type(request).model_fields} == set(data)


def test_no_option_is_left_at_its_default_here(kind: str) -> None:
    request, fields = whole(kind), REQUESTS[kind].model_fields
    assert [name for name, field in fields.items() if getattr(request, name) == field.default] == []


def test_one_change_is_one_change(kind: str) -> None:
    first, last = REQUESTS[kind].of(**few(kind)), whole(kind)
    for name in REQUESTS[kind].model_fields:
        changed = first.changed(**{name: getattr(last, name)})
        assert getattr(changed, name) == getattr(last, name)
        assert changed.changed(**{name: getattr(first, name)}) == first


def refused(kind: str, **given: Any) -> str:
    """What is said of options; it is one line with a remedy."""
    with pytest.raises(AstrogateError) as raised:
        request_of({**REQUESTS[kind].of(**few(kind)).to_json(), **given}, "a record")
    text = str(raised.value)
    assert len(text.splitlines()) == 1
    assert raised.value.problem.strip()
    assert raised.value.remedy.strip()
    assert "--" not in text
    return text


def test_unknown_options_and_missing_ones_are_refused(kind: str) -> None:
    assert refused(kind, colour="red").startswith("colour 'red': choose from")
    for name in few(kind):
        with pytest.raises(AstrogateError, match=f"{kind} misses '{name}': give it: ."):
            REQUESTS[kind].of(**{key: value for key, value in few(kind).items() if key != name})


def test_wrong_types_are_refused(kind: str) -> None:
    """An object is no option's value, a number no text's, a word no number's."""
    for name, (value, _) in samples(kind).items():
        words = isinstance(value, str | Path) or (isinstance(value, tuple) and isinstance(value[0], str | Path))
        for wrong in ({"a": 1}, 3 if words else "up"):
            text = refused(kind, **{name: wrong})
            assert text.startswith(f"{name.replace('_', '-')} ") or (isinstance(value, tuple) and wrong == "up"), text


def beyond(kind: str) -> Iterator[tuple[str, float]]:
    """Every limit of an option, passed by a little."""
    for name, field in REQUESTS[kind].model_fields.items():
        for limit in field.metadata:
            if isinstance(limit, Ge):
                yield name, limit.ge - 1
            elif isinstance(limit, Gt):
                yield name, limit.gt
            elif isinstance(limit, Le):
                yield name, limit.le + 1
            elif isinstance(limit, Lt):
                yield name, limit.lt


def test_numbers_out_of_range_are_refused(kind: str) -> None:
    cases = list(beyond(kind))
    assert {"n", "seed", "batch_size"} & set(REQUESTS[kind].model_fields) <= {name for name, _ in cases}
    for name, value in cases:
        assert refused(kind, **{name: value}).startswith(f"{name.replace('_', '-')} {value}: use "), name
    for name, (value, _) in samples(kind).items():
        if isinstance(value, float):
            for odd in ("nan", "inf", "-inf"):
                refused(kind, **{name: float(odd)})
                refused(kind, **{name: odd})


def test_a_folder_is_no_file(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file or a direction is asked for, a folder is refused before all that is in it is read."""
    monkeypatch.chdir(tmp_path)
    least = {**few(kind), **({"prompt": "a dog"} if kind == "walk" else {})}
    for name, (value, _) in samples(kind).items():
        one = value[0] if isinstance(value, tuple) else value
        if isinstance(one, Path) and name not in ("run", "pictures", "cache"):
            wrong: list[Any] = [tmp_path, Path("."), Path("..")]
        elif name in ("direction", "across", "down", "also"):
            wrong = ["", ".", str(tmp_path)]
        else:
            continue
        for folder in wrong:
            given = (folder, 1.0) if name == "also" else folder
            asked = {**least, name: (given,) if isinstance(value, tuple) else given}
            with pytest.raises(AstrogateError, match="is a folder: name a file"):
                REQUESTS[kind].of(**asked).check()


def test_every_option_has_a_help(kind: str) -> None:
    for name, field in REQUESTS[kind].model_fields.items():
        text = field.description or ""
        assert text.strip(), name
        assert text[0].isupper() or not text[0].isalpha() or text.split()[0] in ("bfloat16,", "cpu,", "none"), text
        assert "--" not in text, text
    assert REQUESTS[kind].brief.endswith(".")
    assert REQUESTS[kind].__doc__


def test_a_command_has_all_of_it(kind: str) -> None:
    code, out, err = run(kind, "--help")
    assert (code, err) == (0, "")
    for name, field in REQUESTS[kind].model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        spelled = name.upper() if extra.get("argument") else extra.get("flag") or f"--{name.replace('_', '-')}"
        assert str(spelled) in out, name
    assert f" {kind} " in run("--help")[1]


def test_what_is_typed_is_what_is_asked_for(kind: str) -> None:
    command = below(main)[kind]
    args: list[str] = []
    for name, (value, texts) in samples(kind).items():
        (param,) = (param for param in command.params if param.name == name)
        if isinstance(param, click.Argument):
            args += texts
        else:
            flag = [param.opts[0]]
            args += [part for text in texts for part in (*flag, text)] if texts else flag
        assert isinstance(value, bool) == (not texts)
    with command.make_context(kind, args) as context:
        given = dict(context.params)
    assert given.pop("output")
    assert made(REQUESTS[kind], given) == whole(kind)


def test_a_commands_own_options_come_first(kind: str) -> None:
    own = [name for name in REQUESTS[kind].model_fields if name in REQUESTS[kind].__annotations__]
    names = [param.name for param in below(main)[kind].params]
    assert set(names[: len(own)]) == set(own)
