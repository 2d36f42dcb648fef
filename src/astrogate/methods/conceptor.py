"""Conceptor: what a word means to a model, as a sparse mix of other words (Chefer et al. 2024, seed 004).

The model draws pictures of the concept; a pseudo-word that is a weighted sum of the vocabulary's input embeddings
learns to draw them again (`concepts.run`); the words with the largest weights say what the concept is made of. The
parts are in `methods.concepts`: the plan, the pictures, the dictionary, where weights begin, the judges, the
optimisation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from astrogate.core.basis import Basis, load_basis, save_basis
from astrogate.core.files import whole_file, write_text
from astrogate.core.point import WORD
from astrogate.core.protocols import Model
from astrogate.measure.features import Clip, clip_for
from astrogate.methods.concepts import pictures as gallery
from astrogate.methods.concepts.cutoffs import cutoffs
from astrogate.methods.concepts.dictionary import dictionary
from astrogate.methods.concepts.judges import Judging, by_loss, by_pictures
from astrogate.methods.concepts.plan import Plan
from astrogate.methods.concepts.point import Place, place_of, states, tokens_of
from astrogate.methods.concepts.run import STATE, Weights, optimise, pseudo_words
from astrogate.methods.concepts.starts import convex, from_text, toward
from astrogate.methods.vocabulary import Vocabulary, vocabulary
from astrogate.models.prediction import moments, still, timesteps
from astrogate.models.pseudo_word import save_pseudo_word
from astrogate.models.sampling import digest_of

#: The file in a finished run's folder that holds its basis.
RESULT = "basis.safetensors"


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
    model). `folder` keeps the run, which is gone on from, and the pictures, which other runs in it share (None: nothing
    is kept). `pictures` and `validation` are folders of the user's own pictures, or empty ones to draw into.

    Raises AstrogateError for a concept that the prompt does not hold, pictures that are too few, models that are no
    Stable Diffusion 1, 2 or XL, and a folder that holds another explanation.
    """
    timesteps(model)
    clip = clip or clip_for(model.name, None)
    if folder is None:
        with TemporaryDirectory() as made:
            given: Any = {"plan": plan, "clip": clip, "words": words, "pictures": pictures, "validation": validation}
            return explain(model, prompt, concept, folder=made, tell=tell, **given)
    root = Path(folder)
    words = words or vocabulary(model, clip, folder=root)
    plan = (plan or Plan()).for_words(len(words.words), whole=words.listed)
    place = place_of(model, prompt, concept, words)
    if (count := tokens_of(model, place.concept)) > 1:
        tell(f"{place.concept!r} is {count} tokens; one pseudo-word takes their place")
    shown = _shown(model, place, plan, root, *(None if p is None else Path(p) for p in (pictures, validation)))
    run = root / f"{'-'.join(WORD.findall(place.concept.lower()))}-{_key(model, clip, place, plan, words, shown)}"
    if (run / RESULT).exists():
        tell(f"{run} is finished")
        return load_basis(run / RESULT)
    features = clip.images(shown.train)
    limits = cutoffs(clip, words.features, features)
    chosen, mu = dictionary(clip, words, features, place.concept, plan, limits.concept)
    tell(f"{len(chosen.words)} words, the nearest: {', '.join(chosen.words[:8])}")
    with still(model):
        judge = _judge(model, clip, place, shown, plan)
        latents = moments(model, torch.cat([shown.train, shown.train.flip(-1)]))
        begin = _begin(model, place, chosen, mu, plan)
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
            "place": asdict(place),
            "plan": plan.to_json(),
            "cutoffs": asdict(limits),
            "history": found.history,
            "stopped": found.stopped,
        },
    )
    _keep(basis, words, run)
    return basis


def concepts(
    model: Model,
    prompts: Mapping[str, str],
    *,
    clip: Clip | None = None,
    words: Vocabulary | None = None,
    folder: Path | str | None = None,
    **options: Any,
) -> dict[str, Basis]:
    """Take many concepts apart, each word in its prompt, with one vocabulary; pictures of one prompt are shared.

    The options are those of `explain`.
    """
    clip = clip or clip_for(model.name, None)
    words = words or vocabulary(model, clip, folder=None if folder is None else Path(folder))
    given: Any = {"clip": clip, "words": words, "folder": folder, **options}
    return {concept: explain(model, prompt, concept, **given) for concept, prompt in prompts.items()}


@dataclass(frozen=True, slots=True)
class _Shown:
    """Pictures [n, 3, h, w] to learn from and to judge by; `paired` ones are the model's own, at `seeds`."""

    train: Tensor
    validation: Tensor
    seeds: range
    paired: bool


def _shown(
    model: Model, place: Place, plan: Plan, root: Path, pictures: Path | None, validation: Path | None
) -> _Shown:
    """The user's own pictures where there are any, else the model's, drawn into the folders that are named.

    Own pictures without others to judge by are divided: a fifth judges.
    """
    start = 1_000_000 * plan.picture_seed
    first = range(start, start + plan.pictures)
    seeds = range(first.stop, first.stop + plan.validation)
    mine = [folder is not None and gallery.is_own(folder) for folder in (pictures, validation)]

    def of_model(folder: Path | None, chosen: range) -> Tensor:
        points = [model.point(place.prompt, seed=seed) for seed in chosen]
        folder = folder or gallery.folder_of(root, model, place.prompt, plan.recipe, chosen)
        return gallery.drawn(model, points, plan.recipe, folder)

    if not mine[0]:
        train = of_model(pictures, first)
        judged = gallery.own(validation, plan.validation, model.size) if mine[1] and validation else None
        return _Shown(train, of_model(validation, seeds) if judged is None else judged, seeds, judged is None)
    assert pictures is not None
    if validation is not None and mine[1]:
        train = gallery.own(pictures, plan.pictures, model.size)
        return _Shown(train, gallery.own(validation, plan.validation, model.size), seeds, False)
    every = gallery.own(pictures, plan.pictures + plan.validation, model.size)
    held = max(1, min(plan.validation, len(every) // 5))
    return _Shown(every[:-held], every[-held:], seeds, False)


def _key(model: Model, clip: Clip, place: Place, plan: Plan, words: Vocabulary, shown: _Shown) -> str:
    """Eight hexadecimal digits that name a run: all that its result depends on."""
    made = [model.weights, digest_of(clip.model), asdict(place), plan.to_json(), words.words, shown.paired]
    digest = hashlib.sha256(json.dumps(made).encode())
    for pictures in (shown.train, shown.validation):
        digest.update((pictures * 255).round().byte().numpy().tobytes())
    return digest.hexdigest()[:8]


def _judge(model: Model, clip: Clip, place: Place, shown: _Shown, plan: Plan) -> Judging:
    if plan.judge == "loss":
        return by_loss(model, place, shown.validation, seed=plan.seed, dtype=plan.dtype)
    wanted = clip.images(shown.validation)
    if not shown.paired:
        wanted = F.normalize(wanted.mean(0, keepdim=True), dim=1)
    return by_pictures(model, clip, place, wanted, shown.seeds, plan.recipe)


def _begin(model: Model, place: Place, words: Vocabulary, mu: Tensor, plan: Plan) -> Callable[[Weights], object] | None:
    inputs = torch.cat(words.embeddings, 1)
    if plan.start == "convex":
        return lambda network: toward(network, inputs, convex(words.features, mu, plan.tokens))
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
    from safetensors.torch import save

    whole = torch.zeros(len(words.words))
    whole[[words.words.index(name) for name in basis.names]] = basis.weights
    with whole_file(run / "coefficients.safetensors") as file:
        file.write(save({"coefficients": whole}, {"words": json.dumps(words.words)}))
    save_pseudo_word([vector[None] for vector in basis.sums().values()], run / "pseudo-word.safetensors")
    found = {"top": basis.top(50), "support": basis.support, "mass of 50": basis.mass(50), **basis.origin}
    write_text(run / "explanation.json", json.dumps(found, indent=1))
    save_basis(basis, run / RESULT)
    (run / STATE).unlink(missing_ok=True)
