"""Few-step students: the loss is latent consistency, the LoRA is stock, and a model draws with it."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from astrogate.actions.again import again
from astrogate.core.errors import AstrogateError, AstrogateWarning
from astrogate.core.recipe import Recipe
from astrogate.models.adapter import PipelineModel
from astrogate.models.loading.load import load, wrap
from astrogate.models.loading.student import RECIPE
from astrogate.models.registry import AbilityError
from astrogate.rendering.record import save_png
from astrogate.rendering.render import render
from astrogate.train.kit.data import Batches
from astrogate.train.kit.loop import Schedule
from astrogate.train.kit.pairs import Pairs, drawn_pairs, picture_pairs, prompts_in
from astrogate.train.parts import matching
from astrogate.train.parts import student as parts
from astrogate.train.parts.distilling import Distilled, layers
from astrogate.train.parts.matching import match_student
from astrogate.train.parts.student import read_student, save_student, train_student
from tests.app.test_cli import run
from tests.checkpoints import able, made

SHORT = Schedule(steps=3, batch=2, lr=1e-2, warmup=1, checkpoint_minutes=0)
TEXTS = ("a dog", "a fat cat", "a photo of a dog")


def opened(folder: Path) -> PipelineModel:
    model = load(str(folder), device="cpu")
    assert isinstance(model, PipelineModel)
    return model


def pairs_of(model: PipelineModel, n: int = 4) -> Pairs:
    side = model.size // model.factor
    moments = torch.randn(n, 2, 4, side, side, generator=torch.Generator().manual_seed(0)).abs().half().numpy()
    return Pairs(moments, [TEXTS] * n)


def trained(folder: Path, run: Path, schedule: Schedule = SHORT, **options: Any) -> dict[str, torch.Tensor]:
    model = opened(folder)
    return train_student(model, pairs_of(model), schedule, folder=run, seed=0, rank=2, **options)


@pytest.fixture(scope="module")
def lora(tiny_folders: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student")
    return save_student(trained(tiny_folders("stable_diffusion"), folder / "run"), folder / "lora")


@pytest.mark.parametrize("family", able("loss"))
def test_training_leaves_the_model_as_it_was(family: str, tiny_folders: Callable[[str], Path], tmp_path: Path) -> None:
    model = opened(tiny_folders(family))
    before, point = model.weights, made(model, family)
    moving = [p.requires_grad for p in model.denoiser.parameters()]
    picture = model.denoise([point], Recipe(2))
    weights = train_student(model, pairs_of(model), SHORT, folder=tmp_path, seed=0, rank=2)
    assert model.weights == before
    assert [p.requires_grad for p in model.denoiser.parameters()] == moving
    assert torch.equal(model.denoise([point], Recipe(2)), picture)
    assert any(bool(value.any()) for name, value in weights.items() if "lora_B" in name)
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_training_goes_on_to_the_same_weights(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = trained(tiny_folder, tmp_path / "whole")
    call = parts._Consistency.__call__

    def stopping(self: Any, step: int, rng: np.random.Generator) -> torch.Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return call(self, step, rng)

    with monkeypatch.context() as patch:
        patch.setattr(parts._Consistency, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(tiny_folder, tmp_path / "cut")
    again = trained(tiny_folder, tmp_path / "cut")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_student_goes_on_from_another(tiny_folder: Path, tmp_path: Path) -> None:
    """It starts as that one is, its checkpoint is of that one, and weights of another rank are refused."""
    first = trained(tiny_folder, tmp_path / "first")
    save_student(first, tmp_path / "lora")
    begun = read_student(tmp_path / "lora")
    assert begun.keys() == first.keys()
    same = trained(tiny_folder, tmp_path / "same", replace(SHORT, steps=1, lr=1e-12), begun=begun)
    assert all(torch.equal(same[name], begun[name]) for name in begun)
    further = trained(tiny_folder, tmp_path / "on", begun=begun)
    assert not all(torch.equal(further[name], first[name]) for name in first)
    with pytest.raises(AstrogateError, match="of another training"):
        trained(tiny_folder, tmp_path / "first", begun=begun)
    with pytest.raises(AstrogateError, match="of other layers, or of another rank"):
        trained(tiny_folder, tmp_path / "rank", begun={name: value[:1] for name, value in begun.items()})
    with pytest.raises(AstrogateError, match="holds no student: name the folder of one that"):
        read_student(tmp_path)


def test_the_teacher_steps_as_ddim_does_and_the_student_starts_from_it(tiny_folder: Path) -> None:
    """Without a LoRA, f is what LCMScheduler makes of the U-Net, and x_e what DDIM makes of it under guidance."""
    from diffusers import DDIMScheduler, LCMScheduler
    from peft import LoraConfig

    model = opened(tiny_folder)
    point, unet = model.point("a fat dog", seed=1), model.denoiser
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"]), "student")
    net = Distilled(model, point.tensors, guidance=3.0)
    loss: Any = parts._Consistency(net, pairs_of(model), Batches(4, 2, 0), None, None, decay=0.9)  # type: ignore[arg-type]
    states = {"prompt_embeds": point.tensors["prompt_embeds"][None]}
    x = point.tensors["latents"][None]
    t, e = torch.tensor([499]), torch.tensor([479])
    with torch.no_grad():
        both = torch.cat([point.tensors["negative_prompt_embeds"][None], states["prompt_embeds"]])
        free, said = unet(torch.cat([x, x]), 499, both).sample.chunk(2)
        ddim: Any = DDIMScheduler.from_config(model.pipe.scheduler.config, clip_sample=False, steps_offset=0)
        ddim.set_timesteps(50)
        expected = ddim.step(free + 3.0 * (said - free), 499, x).prev_sample
        assert torch.allclose(loss._below(x, t, e, states), expected, atol=1e-5)
        lcm: Any = LCMScheduler.from_config(model.pipe.scheduler.config, clip_sample=False)
        lcm.set_timesteps(4)
        lcm.set_timesteps(timesteps=[499])
        found = lcm.step(said, 499, x).denoised
        assert torch.allclose(net.consistent(x, t, states, "student"), found, atol=1e-5)
        assert torch.allclose(net.consistent(x, torch.tensor([0]), states, "student"), x, atol=1e-6)


def matched(folder: Path, run: Path, begun: dict[str, torch.Tensor], schedule: Schedule = SHORT) -> Any:
    return match_student(opened(folder), TEXTS, begun, schedule, folder=run, seed=0)


@pytest.mark.parametrize("family", able("loss"))
def test_matching_changes_the_student_alone(
    family: str, tiny_folders: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "ALONE", 1)
    model = opened(tiny_folders(family))
    begun = train_student(model, pairs_of(model), SHORT, folder=tmp_path, seed=0, rank=2)
    before, point = model.weights, made(model, family)
    picture = model.denoise([point], Recipe(2))
    weights = match_student(model, TEXTS, begun, SHORT, folder=tmp_path, seed=0)
    assert {name: value.shape for name, value in weights.items()} == {k: v.shape for k, v in begun.items()}
    assert sum(not torch.equal(weights[name], begun[name]) for name in begun) > len(begun) / 2
    assert model.weights == before
    assert torch.equal(model.denoise([point], Recipe(2)), picture)
    assert not getattr(model.denoiser, "peft_config", None)


def test_the_critic_learns_alone_at_first(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = trained(tiny_folder, tmp_path / "first")
    monkeypatch.setattr(matching, "ALONE", 3)
    same = matched(tiny_folder, tmp_path / "alone", begun)
    assert all(torch.equal(same[name], begun[name]) for name in begun)
    state = load_file(tmp_path / "alone" / "matching-state.safetensors")
    assert any(bool(v.any()) for k, v in state.items() if k.startswith("model.critic") and v.ndim > 1)


def test_an_interrupted_matching_goes_on_to_the_same_weights(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "ALONE", 1)
    begun = trained(tiny_folder, tmp_path / "first")
    whole = matched(tiny_folder, tmp_path / "whole", begun)
    call = matching._Matching.__call__

    def stopping(self: Any, step: int, rng: np.random.Generator) -> torch.Tensor:
        if step == 2:
            raise KeyboardInterrupt
        return call(self, step, rng)

    with monkeypatch.context() as patch:
        patch.setattr(matching._Matching, "__call__", stopping)
        with pytest.raises(KeyboardInterrupt):
            matched(tiny_folder, tmp_path / "cut", begun)
    again = matched(tiny_folder, tmp_path / "cut", begun)
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    with pytest.raises(AstrogateError, match="of another training"):
        matched(tiny_folder, tmp_path / "cut", whole)
    with pytest.raises(AstrogateError, match="of other layers, or of another rank"):
        matched(tiny_folder, tmp_path / "odd", {"a": torch.zeros(1)})
    with pytest.raises(AstrogateError, match="3 items do not fill a batch of 4"):
        matched(tiny_folder, tmp_path / "few", begun, replace(SHORT, batch=4))


def test_a_student_is_pulled_from_what_it_draws_to_what_the_teacher_would(tiny_folder: Path) -> None:
    """The pull is that of DMD2: nothing where the critic is the teacher, and the student's way to it elsewhere."""
    from peft import LoraConfig

    model = opened(tiny_folder)
    unet: Any = model.denoiser
    for name in ("student", "critic"):
        unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "conv1"]), name)
    net = Distilled(model, model.point("a fat dog").tensors, guidance=1.0)
    levels = matching._levels(net)
    assert levels.tolist() == [999, 759, 499, 259]
    loss = matching._Matching(net, TEXTS, Batches(3, 2, 0), torch.nn.ModuleDict(), levels)
    with torch.no_grad():
        states = net.states(TEXTS[:2])
        x, t = loss._on_its_way(states, 2, 2)
        assert t.tolist() == [499, 499]
        torch.manual_seed(0)
        assert float(loss._away(x, states).abs().max()) < 1e-4
        for parameter in layers(unet, "critic").parameters():
            parameter.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
        torch.manual_seed(0)
        away = loss._away(x, states)
        torch.manual_seed(0)
        noisy, levels_of, _ = loss._noised(x, matching.MARGIN)
        teacher = net.first(noisy, levels_of, net.taught(noisy, levels_of, states))
        critic = net.first(noisy, levels_of, net.seen(noisy, levels_of, states, "critic"))
    scale = (x - teacher).abs().mean((1, 2, 3), keepdim=True)
    assert torch.allclose(away * scale, critic - teacher, atol=1e-5)
    assert bool((levels_of >= 20).all())
    assert bool((levels_of < 980).all())


def test_a_student_draws_as_plain_diffusers_does_with_its_lora(tiny_folder: Path, lora: Path) -> None:
    from diffusers import LCMScheduler, StableDiffusionPipeline

    plain = StableDiffusionPipeline.from_pretrained(tiny_folder, safety_checker=None, requires_safety_checker=False)
    plain.load_lora_weights(lora.parent)
    plain.fuse_lora()
    plain.unload_lora_weights()
    plain.scheduler = LCMScheduler.from_config(plain.scheduler.config)
    plain.set_progress_bar_config(disable=True)
    model = load(f"{tiny_folder}+{lora}", device="cpu")
    assert model.recipe == RECIPE
    assert model.scheduler == "LCMScheduler"
    drawn = model.denoise([model.point("a fat dog", seed=7)], model.recipe)
    generator = torch.Generator().manual_seed(7)
    wanted = plain(
        "a fat dog", num_inference_steps=4, guidance_scale=1.0, generator=generator, output_type="latent"
    ).images
    assert torch.equal(drawn, wanted)
    teacher = opened(tiny_folder)
    assert not torch.equal(teacher.denoise([teacher.point("a fat dog", seed=7)], model.recipe), drawn)


def test_points_of_the_checkpoint_are_the_students(tiny_folder: Path, lora: Path) -> None:
    teacher, model = opened(tiny_folder), load(f"{tiny_folder}+{lora.parent}", device="cpu")
    assert model.fingerprint == teacher.fingerprint
    assert model.weights != teacher.weights
    point = teacher.point("a dog", seed=2)
    assert torch.equal(model.denoise([point], RECIPE), model.denoise([model.point("a dog", seed=2)], RECIPE))


def test_what_python_draws_with_a_student_comes_again(tiny_folder: Path, lora: Path, tmp_path: Path) -> None:
    model = load(f"{tiny_folder}+{lora}", device="cpu")
    assert model.name == f"{tiny_folder}+{lora}"
    (frame,) = render(model, model.point("a dog", seed=2))
    save_png(frame.image, tmp_path / "x.png", frame=frame)
    (drawn,) = again(tmp_path / "x.png")
    assert np.array_equal(np.asarray(drawn.image), np.asarray(frame.image))


def test_a_student_in_the_checkpoints_folder_is_its_own(tiny_folder: Path, lora: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "own")
    with pytest.raises(AstrogateError, match="has no student"):
        load(str(tmp_path / "own"), device="cpu", student=True)
    shutil.copytree(lora.parent, tmp_path / "own" / "student")
    own, named = load(str(tmp_path / "own"), device="cpu", student=True), load(f"{tiny_folder}+{lora}", device="cpu")
    assert own.weights == named.weights
    assert load(f"{tmp_path / 'own'}+student", device="cpu").weights == own.weights


def test_a_name_that_may_be_two_students_is_refused(
    tiny_folder: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "own"
    shutil.copytree(tiny_folder, home)
    for folder in (home, tmp_path):
        shutil.copytree(lora.parent, folder / "student")
    monkeypatch.chdir(tmp_path)
    for name in (f"{home}+student", f"{home}+"):
        with pytest.raises(AstrogateError, match=r"or \./student"):
            load(name, device="cpu")
    assert load(f"{home}+./student", device="cpu").name.endswith("+./student")
    assert load(str(home), device="cpu", student=True).name.endswith("+student")
    with pytest.raises(AstrogateError, match="leave one of the two out"):
        load(f"{home}+./student", device="cpu", student=True)
    wrong: Any = "student"
    with pytest.raises(AstrogateError, match="behind a plus"):
        load(str(home), device="cpu", student=wrong)


def test_a_plus_may_stand_in_either_name(tiny_folder: Path, lora: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "a+b")
    shutil.copytree(lora.parent, tmp_path / "c+d")
    for name in (f"{tmp_path}/a+b", f"{tmp_path}/a+b+{tmp_path}/c+d", f"{tiny_folder}+{tmp_path}/c+d"):
        model = load(name, device="cpu")
        assert model.name == name
        assert (model.recipe == RECIPE) == ("c+d" in name)


def test_a_lora_in_the_original_trainers_layout_is_read(tiny_folder: Path, lora: Path, tmp_path: Path) -> None:
    """As LCM-LoRAs are shared: flat names of the U-Net's modules, with alphas."""
    kohya = dict[str, torch.Tensor]()
    for key, value in load_file(lora).items():
        module, _, rest = key.removeprefix("unet.").partition(".lora_")
        flat = f"lora_unet_{module.replace('.', '_')}"
        kohya[f"{flat}.lora_{'down' if rest.startswith('A') else 'up'}.weight"] = value
        kohya[f"{flat}.alpha"] = torch.tensor(2.0)
    save_file(kohya, tmp_path / "kohya.safetensors")
    model, same = load(f"{tiny_folder}+{tmp_path}/kohya.safetensors", device="cpu"), load(f"{tiny_folder}+{lora}")
    point = model.point("a dog", seed=1)
    assert torch.allclose(model.denoise([point], RECIPE), same.denoise([point], RECIPE), atol=1e-4)


def test_a_loras_own_strength_counts(tiny_folder: Path, lora: Path, tmp_path: Path) -> None:
    """Which diffusers keeps in the metadata of the file."""
    from diffusers import StableDiffusionPipeline

    plain = StableDiffusionPipeline.from_pretrained(tiny_folder, safety_checker=None, requires_safety_checker=False)
    layers = {k.removeprefix("unet."): v for k, v in load_file(lora).items()}
    names = sorted({name.partition(".lora_")[0] for name in layers})
    told = {"r": 2, "lora_alpha": 8, "target_modules": names}
    plain.save_lora_weights(tmp_path, unet_lora_layers=layers, unet_lora_adapter_metadata=told)
    plain.load_lora_weights(tmp_path)
    plain.fuse_lora()
    model, weak = load(f"{tiny_folder}+{tmp_path}", device="cpu"), load(f"{tiny_folder}+{lora}", device="cpu")
    own = model.denoiser.state_dict()
    assert all(
        torch.equal(own[k.replace(".base_layer", "")], v) for k, v in plain.unet.state_dict().items() if "lora" not in k
    )
    assert any(not torch.equal(own[k], v) for k, v in weak.denoiser.state_dict().items())


@pytest.mark.parametrize("kind", ["none of its layers", "half of its layers", "dora", "suffix", "zero"])
def test_a_lora_is_merged_whole_or_refused(tiny_folder: Path, lora: Path, tmp_path: Path, kind: str) -> None:
    weights, name = load_file(lora), "x.safetensors"
    if kind == "dora":
        weights |= {k.replace("lora_A", "dora_scale"): torch.ones(1) for k in weights if "lora_A" in k}
    elif kind == "suffix":
        name = "x.bin"
    elif kind == "zero":
        weights = {k: v * ("lora_A" in k) for k, v in weights.items()}
    else:
        cut = 0 if kind.startswith("none") else len(weights) // 4 * 2
        weights = {
            k.replace("unet.", "unet.nope.") if i >= cut else k: weights[k] for i, k in enumerate(sorted(weights))
        }
    save_file(weights, tmp_path / name)
    with pytest.raises(AstrogateError, match=name):
        load(f"{tiny_folder}+{tmp_path}/{name}", device="cpu")


def test_a_lora_of_weight_zero_is_told(tiny_folder: Path, lora: Path) -> None:
    pipe = opened(tiny_folder).pipe
    pipe.load_lora_weights(lora.parent, adapter_name="style")
    with warnings.catch_warnings():
        warnings.simplefilter("error", AstrogateWarning)
        wrap(pipe)
        pipe.set_adapters("style", 0.5)
        wrap(pipe)
    pipe.set_adapters("style", 0)
    with pytest.warns(AstrogateWarning, match="the LoRA 'style' of the unet has weight 0: no effect"):
        wrap(pipe)


def test_a_training_is_of_its_pictures_captions_and_seed(tiny_folder: Path, tmp_path: Path) -> None:
    trained(tiny_folder, tmp_path)
    model = opened(tiny_folder)
    pairs = pairs_of(model)
    for other, seed in (
        (pairs, 1),
        (replace(pairs, captions=[["a cat"]] * 4), 0),
        (replace(pairs, moments=pairs.moments + 1), 0),
    ):
        with pytest.raises(AstrogateError, match="of another training"):
            train_student(model, other, SHORT, folder=tmp_path, seed=seed, rank=2)


def test_what_is_no_student_is_refused(
    tiny_folder: Path, lora: Path, tmp_path: Path, tiny_folders: Callable[[str], Path]
) -> None:
    with pytest.raises(AstrogateError, match="has no student"):
        load(f"{tiny_folder}+nowhere", device="cpu")
    weights = load_file(lora)
    save_file({k.replace("unet.", "text_encoder."): v for k, v in weights.items()}, tmp_path / "text.safetensors")
    with pytest.raises(AstrogateError, match=r"is a LoRA of (text_encoder|nothing)|does not fit"):
        load(f"{tiny_folder}+{tmp_path}/text.safetensors", device="cpu")
    both = {**weights, "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 32)}
    both["text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight"] = torch.ones(32, 2)
    save_file(both, tmp_path / "both.safetensors")
    with pytest.raises(AstrogateError, match="both"):
        load(f"{tiny_folder}+{tmp_path}/both.safetensors", device="cpu")
    with pytest.raises(AbilityError):
        load(f"{tiny_folders('flux')}+{lora}", device="cpu")
    with pytest.raises(AstrogateError, match="other"):
        trained(tiny_folder, lora.parent.parent / "run", guidance=7.0)
    with pytest.raises(AstrogateError, match="does not fit"):
        load(f"{tiny_folders('stable_diffusion_xl')}+{lora}", device="cpu")
    (tmp_path / "cut.safetensors").write_bytes(lora.read_bytes()[:1000])
    with pytest.raises(AstrogateError, match=r"cut\.safetensors"):
        load(f"{tiny_folder}+{tmp_path}/cut.safetensors", device="cpu")
    with pytest.raises(AbilityError):
        train_student(
            opened(tiny_folders("flux")),
            Pairs(np.zeros((2, 2, 4, 2, 2), np.float16), [["a"]] * 2),
            SHORT,
            folder=tmp_path,
            seed=0,
        )
    adapted = opened(tiny_folder)
    adapted.pipe.load_lora_weights(lora.parent)
    with pytest.raises(AstrogateError, match="has a LoRA"):
        train_student(adapted, pairs_of(adapted), SHORT, folder=tmp_path, seed=0)


def test_pairs_of_prompts_and_of_pictures(tiny_folder: Path, tmp_path: Path) -> None:
    model = opened(tiny_folder)
    (tmp_path / "prompts.txt").write_text("a dog\n\n a fat cat \n")
    texts = prompts_in(tmp_path / "prompts.txt")
    assert texts == ["a dog", "a fat cat"]
    drawn = drawn_pairs(model, texts, Recipe(2), tmp_path, count=3, seed=5)
    assert drawn.captions == [["a dog"], ["a fat cat"], ["a dog"]]
    alone = model.denoise([model.point("a fat cat", seed=6)], Recipe(2))[0]
    assert np.allclose(drawn.moments[1, 0], alone.half().numpy(), atol=1e-2)
    assert not drawn.moments[:, 1].any()
    for i, frame in enumerate(render(model, [model.point("a dog", seed=s) for s in (1, 2)], recipe=Recipe(2))):
        frame.image.save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text("a dog\na cat\n")
    seen = picture_pairs(model, tmp_path, tmp_path)
    assert seen.moments.shape == (2, 2, 4, *drawn.moments.shape[-2:])
    assert seen.texts(np.array([0, 1]), np.random.default_rng(0))[0] in ("a dog", "a cat")
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(AstrogateError, match="no prompt"):
        prompts_in(tmp_path / "empty.txt")
    with pytest.raises(AstrogateError, match="no picture"):
        picture_pairs(model, tiny_folder, tmp_path)


def test_the_command_distils_and_draws(tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a dog\na fat cat\n")
    model = ("--model", str(tiny_folder), "--device", "cpu")
    code, out, err = run(
        *("train", "student", *model, "--prompts", str(tmp_path / "prompts.txt"), "--drawings", "4"),
        *("--steps", "2", "--batch", "2", "--rank", "2", "--run", str(tmp_path / "run"), "-o", str(tmp_path / "lora")),
    )
    assert code == 0, err
    assert "is finished" in out
    own = ("--model", f"{tiny_folder}+{tmp_path / 'lora'}", "--device", "cpu", "-n", "3")
    code, _, err = run("insert", "a photo of a dog", "fat", "--before", "dog", *own, "-o", str(tmp_path / "strip.png"))
    assert code == 0, err
    match = ("--match", "--init", str(tmp_path / "lora"), "--run", str(tmp_path / "run"))
    captions = ("--prompts", str(tmp_path / "prompts.txt"))
    short = ("--steps", "2", "--batch", "2", "-o", str(tmp_path / "better"))
    code, out, err = run("train", "student", *model, *captions, *match, *short)
    assert code == 0, err
    assert load(f"{tiny_folder}+{tmp_path / 'better'}", device="cpu").recipe == RECIPE
    for odd, told in (
        (("--run", str(tmp_path / "other")), "--data or --prompts"),
        (match, "--data or --prompts"),
        ((*captions, "--match"), "give --init"),
        ((*captions, *match, "--rank", "4"), "leave --rank out"),
        ((*captions, *match, "--drawings", "4"), "leave --drawings out"),
        (("--data", str(tmp_path), *match), "0 items do not fill a batch"),
    ):
        code, _, err = run("train", "student", *model, *odd)
        assert code == 2, odd
        assert told in err
    assert json.loads((tmp_path / "run" / "student-run.json").read_text())["steps"] == 2
