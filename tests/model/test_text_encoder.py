import numpy as np
import pytest
from installed import needs
from tiny_umt5 import save_encoder

from realmaster_live.model.text_encoder import embed_prompts, embed_text

pytestmark = needs("transformers")

TEXTS = ["rain falls", "snow falls on the road"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_embeddings_are_zero_behind_the_text(encoder):
    embedded = embed_text(TEXTS, encoder=encoder, tokens=12)
    assert embedded.shape == (2, 12, 16)
    assert embedded.dtype == np.float32
    lengths = [len(text.split()) + 1 for text in TEXTS]
    for embedding, length in zip(embedded, lengths, strict=True):
        assert np.abs(embedding[:length]).min(1).max() > 0
        assert not embedding[length:].any()


def test_a_text_alone_and_in_a_batch_are_embedded_alike(encoder):
    both = embed_text(TEXTS, encoder=encoder, tokens=12)
    alone = embed_text(TEXTS[1:], encoder=encoder, tokens=12)
    np.testing.assert_allclose(both[1:], alone, atol=1e-5)


def test_texts_that_are_embedded_are_not_embedded_again(encoder, tmp_path, monkeypatch):
    first = embed_prompts(tmp_path, encoder=encoder, prompts={"rain": TEXTS[0]}, tokens=12)
    asked = []

    def counted(texts, **options):
        asked.extend(texts)
        return embed_text(texts, **options)

    monkeypatch.setattr("realmaster_live.model.text_encoder.embed_text", counted)
    prompts = {"rain": TEXTS[0], "snow": TEXTS[1]}
    both = embed_prompts(tmp_path, encoder=encoder, prompts=prompts, tokens=12)
    assert asked == [TEXTS[1]]
    assert [*both] == ["rain", "snow"]
    assert np.array_equal(both["rain"], first["rain"])
