"""The training loops on a world of a few pictures: they learn, resume, and pack what stock classes load."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTokenizer

from astrogate.core.errors import AstrogateError
from astrogate.core.recipe import Recipe
from astrogate.menagerie.captions import PATTERN_WORDS, WORDS
from astrogate.menagerie.drawing import draw
from astrogate.menagerie.factors import CATEGORICAL, PATTERNS
from astrogate.menagerie.oracle import OracleNet, load_oracle, save_oracle
from astrogate.menagerie.world import held_out, scene_at
from astrogate.models.adapter import PipelineModel
from astrogate.models.family import Family
from astrogate.models.loading.checks import digest, latents_vae
from astrogate.models.loading.load import load
from astrogate.models.loading.locate import shipped_folder
from astrogate.models.loading.student import RECIPE as STUDENT
from astrogate.models.registry import family_of
from astrogate.rendering.render import render
from astrogate.train.kit.data import Batches, build_data, keep_rows, open_data
from astrogate.train.kit.denoising import load_vae
from astrogate.train.kit.loop import Schedule, fit
from astrogate.train.kit.sam import ascended
from astrogate.train.parts.clip import contrastive_loss
from astrogate.train.parts.words import Lessons, Words, mixed, train_reader, with_reader
from astrogate.train.world.packing import assemble
from astrogate.train.world.presets import PRESETS, Preset, build_large_vae, build_unet
from astrogate.train.world.run import train_menagerie
from astrogate.train.world.tokenizer import build_tokenizer, save_tokenizer
from astrogate.train.world.witness import Witness
from astrogate.train.world.world_data import labels, twin_at, world_data

SHORT = Schedule(steps=2, batch=4, lr=1e-3, warmup=1)
PAIRED = replace(SHORT, batch=8)
MICRO: Preset = replace(
    PRESETS["cpu"],
    pictures=24,
    rebuilt=12,
    large=5,
    generated=3,
    twins=3,
    schedules={**dict.fromkeys(PRESETS["cpu"].schedules, SHORT), "patterns": PAIRED},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train_menagerie(MICRO, folder)
    return folder


def test_every_word_is_one_token(tmp_path: Path) -> None:
    tokenizer = build_tokenizer(WORDS, max_length=32)
    assert tokenizer.get_vocab() == build_tokenizer(WORDS, max_length=32).get_vocab()
    assert all(len(tokenizer(word).input_ids) == 3 for word in WORDS)
    save_tokenizer(tokenizer, tmp_path)
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    text = "An high resolution photo of a cat's zeppelin, 3d"
    assert loaded(text).input_ids == tokenizer(text).input_ids
    (tmp_path / "tokenizer.json").unlink()
    assert CLIPTokenizer.from_pretrained(tmp_path)(text).input_ids == tokenizer(text).input_ids


def test_world_data_is_what_the_world_says(run: Path) -> None:
    data = open_data(run / "data")
    scenes = [scene_at(1, i) for i in range(24)]
    again = labels(scenes)
    assert all(np.array_equal(data.arrays[name], again[name]) for name in again)
    index = np.arange(3)
    assert data.images(index).shape == (3, 3, 64, 64)
    assert data.images(index).abs().max() <= 1
    assert set(data.masks(index).unique().tolist()) == {0.0, 1.0}
    kept = (run / "data" / "images.npy").stat().st_mtime_ns
    tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer")
    world_data(run / "data", 24, size=64, seed=1, captions=6, tokenizer=tokenizer, workers=1)
    assert (run / "data" / "images.npy").stat().st_mtime_ns == kept


def cut_off(items: range) -> dict[str, np.ndarray]:
    raise ValueError(items)


def test_a_data_set_that_cannot_be_made_leaves_the_old_one(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "data", tmp_path / "data")
    with pytest.raises(ValueError, match="range"):
        build_data(tmp_path / "data", 4, {"of": "others"}, cut_off, workers=1)
    assert len(open_data(tmp_path / "data")) == 24
    assert os.listdir(tmp_path) == ["data"]


def test_rows_are_kept_as_numpy_would_keep_them_and_made_once(tmp_path: Path) -> None:
    rows = np.arange(24, dtype=np.float16).reshape(6, 2, 2)
    kept = keep_rows(tmp_path / "rows.npy", 6, iter(np.split(rows, 3)))
    assert np.array_equal(kept, rows)
    np.save(tmp_path / "plain.npy", rows)
    assert (tmp_path / "rows.npy").read_bytes()[:-32] == (tmp_path / "plain.npy").read_bytes()
    assert np.array_equal(keep_rows(tmp_path / "rows.npy", 6, (rows[:0] for _ in [])), rows)
    data = (tmp_path / "rows.npy").read_bytes()
    for broken in (data[:-1], data[:-33] + b"\x7f" + data[-32:], b"", data[:200]):
        (tmp_path / "rows.npy").write_bytes(broken)
        assert np.array_equal(keep_rows(tmp_path / "rows.npy", 6, iter(np.split(rows, 3))), rows)


def test_batches_show_everything_once_an_epoch() -> None:
    order = Batches(10, 5, 0)
    for epoch in range(3):
        assert sorted(np.concatenate([order.at(2 * epoch), order.at(2 * epoch + 1)])) == list(range(10))
    with pytest.raises(AstrogateError, match="fill a batch"):
        Batches(3, 4, 0)


def quadratic(modules: nn.ModuleDict) -> torch.Tensor:
    return (modules["m"].weight - 3).pow(2).sum()  # type: ignore[operator]


def test_fit_learns_and_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    schedule = Schedule(steps=60, batch=1, lr=0.1, warmup=5, ema=0.9, checkpoint_minutes=0)

    def train(folder: Path, stop: int | None) -> torch.Tensor:
        torch.manual_seed(0)
        modules = nn.ModuleDict({"m": nn.Linear(2, 2, bias=False)})

        def loss(step: int, rng: np.random.Generator) -> torch.Tensor:
            if step == stop:
                raise KeyboardInterrupt
            return quadratic(modules) * (1 + 0.1 * torch.randn(())) + 0.01 * float(rng.normal())

        return fit(modules, loss, schedule, folder=folder, name="m", seed=0)["m"].weight  # type: ignore[return-value]

    whole = train(tmp_path / "a", None)
    assert (whole - 3).abs().max() < 0.5
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "b", 30)
    assert torch.equal(train(tmp_path / "b", None), whole)
    assert json.loads((tmp_path / "a" / "m-run.json").read_text())["seed"] == 0


_CREW = """
import os
import sys
from pathlib import Path
import torch
from torch import nn
from safetensors.torch import save_file
from astrogate.train.kit.sam import ascended
from astrogate.train.kit.loop import Schedule, fit

torch.manual_seed(0)
modules = nn.ModuleDict({"m": nn.Linear(3, 2)})
share = int(sys.argv[2])

def loss(turn, rng):
    parts = [torch.full((4, 3), float(turn * share + i)).cos() for i in range(share)]
    return torch.stack([(modules["m"](x) - x.sum()).square().mean() for x in parts]).mean()

folder = Path(sys.argv[1])
weight = fit(modules, loss, Schedule(12, 4, 0.05, warmup=1, ema=0.0), folder=folder, name="m", seed=0)["m"].weight
save_file({"weight": weight.detach().contiguous()}, folder / f"out-{os.environ.get('RANK', 0)}.safetensors")
"""


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    script = tmp_path / "crew.py"
    script.write_text(_CREW)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    crew = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    two = subprocess.run([*launch, str(tmp_path / "two"), "1"], capture_output=True, env=crew)
    assert two.returncode == 0, two.stderr.decode()[-2000:]
    one = subprocess.run([sys.executable, str(script), str(tmp_path / "one"), "2"], capture_output=True)
    assert one.returncode == 0, one.stderr.decode()[-2000:]
    first, second = (load_file(path)["weight"] for path in sorted((tmp_path / "two").glob("out-*.safetensors")))
    (alone,) = (load_file(path)["weight"] for path in (tmp_path / "one").glob("out-*.safetensors"))
    assert torch.equal(first, second)
    assert torch.allclose(first, alone, atol=1e-5)
    assert json.loads((tmp_path / "two" / "m-run.json").read_text())["processes"] == 2


def test_sharpness_aware_steps_take_the_gradient_uphill(tmp_path: Path) -> None:
    """Of a parabola a step is that of the point `sam` further from its foot; the weights come back exactly."""
    weight = nn.Parameter(torch.tensor([3.0, 4.0]))
    weight.grad = 2 * weight.detach()
    with ascended([weight], 0.5):
        assert torch.allclose(weight, torch.tensor([3.3, 4.4]))
    assert torch.equal(weight, torch.tensor([3.0, 4.0]))

    seen: list[tuple[float, float]] = []
    for sam in (0.0, 0.5):
        module = nn.Linear(2, 1, bias=False)
        module.weight.data.copy_(torch.tensor([[3.0, 4.0]]))

        def loss(step: int, rng: np.random.Generator, module: nn.Linear = module) -> torch.Tensor:
            return (module.weight**4).sum()

        schedule = Schedule(steps=1, batch=1, lr=1.0, warmup=1, weight_decay=0, clip=1e9, sam=sam)
        fit(nn.ModuleDict({"m": module}), loss, schedule, folder=tmp_path / str(sam), name="x", seed=0)
        assert module.weight.grad is not None
        seen.append(tuple(module.weight.grad.flatten().tolist()))
    assert seen[0] == pytest.approx((4 * 27, 4 * 64))
    assert seen[1][0] > seen[0][0]
    direction = torch.tensor(seen[0]) / torch.tensor(seen[0]).norm()
    assert seen[1] == pytest.approx(tuple((4 * (torch.tensor([3.0, 4.0]) + 0.5 * direction) ** 3).tolist()), rel=1e-4)


def test_fit_stops_on_nonsense(tmp_path: Path) -> None:
    modules = nn.ModuleDict({"m": nn.Linear(2, 2)})
    schedule = Schedule(steps=200, batch=1, lr=0.1)
    with pytest.raises(AstrogateError, match="not a number"):
        fit(modules, lambda step, rng: quadratic(modules) * float("nan"), schedule, folder=tmp_path, name="m", seed=0)
    short = Schedule(steps=3, batch=1, lr=0.1, checkpoint_minutes=0)
    with pytest.raises(AstrogateError, match="not a number"):
        fit(modules, lambda step, rng: quadratic(modules) * float("nan"), short, folder=tmp_path, name="n", seed=0)
    assert not (tmp_path / "n-state.safetensors").exists()


def test_the_rate_warms_up_and_ends_at_zero() -> None:
    schedule = Schedule(steps=100, batch=1, lr=1.0, warmup=10, decay=0.5)
    assert schedule.rate(0, 0.0) == pytest.approx(0.1)
    assert schedule.rate(40, 0.4) == 1.0
    assert schedule.rate(75, 0.75) == pytest.approx(0.5)
    assert schedule.rate(100, 1.0) == 0


def test_contrastive_loss_is_cross_entropy_and_shares_equal_captions() -> None:
    torch.manual_seed(0)
    image, text = (nn.functional.normalize(torch.randn(6, 8), dim=1) for _ in range(2))
    tokens = torch.arange(6)[:, None]
    logits, diagonal = 5 * image @ text.T, torch.arange(6)
    expected = (nn.functional.cross_entropy(logits, diagonal) + nn.functional.cross_entropy(logits.T, diagonal)) / 2
    assert torch.allclose(contrastive_loss(image, text, torch.tensor(5.0), tokens), expected)
    text[1], tokens[1] = text[0], tokens[0]
    swapped = image[[1, 0, 2, 3, 4, 5]]
    a, b = (contrastive_loss(x, text, torch.tensor(5.0), tokens) for x in (image, swapped))
    assert torch.allclose(a, b)


@pytest.mark.parametrize("net", [OracleNet(), OracleNet(side=128), Witness(64), Witness(128)])
def test_readers_answer_alike(net: nn.Module) -> None:
    side = net.hparams["side"]  # type: ignore[index]
    logits, values, mask = net(torch.zeros(2, 3, side, side))  # type: ignore[misc]
    assert logits.shape == (2, sum(len(v) for v in CATEGORICAL.values()))
    assert values.shape == (2, 4)
    assert mask.shape == (2, side, side)


def test_oracle_file_round_trip(tmp_path: Path) -> None:
    net = OracleNet().eval()
    save_oracle(net, tmp_path)
    pictures = torch.rand(3, 3, 96, 96)
    readings = load_oracle(tmp_path).read(pictures)
    assert readings.mask.shape == (3, 96, 96)
    assert set(readings.probabilities) == set(CATEGORICAL)
    assert len(readings.labels("subject")) == 3
    with pytest.raises(AstrogateError, match=r"pictures are \[3"):
        load_oracle(tmp_path).read(pictures[0])


def test_the_whole_chain_packs_a_stock_pipeline(run: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline
    from transformers import CLIPModel

    from astrogate.models.loading.load import load

    (tmp_path / "mine.txt").write_text("not a model")
    with pytest.raises(AstrogateError, match="holds something else"):
        assemble(run, tmp_path, "cpu")
    (tmp_path / "mine.txt").unlink()
    size = assemble(run, tmp_path, "cpu")
    assert size <= 40 * 2**20
    assert all(path.stat().st_size <= 16 * 2**20 for path in tmp_path.rglob("*"))
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.float32)
    clip = CLIPModel.from_pretrained(tmp_path / "clip", dtype=torch.float32)
    tokens = pipe.tokenizer("a photo of a dog", return_tensors="pt").input_ids
    ours, theirs = pipe.text_encoder(tokens)[0], clip.text_model(tokens)[0]
    assert torch.equal(ours, theirs)
    model = load(str(tmp_path), device="cpu")
    assert (model.size, model.factor) == (256, 16)
    with pytest.warns(UserWarning, match=r"does not know the word 'dogg'; near it: dog"):
        model.point("a photo of a dogg")
    parts = json.loads((tmp_path / "card.json").read_text())
    small = parts["parts"]["vae_64"]
    assert parts["trained_on"]["unet"] == {"vae": small, **{k: parts["parts"][k] for k in ("clip", "text_encoder")}}
    assert parts["trained_on"]["vae"] == {
        "vae": small,
        **{k: parts["parts"][k] for k in ("clip", "text_encoder", "oracle")},
    }
    for part in ("vae", "vae_64"):
        config = tmp_path / part / "config.json"
        text = config.read_text()
        config.write_text(text + "\n")
        with pytest.raises(AstrogateError, match="vae"):
            load(str(tmp_path), device="cpu")
        config.write_text(text)


def test_the_large_decoder_shares_latents_with_the_small_one(run: Path, tmp_path: Path) -> None:
    """It is stock, sees what the small encoder sees, by means over areas, and draws four times as large."""
    from diffusers import StableDiffusionPipeline

    assemble(run, tmp_path, "cpu")
    large, small = (PipelineModel(family, pipe, "x") for family, pipe in both(tmp_path))
    point = large.point("a photo of a dog", seed=3)
    assert point.tensors["latents"].shape == small.point("a photo of a dog").tensors["latents"].shape == (4, 16, 16)
    pictures = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert torch.equal(large.latents(pictures), small.latents(F.avg_pool2d(pictures, 4)))
    assert large.decode(large.latents(pictures)).shape == (2, 3, 256, 256)
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path, torch_dtype=torch.float32)
    recipe = Recipe(2)
    drawn = next(render(large, point, recipe=recipe)).image
    pipe.set_progress_bar_config(disable=True)
    latents = point.tensors["latents"][None]
    plain = pipe("a photo of a dog", num_inference_steps=2, guidance_scale=4.0, latents=latents, output_type="np")
    assert drawn.size == (256, 256)
    assert np.abs(np.asarray(drawn) / 255 - plain.images[0]).max() < 1 / 128


def both(folder: Path) -> Iterator[tuple[Family, Any]]:
    """The packed pipeline with its own decoder, and with the small one."""
    from diffusers import AutoencoderKL, StableDiffusionPipeline

    for part in ({}, {"vae": AutoencoderKL.from_pretrained(folder / "vae_64", torch_dtype=torch.float32)}):
        pipe = StableDiffusionPipeline.from_pretrained(folder, torch_dtype=torch.float32, **part)
        row = family_of("StableDiffusionPipeline", "x")
        assert isinstance(row, Family)
        yield row, pipe


def test_the_large_decoder_starts_as_the_small_one_enlarged() -> None:
    """Its last convolution sees finer pixels, and so sharpens: by means over areas the pictures are nearly the same."""
    torch.manual_seed(0)
    small = load_vae(latents_vae(shipped_folder()), "cpu")
    large = build_large_vae(small).eval()
    pictures = torch.from_numpy(np.stack([draw(scene_at(5, i), 64) for i in range(4)])).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        latents = small.encode(pictures).latent_dist.mean
        assert torch.equal(large.encode(pictures).latent_dist.mean, latents)
        old, new = small.decode(latents).sample, F.avg_pool2d(large.decode(latents).sample, 4)
    assert float((new - old).square().mean()) < 0.2 * float((old - old.mean()).square().mean())
    nothing = torch.zeros_like(latents)
    with torch.no_grad():
        assert large.decode(nothing).sample.shape == (4, 3, 256, 256)


def test_twins_differ_in_their_pattern_and_its_word_alone(run: Path) -> None:
    twins = open_data(run / "twins")
    tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer")
    words = [tokenizer(list(group), add_special_tokens=False).input_ids for group in PATTERN_WORDS.values()]
    marks = [{ids[0] for ids in group} for group in words]
    tokens = twins.arrays["tokens"].reshape(3, 4, 6, 32)
    named = 0
    for group in range(3):
        scenes = [twin_at(2, 4 * group + i, 6)[0] for i in range(4)]
        assert [scene.pattern for scene in scenes] == list(PATTERNS)
        assert len({replace(scene, pattern="plain") for scene in scenes}) == 1
        assert not any(held_out(scene) for scene in scenes)
        for i, scene in enumerate(scenes):
            assert np.array_equal(twins.arrays["images"][4 * group + i], draw(scene, 64))
            for k in range(6):
                plain, own = tokens[group, 0, k], tokens[group, i, k]
                other = plain != own
                assert np.isin(plain[other], list(marks[0])).all()
                assert np.isin(own[other], list(marks[i])).all()
                named += bool(other.any())
    assert named >= 0.8 * 3 * 3 * 6


def test_a_unet_gets_a_reader_that_changes_nothing_yet(run: Path) -> None:
    from diffusers import UNet2DConditionModel

    unet: Any = UNet2DConditionModel.from_pretrained(run / "unet").eval()
    read = with_reader(unet).eval()
    g = torch.Generator().manual_seed(0)
    x, states = torch.randn(2, 4, 16, 16, generator=g), torch.randn(2, 32, 128, generator=g)
    with torch.no_grad():
        assert torch.equal(read(x, 500, states).sample, unet(x, 500, states).sample)
        nn.init.ones_(read.add_embedding.norm2.weight)
        assert not torch.equal(read(x, 500, states).sample, unet(x, 500, states).sample)
        again = with_reader(read).eval()
        assert torch.equal(again(x, 500, states).sample, read(x, 500, states).sample)


class Embedded(nn.Module):
    """A text encoder of one layer: each token's own vector."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.table = nn.Embedding(count, 128)

    def forward(self, tokens: torch.Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=self.table(tokens))


def test_a_reader_learns_the_words_and_says_nothing_of_other_captions(run: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tokenizer = CLIPTokenizer.from_pretrained(run / "tokenizer")
    words = Words(tokenizer, PATTERN_WORDS, 256)
    texts = ["a spotted dog", "a dotted cat", "a plain dog", "a dog", "a striped cat", "winding"]
    tokens = tokenizer(texts, padding="max_length", max_length=32, return_tensors="pt").input_ids
    assert words.named(tokens).tolist() == [2, 2, 1, 0, 3, 4]

    twins, data = open_data(run / "twins"), open_data(run / "data")
    lessons = Lessons(twins, np.zeros(0, np.float16), data, np.zeros(0, np.float16))
    assert lessons.captions == (12 + 24) * 6
    encoder = Embedded(len(tokenizer))
    reader = with_reader(build_unet()).add_embedding
    schedule = Schedule(steps=300, batch=64, lr=2e-3, warmup=10, ema=0.9)
    options = {"folder": tmp_path, "seed": 0, "device": "cpu", "name": "reader"}
    reader = train_reader(reader, encoder, lessons, words, schedule, **options)
    with torch.no_grad():
        said = reader(encoder(tokens).last_hidden_state)
    moves = 6.0 / 512**0.5 * (words.directions - words.directions[0])
    assert torch.cdist(said, moves).argmin(1).tolist() == words.named(tokens).tolist()
    assert float(said[3].norm()) < 3 < float((said[0] - said[3]).norm())


def test_weights_after_are_mixed_with_those_before_and_the_reader_is_kept_whole(run: Path) -> None:
    from diffusers import UNet2DConditionModel

    def after() -> Any:
        torch.manual_seed(0)
        found = with_reader(before)
        with torch.no_grad():
            for i, value in enumerate(found.parameters()):
                value.add_(i % 3 - 1)
        return found

    before: Any = UNet2DConditionModel.from_pretrained(run / "unet")
    old, new = before.state_dict(), after().state_dict()
    whole, half = mixed(after(), before, 1, 1).state_dict(), mixed(after(), before, 0.25, 2).state_dict()
    for name, value in new.items():
        assert torch.equal(whole[name], value)
        louder = 2 if name in ("add_embedding.norm2.weight", "add_embedding.norm2.bias") else 1
        expected = 0.25 * value + 0.75 * old[name] if name in old else louder * value
        torch.testing.assert_close(half[name], expected)
    assert {name for name in new if name not in old} == {name for name in new if name.startswith("add_embedding.")}


def test_finished_stages_are_kept(run: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    train_menagerie(MICRO, run)
    assert before == {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}


def test_resume_takes_what_is_lacking_from_the_shipped_weights(run: Path, tmp_path: Path) -> None:
    shipped, fresh = tmp_path / "shipped", tmp_path / "fresh"
    assemble(run, shipped, "cpu")
    with pytest.raises(AstrogateError, match="needs vae"):
        train_menagerie(MICRO, fresh, stages=("unet",))
    shutil.copytree(run / "data", fresh / "data")
    train_menagerie(MICRO, fresh, stages=("unet",), start=shipped)
    for part, there in {"vae": "vae_64", "vae_decoder": "vae", "clip": "clip", "oracle": "oracle"}.items():
        for path in (shipped / there).iterdir():
            assert (fresh / part / path.name).read_bytes() == path.read_bytes()
    again = tmp_path / "again"
    assemble(fresh, again, "cpu")
    before, after = (json.loads((folder / "card.json").read_text())["parts"] for folder in (shipped, again))
    assert {k for k in before if before[k] != after.get(k)} == {"unet", "student"}
    shutil.rmtree(fresh / "vae")
    shutil.copytree(run / "vae", fresh / "vae")
    (fresh / "vae" / "config.json").write_text("{}")
    with pytest.raises(AstrogateError, match="trained on another vae"):
        assemble(fresh, again, "cpu")
    assert json.loads((again / "card.json").read_text())["parts"] == after
    assert (fresh / "unet").is_dir()
    assert not list(fresh.glob(".*"))
    assert not list(fresh.glob("*-state.safetensors"))


def test_a_student_is_packed_with_its_unet_and_with_no_other(run: Path, tmp_path: Path) -> None:
    shipped, fresh = tmp_path / "shipped", tmp_path / "fresh"
    assemble(run, shipped, "cpu")
    parts = json.loads((shipped / "card.json").read_text())
    assert parts["trained_on"]["student"]["unet"] == parts["parts"]["unet"]
    model = load(str(shipped), device="cpu", student=True)
    assert model.recipe == STUDENT
    assert next(render(model, model.point("a dog"), recipe=model.recipe)).image.size == (256, 256)

    shutil.copytree(run / "data", fresh / "data")
    train_menagerie(MICRO, fresh, stages=("witness",), start=shipped)
    assert digest(fresh / "student") == parts["parts"]["student"]
    shutil.rmtree(fresh / "unet")
    train_menagerie(MICRO, fresh, stages=("unet",), start=shipped)
    with pytest.raises(AstrogateError, match=r"student in .* was trained on another unet"):
        assemble(fresh, tmp_path / "packed", "cpu")
    shutil.rmtree(fresh / "student")
    train_menagerie(MICRO, fresh, stages=("witness",), start=shipped)
    assert not (fresh / "student").exists()


def test_a_part_from_the_shipped_weights_does_not_fit_a_vae_of_ones_own(run: Path, tmp_path: Path) -> None:
    shipped, fresh = tmp_path / "shipped", tmp_path / "fresh"
    assemble(run, shipped, "cpu")
    shutil.copytree(run / "data", fresh / "data")
    train_menagerie(MICRO, fresh, stages=("vae",), start=shipped)
    with pytest.raises(AstrogateError, match="trained on another vae"):
        assemble(fresh, tmp_path / "packed", "cpu")
