"""The released procedure of Conceptor, written plainly, beside ours: CPU time, and how well each draws a concept again.

Plainly: the vocabulary a word at a time at full length; pictures by 50 steps of LMS at guidance 7.5, or as ours are;
every step encodes its pictures and its prompts anew in float32 and waits for the loss; every fifty steps twenty
pictures are drawn. The model, the dictionary, the most steps and the seeds are the same. "Quick" begins at the convex
start, is judged by the loss, and stops early. The vocabulary is also embedded by a text encoder as large as CLIP
ViT-B/32's, with random weights; without a concept, that is all.
Run: python benchmarks/conceptor.py [CONCEPT ...]
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from clock import cpu_seconds
from torch import Tensor
from torch.nn import functional as F

import astrogate as ag
from astrogate.core.basis import Basis
from astrogate.measure.clip import clip_for
from astrogate.methods.concept.cutoffs import cutoffs
from astrogate.methods.concept.dictionary import dictionary
from astrogate.methods.concept.plan import Plan
from astrogate.methods.concept.pseudo_point import basis_place, basis_points, concept_points, place_of
from astrogate.methods.concept.run import Weights, pseudo_words, sparsity
from astrogate.methods.concept.vocabulary import TEMPLATES, Vocabulary, word_features
from astrogate.models.loading.locate import shipped_folder
from astrogate.models.sampler.fast import has_bfloat16
from astrogate.models.text.pseudo_word import standing_in
from astrogate.rendering.pixels import to_tensor
from astrogate.rendering.render import render

FRESH = range(700_000, 700_040)
#: How the released code draws.
DRAWN = ag.Recipe(scheduler="LMSDiscrete", num_inference_steps=50, guidance_scale=7.5)


@torch.no_grad()
def released_vocabulary(clip: ag.Clip, words: list[str]) -> Tensor:
    """One word after the other, its templates at full length."""
    rows: list[Tensor] = []
    for word in words:
        texts = [template.format(word) for template in TEMPLATES]
        tokens = clip.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt").input_ids
        text = clip.model.text_model(input_ids=tokens)
        features = F.normalize(clip.model.text_projection(text.pooler_output), dim=-1)
        rows.append(F.normalize(features.mean(0), dim=0))
    return torch.stack(rows)


def large_clip(folder: Path) -> ag.Clip:
    """Menagerie's words in a text encoder as large as ViT-B/32's; its vision tower is small, as nothing looks."""
    from transformers import CLIPConfig, CLIPModel

    for path in (shipped_folder() / "clip").glob("*.json"):
        shutil.copy(path, folder)
    shutil.copy(shipped_folder() / "clip" / "merges.txt", folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
    text = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
    own = json.loads((folder / "config.json").read_text())["text_config"]
    text |= {"max_position_embeddings": 77, "vocab_size": 49_408, "eos_token_id": own["eos_token_id"]}
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512)).save_pretrained(folder)
    return ag.Clip(folder)


def embed_both(clip: ag.Clip, words: list[str], name: str, repeats: int) -> None:
    """Print what the vocabulary costs plainly and by ours."""
    rows: list[Tensor] = []
    times = [
        cpu_seconds(lambda embed=embed: rows.append(embed(clip, words)))
        for _ in range(repeats)
        for embed in (released_vocabulary, word_features)
    ]
    slow, quick = (statistics.median(times[i::2]) for i in (0, 1))
    apart = float((rows[0] - rows[1]).abs().max())
    print(f"{name}, {len(words)} words, {torch.get_num_threads()} threads: released {slow:.2f} s CPU,", end=" ")
    print(f"ours {quick:.3f}: {slow / quick:.1f} times cheaper, features within {apart:.1e}")


def released(model: Any, clip: ag.Clip, prompt: str, words: Vocabulary, plan: Plan) -> Basis:
    """The whole explanation as released, with whole words."""
    plan = plan.for_words(len(words.words))
    place, pipe = place_of(prompt, None, words.words), model.pipe
    seeds = range(plan.pictures, plan.pictures + plan.validation)
    points = [model.point(prompt, seed=seed) for seed in range(plan.pictures)]
    train = to_tensor(render(model, points, recipe=plan.recipe))
    wanted = clip.images(to_tensor(render(model, [model.point(prompt, seed=s) for s in seeds], recipe=plan.recipe)))
    features = clip.images(train)
    limits = cutoffs(clip, words.alike, features)
    chosen = dictionary(clip, words, features, place.concept, plan, limits.concept)
    inputs = torch.cat(chosen.embeddings, 1)
    torch.manual_seed(plan.fit_seed)
    network = Weights(inputs.shape[1], plan.hidden)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate)
    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.requires_grad_(False)
    alphas, best, kept = pipe.scheduler.alphas_cumprod, -1.0, torch.zeros(len(inputs))
    for step in range(plan.fit_steps):
        batch = train[torch.randint(len(train), (plan.fit_batch,))]
        flip = torch.rand(plan.fit_batch)[:, None, None, None] < 0.5
        pixels = 2 * torch.where(flip, batch.flip(-1), batch) - 1
        latents = pipe.vae.encode(pixels).latent_dist.sample() * pipe.vae.config.scaling_factor
        noise, t = torch.randn_like(latents), torch.randint(len(alphas), (plan.fit_batch,))
        a = alphas[t][:, None, None, None]
        weights = network(inputs)
        vectors = [vector[None] for vector in pseudo_words(chosen, weights)]
        with standing_in(model, place.standin, vectors, [place.text] * plan.fit_batch):
            states = model.encode([place.text] * plan.fit_batch, gradient=True)["prompt_embeds"]
        out = pipe.unet(a.sqrt() * latents + (1 - a).sqrt() * noise, t, states).sample
        loss = (out - noise).square().mean() + plan.sparsity * sparsity(chosen, weights, plan.tokens)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        loss.item()
        if (step + 1) % plan.every == 0:
            whole = [w.detach() for w in pseudo_words(chosen, network(inputs))]
            pictures = to_tensor(render(model, concept_points(model, place, whole, seeds), recipe=plan.recipe))
            score = float((clip.images(pictures) * wanted).sum(1).mean())
            if score > best:
                best, kept = score, network(inputs).detach()
    for part in (pipe.unet, pipe.text_encoder, pipe.vae):
        part.requires_grad_(True)
    origin = {"place": asdict(place)}
    atoms, lengths = {"encoder 0": chosen.embeddings[0]}, {"encoder 0": chosen.lengths[0]}
    return Basis(chosen.words, kept, atoms, lengths, plan.tokens, model.fingerprint, place.concept, origin)


def redrawn(model: ag.Model, clip: ag.Clip, basis: Basis) -> list[float]:
    """The cosine of pictures of the word and of its words, at fresh seeds."""
    prompt = basis_place(basis).prompt
    points = [*(model.point(prompt, seed=s) for s in FRESH), *basis_points(model, basis, FRESH)]
    whole, made = clip.images(to_tensor(render(model, points))).chunk(2)
    return (whole * made).sum(1).tolist()


def main() -> None:
    """Print both costs and reconstructions."""
    from astrogate.measure.scores import bootstrap, mean

    model, clip = ag.load(device="cpu"), clip_for("menagerie", None)
    words = ag.vocabulary(model, clip)
    embed_both(clip, list(words.words), "Menagerie's CLIP", 7)
    with TemporaryDirectory() as folder:
        embed_both(large_clip(Path(folder)), list(words.words), "a text encoder of ViT-B/32's size", 1)
    if not (concepts := sys.argv[1:]):
        return
    dtype = "bfloat16" if has_bfloat16("cpu") else None
    ours = Plan(dtype=dtype, recipe=ag.Recipe(dtype=dtype))
    quick = replace(ours, start="convex", judge="loss", early=True)
    ways: dict[str, Callable[[str], Basis]] = {
        "released": lambda prompt: released(model, clip, prompt, words, Plan(recipe=DRAWN)),
        "released, drawn as ours": lambda prompt: released(model, clip, prompt, words, Plan()),
        "ours": lambda prompt: ag.explain(model, prompt, plan=ours, clip=clip, words=words),
        "ours, quick": lambda prompt: ag.explain(model, prompt, plan=quick, clip=clip, words=words),
    }
    costs, redrawings = {way: list[float]() for way in ways}, {way: list[float]() for way in ways}
    for turn, concept in enumerate(concepts):
        names = list(ways)
        for way in names[turn % len(names) :] + names[: turn % len(names)]:
            started = time.process_time()
            basis = ways[way](f"a photo of a {concept}")
            costs[way].append(time.process_time() - started)
            redrawings[way] += (cosines := redrawn(model, clip, basis))
            top = ", ".join(word for word, _ in basis.top(6))
            print(f"{concept}, {way}: {costs[way][-1]:.0f} s CPU, reconstruction {mean(cosines):.4f} ({top})")
    for base, way in product(list(ways)[:2], list(ways)[2:]):
        ratios = [slow / quick for slow, quick in zip(costs[base], costs[way], strict=True)]
        gains = [b - a for a, b in zip(redrawings[base], redrawings[way], strict=True)]
        spread = f"{min(ratios):.1f} to {max(ratios):.1f}"
        told = f"{statistics.median(ratios):.1f} times cheaper ({spread}), closer by {bootstrap(mean, gains)}"
        print(f"{way}, beside {base}: {told}")


if __name__ == "__main__":
    main()
