"""A projection head: how it begins, what it says of itself, and that it is part of the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from irctl import config as settings
from irctl.errors import ConfigError
from irctl.models import head_settings, heads
from irctl.models.encoder import TextEncoder, load_encoder
from irctl.models.heads import Sample
from irctl.models.transforms import affine, head_init
from irctl.models.transforms.files import hash_texts
from irctl.origins import SET, Kind, Origin
from irctl.paths import RunPaths
from irctl.training.groups import head_sample
from irctl.training.parallel import gather

WORDS = "wing flow shock wave heat panel flutter jet noise drag lift plate cone body tail gas".split()
PASSAGES = [f"{a} {b} of a {c}" for a in WORDS for b in WORDS[:6] for c in WORDS[3:5]]
QUERIES = [f"what is {a}" for a in WORDS]
SAMPLE = Sample(PASSAGES, QUERIES)


def config(encoder: Path, *sets: str) -> settings.Config:
    return settings.resolve(settings.from_sets([f"model.name={encoder}", *sets]))


def headed(encoder: Path, *sets: str, sample: Sample = SAMPLE) -> TextEncoder:
    """The encoder as a training opens it."""
    asked = config(encoder, *sets)
    return heads.prepare(load_encoder(asked), asked, lambda: sample)


def test_a_head_by_pca_is_the_scaled_projection_of_the_centred_vectors(tiny_encoder: Path) -> None:
    for dim in (32, 20):
        encoder = headed(tiny_encoder, f"model.output_dim={dim}")
        b = load_encoder(config(tiny_encoder)).encode(PASSAGES).astype(np.float64)
        covariance = np.cov(b.T, bias=True)
        vectors = np.linalg.eigh(covariance)[1]
        top = vectors[:, ::-1][:, :dim]
        scale = np.sqrt(dim / np.trace(top.T @ covariance @ top))
        wanted = scale * (b - b.mean(axis=0)) @ top
        found = encoder.encode(PASSAGES)
        signs = np.sign((wanted * found).sum(axis=0))
        assert np.abs(found - wanted * signs).max() < 1e-5 * np.abs(wanted).max()
        assert found.std() == pytest.approx(1, abs=1e-4) and encoder.dim == dim


def test_at_full_width_distances_after_pca_rank_as_the_cosine_before_it() -> None:
    x = np.random.default_rng(0).standard_normal((500, 64)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    weights = head_init.weights_of(head_init.fit_pca(affine.measure([x]), 64), seed=1)
    first, bias, second, last = (torch.from_numpy(w).float() for w in weights)
    z = (torch.nn.functional.gelu(torch.from_numpy(x) @ first.T + bias) @ second.T + last).numpy()
    by_distance = np.argsort(np.linalg.norm(z[:20, None] - z[None, 20:], axis=2), axis=1)[:, :10]
    assert (by_distance == np.argsort(-x[:20] @ x[20:].T, axis=1)[:, :10]).all()


def test_a_saved_head_opens_as_part_of_the_model(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = headed(tiny_encoder, "model.output_dim=20", "model.similarity=euclid", "model.dropout=0.1")
    encoder.save(tmp_path / "model")
    again = load_encoder(config(tmp_path / "model"))
    alone = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    wanted = encoder.encode(PASSAGES)
    assert (again.encode(PASSAGES) == wanted).all()
    np.testing.assert_allclose(alone.encode(PASSAGES), wanted, atol=1e-5)
    assert (again.similarity, alone.similarity_fn_name, again.dim) == ("euclid", "euclidean", 20)
    assert [type(m).__name__ for m in heads.head_modules(again)] == ["Dense", "Dropout", "Dense"]
    assert [type(m).__name__ for m in heads.base_modules(again)] == ["Transformer", "Pooling", "Normalize"]
    assert again.fingerprint() == encoder.fingerprint()


def test_training_a_model_with_a_head_goes_on_with_it(tiny_encoder: Path, tmp_path: Path) -> None:
    headed(tiny_encoder, "model.output_dim=base").save(tmp_path / "model")
    again = headed(tmp_path / "model")
    assert len(heads.head_modules(again)) == 2
    with pytest.raises(ConfigError, match="has a head of 32 dimensions already"):
        headed(tmp_path / "model", "model.output_dim=16")


@pytest.mark.parametrize("similarity", ["", "euclid"])
def test_a_head_after_a_transform_begins_as_its_two_sides(tiny_encoder: Path, tmp_path: Path, similarity: str) -> None:
    sets = ("model.output_dim=20", "model.head_init=transform", f"model.similarity={similarity}")
    encoder = headed(tiny_encoder, *sets)
    base = load_encoder(config(tiny_encoder))
    b, q = base.encode(PASSAGES), base.encode(QUERIES, "query")
    soft = config(tiny_encoder, "transform.name=soft_whiten", "transform.dim=20").transform
    metric = "l2" if similarity else "ip"
    fitted = affine.fit(affine.measure([b]), soft, metric, q.mean(axis=0, dtype=np.float64))
    assert soft.a == 0.25 and soft.query_mean == "own"
    scale = np.sqrt(20 / np.trace(affine.measure([fitted.documents(b)]).covariance_DD))  # variance 1 a dimension
    np.testing.assert_allclose(encoder.encode(PASSAGES), scale * fitted.documents(b), atol=1e-5 * scale)
    np.testing.assert_allclose(encoder.encode(QUERIES, "query"), scale * fitted.queries(q), atol=1e-5 * scale)
    encoder.save(tmp_path / "model")
    alone = SentenceTransformer(str(tmp_path / "model"), device="cpu")
    np.testing.assert_allclose(alone.encode_query(QUERIES), scale * fitted.queries(q), atol=1e-5 * scale)
    np.testing.assert_allclose(alone.encode_document(PASSAGES), scale * fitted.documents(b), atol=1e-5 * scale)


@pytest.mark.slow
def test_a_head_opens_where_irctl_cannot_be_imported(tiny_encoder: Path, tmp_path: Path) -> None:
    encoder = headed(tiny_encoder, "model.output_dim=20", "model.similarity=euclid", "model.dropout=0.1")
    encoder.save(tmp_path / "model")
    code = (
        "import sys; sys.modules['irctl'] = None\n"
        "import numpy as np; from sentence_transformers import SentenceTransformer as S\n"
        "m = S(sys.argv[1], device='cpu'); np.save(sys.argv[2], m.encode(sys.argv[3:])); print(m.similarity_fn_name)"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "model"), str(tmp_path / "out.npy"), *PASSAGES[:9]]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "euclidean"
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), encoder.encode(PASSAGES[:9]), atol=1e-5)


def test_other_processes_begin_with_what_the_first_has_fitted(
    tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, paths = config(tiny_encoder, "model.output_dim=20"), RunPaths(tmp_path)
    first = heads.prepare(load_encoder(asked), asked, lambda: SAMPLE, head_sample.kept_in(paths))
    monkeypatch.setattr(gather, "world", lambda: (1, 2))
    monkeypatch.setattr(gather, "barrier", lambda: None)
    monkeypatch.setattr(heads, "_fit", lambda *_: pytest.fail("fitted again"))
    second = heads.prepare(load_encoder(asked), asked, lambda: SAMPLE, head_sample.kept_in(paths))
    assert first.fingerprint() == second.fingerprint() and (first.fitted_on == second.fitted_on).all()


def test_a_head_is_fitted_again_where_the_texts_are_others(tiny_encoder: Path, tmp_path: Path) -> None:
    """A run that went on over a changed corpus began with the head of the old one, and named its texts."""
    asked, paths = config(tiny_encoder, "model.output_dim=8"), RunPaths(tmp_path)
    other = Sample(PASSAGES[:40], QUERIES)
    made = [
        heads.prepare(load_encoder(asked), asked, lambda s=sample: s, head_sample.kept_in(paths))
        for sample in (SAMPLE, other)
    ]
    assert made[0].fingerprint() != made[1].fingerprint()
    assert set(made[1].fitted_on) == set(hash_texts(PASSAGES[:40]))


def test_widths_and_settings_that_make_no_head_are_refused(tiny_encoder: Path) -> None:
    for sets, said in (
        (["model.output_dim=33"], "begins with at most 32 directions"),
        (["model.output_dim=wide"], "expected a width or base, found 'wide'"),
        (["model.output_dim=8", "encoder.normalize=true"], "vectors of a head are not scaled"),
        (["model.dropout=0.1"], "no head is made"),
        (["model.output_dim=8", "model.head_init=transform", "transform.dim=9"], "transform.dim=9"),
    ):
        with pytest.raises(ConfigError, match=said):
            headed(tiny_encoder, *sets)
    assert headed(tiny_encoder, "model.output_dim=33", "model.head_init=torch").dim == 33
    kept = [type(m).__name__ for m in headed(tiny_encoder, "model.output_dim=8", "model.normalize_base=false").module]
    assert kept == ["Transformer", "Pooling", "Dense", "Dense"]


def test_settings_of_a_head_in_a_file_are_chosen_and_yield_to_a_width_that_was_typed(tiny_encoder: Path) -> None:
    file = Origin(Kind.FILE, "own.toml", line=3)
    for name, value in (("dropout", 0.3), ("head_init", "transform"), ("normalize_base", "false")):
        config = settings.resolve({f"model.{name}": (value, file)})
        with pytest.raises(ConfigError, match=rf"model.{name}={value} \(from own.toml:3\): no head is made"):
            head_settings.check(config, {})
        head_settings.check(settings.resolve({f"model.{name}": (value, Origin(Kind.RECIPE, "own.toml"))}), {})
        head_settings.check(config.replace({"model.output_dim": ""}, SET), {})
