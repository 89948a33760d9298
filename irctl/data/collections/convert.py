"""Writing a collection in another layout: a BEIR folder, MS MARCO's tab-separated files, or training pairs.

The folder is written beside its place and renamed, so that it is whole or not there.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from irctl.data.collections.collection import Collection
from irctl.data.collections.to_pairs import PairOptions, write_pairs
from irctl.data.files.lines import COMMENT
from irctl.data.judgements.run_ids import HINT, why_unfit
from irctl.data.texts.store import TextStore
from irctl.errors import ConfigError, DataError
from irctl.files import check_folder, write_error

PAIRS = "pairs"
LAYOUTS = ("beir", "msmarco", PAIRS)
CHUNK = 4096


def convert_collection(
    collection: Collection, out: Path, to: str, pairs: PairOptions = PairOptions()
) -> dict[str, Any]:
    """Write corpus, queries and judgements of every split, or pairs of two of them; returns counts.

    msmarco has one text column: title and text are joined; tabs and line ends inside a text become blanks (counted).
    """
    if to not in LAYOUTS:
        raise ConfigError(f"--to: expected {', '.join(LAYOUTS[:-1])} or {LAYOUTS[-1]}, found {to!r}")
    if pairs.given and to != PAIRS:
        raise ConfigError(f"{pairs.given[0]}: goes with --to {PAIRS}", hint=f"Add --to {PAIRS}, or drop it")
    check_folder(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: already there", hint="Name a folder that is empty or new")
    if not collection.splits():
        raise DataError(f"{collection.name}: no judgements to convert")
    for split in collection.splits():
        if name := next((q for q in collection.qrels(split) if q.startswith(COMMENT)), ""):
            raise DataError(f"{collection.name} {split}: query id {name!r} {why_unfit(name, query=True)}", hint=HINT)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{out.name}.tmp.", dir=out.parent))
        try:
            if to == PAIRS:
                counts = write_pairs(collection, work, pairs)
            else:
                counts = _beir(collection, work) if to == "beir" else _msmarco(collection, work)
            work.chmod(0o755)
            work.replace(out)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as e:
        raise write_error(out, e) from e
    return {"folder": str(out), "layout": to, **counts}


def _rows(store: TextStore) -> Iterator[tuple[str, str, str]]:
    for start in range(0, len(store), CHUNK):
        span = slice(start, start + CHUNK)
        yield from zip(*(store.column(name, span) for name in ("id", "title", "text")), strict=True)


def _beir(collection: Collection, folder: Path) -> dict[str, Any]:
    with (folder / "corpus.jsonl").open("w") as file:
        for name, title, text in _rows(collection.corpus.store):
            file.write(json.dumps({"_id": name, "title": title, "text": text}, ensure_ascii=False) + "\n")
    queries = collection.all_queries()
    with (folder / "queries.jsonl").open("w") as file:
        for name, text in zip(queries.ids, queries.texts, strict=True):
            file.write(json.dumps({"_id": name, "text": text}, ensure_ascii=False) + "\n")
    (folder / "qrels").mkdir()
    for split in collection.splits():
        with (folder / "qrels" / f"{split}.tsv").open("w") as file:
            file.write("query-id\tcorpus-id\tscore\n")
            file.writelines(f"{q}\t{d}\t{g}\n" for q, docs in collection.qrels(split).items() for d, g in docs.items())
    card = collection.card
    own = f"self_match = {json.dumps(card.self_match)}\n" if card.self_match else ""
    if card.top_grades:
        own += f"top_grades = {{ {', '.join(f'{json.dumps(s)} = {g}' for s, g in card.top_grades.items())} }}\n"
    (folder / "card.toml").write_text(
        f"name = {json.dumps(card.name)}\n{own}"
        f"headline = {{ measure = {json.dumps(card.headline_measure)}, split = {json.dumps(card.headline_split)} }}\n"
    )
    return {"passages": len(collection.corpus), "queries": len(queries), "splits": list(collection.splits())}


def _msmarco(collection: Collection, folder: Path) -> dict[str, Any]:
    cleaned = 0

    def line(name: str, text: str) -> str:
        nonlocal cleaned
        flat = " ".join(text.replace("\r", "\n").replace("\n", "\t").split("\t"))
        cleaned += flat != text
        return f"{name}\t{flat}\n"

    corpus = collection.corpus
    with (folder / "collection.tsv").open("w", newline="\n") as file:
        for start in range(0, len(corpus), CHUNK):
            span = slice(start, start + CHUNK)
            file.writelines(map(line, corpus.ids[span], corpus.texts(span)))
    queries = 0
    for split in collection.splits():
        judged = collection.queries(split)
        queries += len(judged)
        with (folder / f"queries.{split}.tsv").open("w", newline="\n") as file:
            file.writelines(map(line, judged.ids, judged.texts))
        with (folder / f"qrels.{split}.tsv").open("w") as file:
            rows = ((q, d, g) for q, docs in collection.qrels(split).items() for d, g in docs.items())
            file.writelines(f"{q}\t0\t{d}\t{g}\n" for q, d, g in rows)
    return {"passages": len(corpus), "queries": queries, "splits": list(collection.splits()), "flattened": cleaned}
