"""Conceptor: what a word means to a model, as a sparse mix of other words (Chefer et al. 2024).

The model draws pictures of the concept; a pseudo-word that is a weighted sum of the vocabulary's input embeddings
learns to draw them again; the words with the largest weights say what the concept is made of. Its parts are modules
beside this one: the plan, the pictures, the dictionary, the start of the weights, the judges, the optimisation (`run`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core import archive
from astrogate.core.basis import Basis
from astrogate.core.errors import AstrogateError
from astrogate.core.files import write_text
from astrogate.core.keys import key_of
from astrogate.core.protocols import Model
from astrogate.core.state import usual
from astrogate.core.values import path_of
from astrogate.measure.clip import Clip, clip_for
from astrogate.methods.concept import pictures as gallery
from astrogate.methods.concept.cutoffs import cutoffs
from astrogate.methods.concept.dictionary import dictionary
from astrogate.methods.concept.judges import Judging, by_loss, by_pictures
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import Place, check_place, place_of, states, tokens_of
from astrogate.methods.concept.run import STATE, Weights, optimise, pseudo_words
from astrogate.methods.concept.starts import convex, from_text, toward
from astrogate.methods.concept.vocabulary import Vocabulary, vocabulary
from astrogate.models.prediction import moments, still, timesteps
from astrogate.models.text.pseudo_word import save_pseudo_word

#: The files in a finished run's folder that hold its basis, and what is told of it.
RESULT, _TOLD = "basis.safetensors", "explanation.json"
#: What the record tells and the basis does not hold: two runs of one thing differ in it.
_TIME = "cpu_seconds"


@usual()
def explain(
    model: Model,
    prompt: str,
    concept: str | None = None,
    *,
    plan: Plan | None = None,
    clip: Clip | None = None,
    words: Vocabulary | None = None,
    folder: Path | str | None = None,
    pictures: Path | str | None = None,
    validation: Path | str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Basis:
    """Take the `concept` of a prompt apart (None: its last word).

    `clip` sees the pictures (None: the shipped model's own), `words` is the vocabulary (None: all whole words of the
    model). `folder` keeps the run, so that it can resume, and the pictures, which its runs share (None: nothing is
    kept). `pictures` and `validation` are folders of the user's own pictures, or empty ones to draw into.

    Raises AstrogateError for a concept that the prompt does not contain or is cut off before, pictures that are too
    few, models that are no Stable Diffusion 1, 2 or XL, and words or a CLIP that are another's.
    """
    timesteps(model)
    place_of(prompt, concept, [""])
    clip = clip or clip_for(model.name, None, device=_device(model))
    if folder is None:
        with TemporaryDirectory() as made:
            given: Any = {"plan": plan, "clip": clip, "words": words, "pictures": pictures, "validation": validation}
            return explain(model, prompt, concept, folder=made, tell=tell, **given)
    root = path_of(folder, "folder")
    words = words or vocabulary(model, clip, folder=root, tell=tell)
    plan = _checked(plan or Plan(), words, model, clip, tell)
    place = place_of(prompt, concept, words.words)
    check_place(model, place)
    if (count := tokens_of(model, place.concept)) > 1:
        tell(f"{place.concept!r} is {count} tokens; one pseudo-word takes their place")
    own, others = (None if path is None else path_of(path, "folder") for path in (pictures, validation))
    shown = _shown(model, place, plan, root, own, others, tell)
    run = root / f"{file_name(place.concept)}-{_key(model, clip, place, plan, words, shown)}"
    if (kept := _kept(run)) is not None:
        tell(f"{run} is finished")
        return kept
    features = clip.images(shown.train)
    limits = cutoffs(clip, words.alike, features)
    chosen = dictionary(clip, words, features, place.concept, plan, limits.concept)
    tell(f"{len(chosen.words)} words, the nearest: {', '.join(chosen.words[:8])}")
    weights = convex(chosen.features - words.features.mean(0), features) if plan.start == "convex" else None
    with still(model):
        judge = _judge(model, clip, place, shown, plan)
        latents = _latents(model, shown, root, plan.batch_size)
        begin = _begin(model, place, chosen.to(latents[0].device), plan, weights)
        found = optimise(model, place, chosen, latents, plan, judge, folder=run, begin=begin, tell=tell)
    basis = Basis(
        chosen.words,
        found.weights,
        {f"encoder {i}": atoms for i, atoms in enumerate(chosen.embeddings)},
        {f"encoder {i}": length for i, length in enumerate(chosen.lengths)},
        plan.tokens,
        model.fingerprint,
        place.concept,
        {
            "method": "conceptor",
            "model": model.name,
            "clip": words.clip,
            "place": asdict(place),
            "plan": plan.to_json(),
            "cutoffs": asdict(limits),
            "history": found.history,
            "stopped": found.stopped,
            _TIME: found.cpu_seconds,
        },
    )
    _keep(basis, words, run)
    tell(f"kept in {run}")
    return basis


def concepts(
    model: Model,
    prompts: Mapping[str, str],
    *,
    plan: Plan | None = None,
    clip: Clip | None = None,
    words: Vocabulary | None = None,
    folder: Path | str | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Basis]:
    """Take many concepts apart, each word in its prompt, with one vocabulary; pictures of one prompt are shared."""
    clip = clip or clip_for(model.name, None, device=_device(model))
    with TemporaryDirectory() as made:
        root = Path(folder or made)
        words = words or vocabulary(model, clip, folder=root, tell=tell)
        given: Any = {"plan": plan, "clip": clip, "words": words, "folder": root, "tell": tell}
        return {concept: explain(model, prompt, concept, **given) for concept, prompt in prompts.items()}


def file_name(concept: str) -> str:
    """A concept's letters and digits, as a file may be called; a long one ends in a key of the whole."""
    name = "-".join(re.findall(r"[^\W_]+", concept.lower()))
    return name if len(name) <= 40 else f"{name[:31]}-{key_of(concept)[:8]}"


def _device(model: Model) -> str:
    """Where the denoiser is."""
    return str(next(model.denoiser.parameters()).device)


def _checked(plan: Plan, words: Vocabulary, model: Model, clip: Clip, tell: Callable[[str], None]) -> Plan:
    """The plan as it fits the vocabulary, which must be this model's and this CLIP's."""
    for whose, have, wanted in (
        ("model", words.model, model.fingerprint),
        ("CLIP", words.clip, clip.digest),
    ):
        if have != wanted:
            raise AstrogateError(f"these words are another {whose}'s", "make the vocabulary with this one")
    if lost := [word for word in plan.include if word not in words.words]:
        raise AstrogateError(f"the vocabulary has no {', '.join(lost)}", "include words that it has")
    fitting = plan.for_words(len(words.words), whole=words.listed)
    if fitting != plan:
        sizes = f"a dictionary of {fitting.dictionary}, {fitting.tokens} of which make the concept"
        tell(f"{len(words.words)} words: {sizes}")
    return fitting


def _kept(run: Path) -> Basis | None:
    """The result of a finished run; a broken one counts as none."""
    try:
        basis = Basis.load(run / RESULT) if (run / RESULT).exists() else None
    except AstrogateError:
        return None
    with suppress(OSError, ValueError, LookupError, TypeError):  # it may be gone, or written over
        told = json.loads((run / _TOLD).read_text(encoding="utf-8"))
        return basis and replace(basis, origin={**basis.origin, _TIME: float(told[_TIME])})
    return basis


@dataclass(frozen=True, slots=True)
class _Shown:
    """Pictures [n, 3, h, w] to learn from and to judge by, and a hash of what they are.

    `paired` ones to judge by are the model's own, at `seeds`.
    """

    train: Tensor
    validation: Tensor
    seeds: range
    paired: bool
    key: str


def _shown(
    model: Model,
    place: Place,
    plan: Plan,
    root: Path,
    pictures: Path | None,
    validation: Path | None,
    tell: Callable[[str], None],
) -> _Shown:
    """The user's own pictures where there are any, else the model's, drawn into the folders that are named.

    Own pictures without others to judge by are divided: a fifth judges.
    """
    start = 1_000_000 * plan.seed
    first = range(start, start + plan.pictures)
    seeds = range(first.stop, first.stop + plan.validation)
    mine, judges = (folder is not None and gallery.is_own(folder) for folder in (pictures, validation))

    def of_model(folder: Path | None, chosen: range) -> tuple[Tensor, str]:
        points = model.points(place.prompt, chosen)
        where = folder or gallery.shared_folder(model, points, plan.recipe, root)
        return gallery.drawn(model, points, plan.recipe, where, batch_size=plan.batch_size, tell=tell)

    def of_user(folder: Path | None, count: int) -> tuple[Tensor, str]:
        assert folder is not None
        found = gallery.own(folder, count, model.size)
        return found, key_of(found)

    if mine and validation is not None and not judges:
        raise AstrogateError(f"{validation} holds none of your pictures", "put some in, or leave validation out")
    if mine and not judges:
        every, key = of_user(pictures, plan.pictures + plan.validation)
        held = max(1, min(plan.validation, len(every) // 5))
        return _Shown(every[:-held], every[-held:], seeds, paired=False, key=key)
    train, key = of_user(pictures, plan.pictures) if mine else of_model(pictures, first)
    judged, other = of_user(validation, plan.validation) if judges else of_model(validation, seeds)
    return _Shown(train, judged, seeds, paired=not judges, key=key + other)


def _key(model: Model, clip: Clip, place: Place, plan: Plan, words: Vocabulary, shown: _Shown) -> str:
    """The name of a run: all that its result depends on."""
    resolved = replace(plan, dtype=plan.dtype or model.dtype, recipe=plan.recipe.resolved(model.dtype))
    known = (words.words, words.features, words.lengths, words.alike)
    return key_of(model.weights, words.clip, place, resolved, *known, shown.key)


def _latents(model: Model, shown: _Shown, root: Path, batch_size: int) -> tuple[Tensor, Tensor]:
    """Means and deviations of the latents of the pictures and of their mirror images, from an earlier run's file."""
    path = root / "latents" / f"{key_of(model.weights, shown.key, len(shown.train))}.safetensors"

    def made() -> dict[str, Tensor]:
        both = torch.cat([shown.train, shown.train.flip(-1)])
        return dict(zip(("mean", "deviation"), moments(model, both, batch_size=batch_size), strict=True))

    found = archive.kept(path, made, ("mean", "deviation"), 2 * len(shown.train))
    return found["mean"].to(_device(model)), found["deviation"].to(_device(model))


def _judge(model: Model, clip: Clip, place: Place, shown: _Shown, plan: Plan) -> Judging:
    if plan.judge == "loss":
        return by_loss(model, place, shown.validation, seed=plan.fit_seed, dtype=plan.dtype)
    wanted = clip.images(shown.validation)
    if not shown.paired:
        wanted = F.normalize(wanted.mean(0, keepdim=True), dim=1)
    return by_pictures(model, clip, place, wanted, shown.seeds, plan.recipe, batch_size=plan.batch_size)


def _begin(
    model: Model, place: Place, words: Vocabulary, plan: Plan, weights: Tensor | None
) -> Callable[[Weights], object] | None:
    inputs = torch.cat(words.embeddings, 1)
    if weights is not None:
        return lambda network: toward(network, inputs, weights.to(inputs))
    if plan.start == "text":
        goals = {space: value for space, value in model.encode([place.prompt]).items() if space != "end"}
        return lambda network: from_text(
            network,
            lambda: states(model, place, pseudo_words(words, network(inputs)), gradient=True),
            goals,
        )
    return None


def _keep(basis: Basis, words: Vocabulary, run: Path) -> None:
    """The whole vocabulary's weights, the pseudo-word as textual inversion, the record, and last the basis."""
    whole = torch.zeros(len(words.words))
    whole[[words.words.index(name) for name in basis.names]] = basis.weights
    archive.write(
        run / "coefficients.safetensors",
        {"coefficients": whole},
        {"words": words.words},
        format="astrogate-coefficients-1",
    )
    save_pseudo_word([vector[None] for vector in basis.sums().values()], run / "pseudo-word.safetensors")
    found = {"top": basis.top(50), "support": basis.support, "mass of 50": basis.mass(50), **basis.origin}
    write_text(run / _TOLD, json.dumps(found, indent=1))
    replace(basis, origin={name: value for name, value in basis.origin.items() if name != _TIME}).save(run / RESULT)
    (run / STATE).unlink(missing_ok=True)
