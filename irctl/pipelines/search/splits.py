"""A search of several splits: one run file each, with what it was made with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from irctl import stopping
from irctl.data.collections.split_names import ALL, POOL
from irctl.errors import ConfigError
from irctl.index.shards import write_json

if TYPE_CHECKING:
    from irctl.config import Config
    from irctl.ledger.recording import RunHandle


STABLE = tuple(
    "dataset split method model model_fingerprint vectors k similarity rerank bytes_per_vector code_size dim "
    "boundary_ties run compression rows truth name run_sha256 transform gave_mean isotropy part is_own reading".split()
)

SEARCH = "search.json"
"""What `irctl search` says of the rankings it wrote."""


def search_splits(
    config: Config,
    run: RunHandle,
    search: Callable[[Config, str | None], dict[str, Any]],
    out: str | None,
    name_split: Callable[[str], str],
) -> dict[str, Any]:
    """What `search(config, out)` makes for each split, a run file each; also what an evaluation asks of it later.

    out: the run file; of several splits a pattern with {split}. name_split: the one name of a pool such as test+dev.
    Raises ConfigError.
    """
    splits = [s.strip() for s in config.data.split.split(",") if s.strip()] or [""]
    if len(splits) > 1 and out and "{split}" not in out:
        raise ConfigError(f"--out {out}: one file for {len(splits)} splits", hint="Name it as 'out/{split}.trec'")
    splits = [name_split(s) if POOL in s or s == ALL else s for s in splits]
    payloads = []
    for split in splits:
        stopping.check("the splits that are done are kept")
        file = str(run.out / f"run.{split}.trec.gz") if len(splits) > 1 and not out else out
        of_split = config.replace({"data.split": split}, config.origins["data.split"]) if len(splits) > 1 else config
        payloads.append(search(of_split, file.replace("{split}", split) if file else None))
    stable = [{k: v for k, v in p.items() if k in (*STABLE, "run_file") and v is not None} for p in payloads]
    write_json(run.out / SEARCH, run.scrub_value({"schema": "irctl/search-file/1", "searches": stable}))
    if len(payloads) == 1:
        return payloads[0]
    files = [str(p["run_file"]) for p in payloads]
    table = [{k: p[k] for k in ("dataset", "split", "queries", "k", "run_file")} for p in payloads]
    of_one = ("table", "lines", "ids")
    searches = [{k: v for k, v in p.items() if k not in of_one} for p in payloads]
    return {"schema": "irctl/searches/1", "searches": searches, "run_files": files, "ids": files, "table": table}
