"""When an edit should act, in many steps and in few: `insert` by the teacher in 20 steps, by the student in 8 to 1.

A window by shares of the steps is another stretch of the diffusion at every number of steps; one by levels of noise is
the same (`core.parts`). Windows that hold the same steps are the same, and are measured once. Two numbers a window: at
scale 1, all of the word, the effect and what else changes; and at equal effect what else changes (`measure.leakage`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from astrogate.core.files import write_text
from astrogate.core.parts import Window, moments
from astrogate.core.texts import counted
from astrogate.measure.scores import Estimate, bootstrap, mean
from astrogate.studies.edit.editors import WHOLE, Editor, ours
from astrogate.studies.edit.leaderboard import OURS
from astrogate.studies.edit.leakage import REPORTED, Attribute, Bench, run_cells, table
from astrogate.studies.kit.report import page

#: From which level of noise on; a fifth of Menagerie's 20 steps is done at 0.81.
LEVELS = (0.9, 0.82, 0.7)
WINDOWS: dict[str, Window] = {"all": WHOLE, **{f"noise {x:g} to 0": ("noise", x, 0.0) for x in LEVELS}}
#: The scales at which an effect is looked for.
STRENGTHS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
TEACHER, STUDENT = (20,), (8, 4, 2, 1)


@dataclass(frozen=True, slots=True)
class Found:
    """An edit in one window: what it does at scale 1, where 1 is the wanted effect, and what else at equal effect."""

    window: str
    steps: Sequence[int]
    effect: Estimate
    leak: Estimate
    leakage: Estimate
    background: Estimate
    reached: int
    cells: int


def acting(bench: Bench, window: Window) -> tuple[int, ...]:
    """The steps, counted from 0, in which an edit with a window acts."""
    point = bench.model.point(bench.prompt.format(subject=bench.subjects[0]))
    levels = bench.model.noise_levels(point, bench.recipe)
    return tuple(i for i, moment in enumerate(moments(levels)) if moment.within(window))


def by_window(bench: Bench, attributes: Sequence[Attribute], tell: Callable[[str], None]) -> list[Found]:
    """Of windows that hold the same steps the first."""
    found: dict[tuple[int, ...], Found] = {}
    for name, window in WINDOWS.items():
        steps = acting(bench, window)
        if not steps or steps in found:
            continue
        at_one, swept = (
            run_cells(bench, {"insert": Editor(ours(OURS), strengths, window)}, attributes, matched=False)
            for strengths in ((1.0,), STRENGTHS)
        )
        cells, (row,) = [c for c in at_one.values() if c.effects[0] < c.level], table(swept, matched=False)
        effect, leak = (
            bootstrap(mean, values)
            for values in ([c.effects[-1] / c.level for c in cells], [c.leaks[-1] for c in cells])
        )
        found[steps] = Found(name, steps, effect, leak, row.leakage, row.background, row.reached, row.cells)
        tell(f"{counted(bench.recipe.num_inference_steps, 'step')}, {name}: effect {effect}, leakage {row.leakage}")
    return list(found.values())


def windows(
    teacher: Bench, student: Bench, tell: Callable[[str], None], attributes: Sequence[Attribute] = REPORTED
) -> dict[str, list[Found]]:
    """What `by_window` finds, by the way of drawing."""
    found: dict[str, list[Found]] = {}
    for who, bench, counts in (("teacher", teacher, TEACHER), ("student", student, STUDENT)):
        for count in counts:
            at = replace(bench, recipe=replace(bench.recipe, num_inference_steps=count))
            found[f"{who}, {counted(count, 'step')}"] = by_window(at, attributes, tell)
    return found


def write_windows(found: Mapping[str, Sequence[Found]], target: Path, *, seeds: int) -> None:
    """The page, with its numbers beside it."""
    numbers = {name: [asdict(row) for row in rows] for name, rows in found.items()}
    write_text(target.with_suffix(".json"), json.dumps({"seeds": seeds, "ways": numbers}, indent=1) + "\n")
    write_text(target, page("windows.md", found=found, seeds=seeds))
