"""What tiny random checkpoints are made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

WORDS = ("a", "of", "painting", "photo", "dog", "cat", "fat", "thin", "happy", "sad", "3", "d", "render", "horse")
LENGTH = 16
#: As the checkpoints of SD and SDXL have it.
NOISE = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1,
    "timestep_spacing": "leading",
}  # fmt: skip

#: What Flux.1's transformer and those made from it have in common, and their autoencoder's numbers.
FLUX = {
    "patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16,
    "num_attention_heads": 2, "joint_attention_dim": 64, "axes_dims_rope": (4, 6, 6),
}  # fmt: skip
FLUX_VAE = {"shift_factor": 0.1, "scaling_factor": 0.36, "use_quant_conv": False, "use_post_quant_conv": False}


def clip_tokenizer() -> Any:
    from astrogate.train.world.tokenizer import build_tokenizer

    return build_tokenizer(WORDS, max_length=LENGTH)


def t5_tokenizer() -> Any:
    from transformers import T5Tokenizer

    pieces = [f"\u2581{word}" for word in WORDS] + [",", "\u2581"]
    vocab = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -10.0), *((piece, -2.0) for piece in pieces)]
    return T5Tokenizer(vocab=vocab, extra_ids=0)


def clip_encoder(kind: Any, tokenizer: Any, width: int = 32) -> Any:
    from transformers import CLIPTextConfig

    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=64,
        projection_dim=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return kind(config).eval()


def t5_encoder(tokenizer: Any, width: int = 64) -> Any:
    from transformers import T5Config, T5EncoderModel

    config = T5Config(
        vocab_size=len(tokenizer), d_model=width, d_kv=16, d_ff=64, num_layers=2, num_heads=2, feed_forward_proj="gelu"
    )
    return T5EncoderModel(config).eval()


def gemma_tokenizer() -> Any:
    """Letters, and the words of the others as merges of them."""
    from transformers import GemmaTokenizer

    space, words = "\u2581", [f"\u2581{word}" for word in WORDS]
    known = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", space, *map(chr, range(33, 127))]
    merges = list(dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word))))
    vocabulary = dict.fromkeys([*known, *(a + b for a, b in merges)])
    return GemmaTokenizer(vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges)


def gemma_encoder(tokenizer: Any, width: int = 32) -> Any:
    from transformers import Gemma2Config, Gemma2Model

    config = Gemma2Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Gemma2Model(config).eval()


#: Marks of a chat, as Qwen's template has them.
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen_tokenizer() -> Any:
    """Bytes, and the words of the others as merges of them; a chat's next speaker is one token, as in the real one."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    words = ["assistant", *(mark + word for word in WORDS for mark in ("\u0120", ""))]
    merges = list(dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word))))
    vocabulary = dict.fromkeys([*sorted(ByteLevel.alphabet()), *(a + b for a, b in merges), "<|endoftext|>"])
    tokenizer = Qwen2Tokenizer(
        vocab={token: i for i, token in enumerate(vocabulary)}, merges=merges, chat_template=CHAT
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return tokenizer


def qwen_encoder(tokenizer: Any, width: int = 32, *, layers: int = 2, speaks: bool = False) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM, Qwen3Model

    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_window_layers=layers,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (Qwen3ForCausalLM if speaks else Qwen3Model)(config).eval()


def vae(channels: int = 4, widths: tuple[int, ...] = (8, 16), **options: Any) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        layers_per_block=1,
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=16,
        **options,
    )


def frames_vae() -> Any:
    """An autoencoder of videos, as Qwen-Image and Krea 2 have it."""
    from diffusers import AutoencoderKLQwenImage

    statistics: Any = {"latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.1, 0.9, 1.3, 0.8]}
    return AutoencoderKLQwenImage(
        base_dim=8, z_dim=4, dim_mult=[1, 2], num_res_blocks=1, temperal_downsample=[False], **statistics
    )


def unet(width: int = 32, **options: Any) -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=width,
        attention_head_dim=2,
        norm_num_groups=8,
        **options,
    )


def scheduler() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler.from_config(NOISE)


def clip_model(folder: Path, width: int = 32) -> None:
    """A CLIPModel with its tokenizer and processor, 16 px; of width 16 it is as wide as its embedding."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    torch.manual_seed(0)
    tokenizer = clip_tokenizer()
    shared = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": 2, "num_hidden_layers": 2}
    shared["projection_dim"] = 16
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    text = {**shared, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    CLIPModel(
        CLIPConfig(text_config=text, vision_config={**shared, "image_size": 16, "patch_size": 4}, projection_dim=16)
    ).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
