"""A text encoder of random weights, laid out as in a diffusers pipeline."""

from pathlib import Path

import torch

WIDTH = 16


def save_encoder(folder: Path) -> Path:
    """Write a random UMT5 encoder and a tokenizer of whole words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    words = ["<pad>", "</s>", "<unk>", "rain", "snow", "falls", "on", "the", "road"]
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing("$A </s>", special_tokens=[("</s>", 1)])
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(folder / "tokenizer")
    torch.manual_seed(0)
    config = transformers.UMT5Config(
        vocab_size=9, d_model=WIDTH, d_kv=8, d_ff=32, num_layers=2, num_heads=2
    )
    transformers.UMT5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder
