"""A tiny FLUX.2: its transformer and autoencoder are klein's, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.checkpoints.parts import WORDS

SIZE = 32
#: Marks of a chat, as Mistral's template has them.
_CHAT = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'system' %}[SYSTEM_PROMPT]{{ message.content[0].text }}[/SYSTEM_PROMPT]"
    "{% else %}[INST]{{ message.content[0].text }}[/INST]{% endif %}{% endfor %}"
)


def build(folder: Path) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2Pipeline

    torch.manual_seed(0)
    tokenizer = _tokenizer()
    Flux2Pipeline(
        transformer=transformer(guidance_embeds=True),
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae(),
        text_encoder=_encoder(tokenizer),
        tokenizer=tokenizer,
    ).save_pretrained(folder)


def transformer(**options: Any) -> Any:
    from diffusers import Flux2Transformer2DModel

    made = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=3 * 8,
        axes_dims_rope=(4, 4, 4, 4),
        **options,
    )
    with torch.no_grad():
        for matrix in (p for p in made.parameters() if p.ndim > 1):
            matrix *= 3  # so that pictures depend on the text
    return made


def vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    blocks: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    made = AutoencoderKLFlux2(
        **blocks, block_out_channels=(8, 16), layers_per_block=1, latent_channels=4, norm_num_groups=4, sample_size=16
    )
    made.bn.running_mean.normal_()
    made.bn.running_var.uniform_(0.5, 2)
    return made


def _tokenizer() -> Any:
    """Bytes, and the words of the others as merges of them; it pads on the left.

    The published checkpoint has a processor around it, which needs torchvision.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [mark + word for word in WORDS for mark in ("\u0120", "")]
    merges = list(dict.fromkeys((word[:i], word[i]) for word in words for i in range(1, len(word))))
    marks = ["<pad>", "<s>", "</s>", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"]
    marks += ["[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"]
    known = dict.fromkeys([*marks, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in merges)])
    own = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(known)}, merges=merges))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=own,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=marks[3:],
        padding_side="left",
        chat_template=_CHAT,
    )


def _encoder(tokenizer: Any) -> Any:
    """Mistral 3, which sees nothing here, with the layers that the pipeline takes."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    text = {
        "model_type": "mistral",
        "vocab_size": len(tokenizer),
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 31,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
    }
    vision = {
        "model_type": "pixtral", "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1,
        "num_attention_heads": 2, "image_size": 16, "patch_size": 4,
    }  # fmt: skip
    return Mistral3ForConditionalGeneration(Mistral3Config(text_config=text, vision_config=vision)).eval()
