"""LoRA adapters with random weights, of our own and as diffusers writes them."""

import torch
from safetensors import safe_open
from tiny_wan import answer_wan, make_wan

from realmaster_live.model.lora import attach
from realmaster_live.model.lora_facts import LoraFacts

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]

FACTS = LoraFacts(
    base_model="Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    base_sha256="a" * 64,
    licence="Apache-2.0",
    trigger="überreal street",
    expert="high_noise",
)


@torch.no_grad()
def answer(model: torch.nn.Module) -> torch.Tensor:
    return answer_wan(model)


def attach_trained(model: torch.nn.Module, rank: int = 4, alpha: float = 6.0):
    generator = torch.Generator().manual_seed(3)
    adapter = attach(model, rank=rank, alpha=alpha, generator=generator)
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.copy_(0.1 * torch.randn(low_rank.up.shape, generator=generator))
    return adapter


def metadata_of(path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def written_by_diffusers(folder, config: dict, *, metadata: bool = True):
    """Let peft make an adapter with random weights and diffusers save it; return its answer too."""
    from diffusers import WanPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    model = make_wan()
    model.add_adapter(LoraConfig(**config))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    fields = model.peft_config["default"].to_dict() if metadata else None
    WanPipeline.save_lora_weights(
        folder,
        transformer_lora_layers=get_peft_model_state_dict(model),
        transformer_lora_adapter_metadata=fields,
    )
    return folder / "pytorch_lora_weights.safetensors", answer(model)


CONFIGS = {
    "alpha": dict(r=4, lora_alpha=6, target_modules=TARGETS),
    "few": dict(r=3, lora_alpha=3, target_modules=["attn1.to_q", "ffn.net.2"]),
    "patterns": dict(
        r=4,
        lora_alpha=6,
        target_modules=TARGETS,
        rank_pattern={"attn2.to_k": 2},
        alpha_pattern={"attn2.to_k": 5, "blocks.1.attn1.to_q": 1},
    ),
    "root": dict(r=4, lora_alpha=6, target_modules=TARGETS, use_rslora=True),
}
