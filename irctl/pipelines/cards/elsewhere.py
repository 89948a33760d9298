"""What a model of this machine is called where there is neither its folder nor its ledger."""

from __future__ import annotations

from pathlib import Path

from irctl.ledger import query
from irctl.ledger.files.identity import ID_PATTERN
from irctl.pipelines.cards import page
from irctl.pipelines.lineage.run_settings import short_name

UPLOADED = "uploaded"
"""Code of the event that says where an export went, `OWNER/NAME: ...`."""
EXPORTS = "SELECT run_id FROM artifacts WHERE role = 'in' AND kind = 'model' AND sha256 = ? ORDER BY rowid DESC"


def find_upload(run_id: str) -> str:
    """OWNER/NAME where the model of a run was uploaded last; empty where it was not, or where this is no run."""
    if not ID_PATTERN.fullmatch(run_id):
        return ""
    for run in query.select("id = ?", (run_id,)):
        for export in query.rows(EXPORTS, (run.columns["model_fingerprint"],)):
            for event in query.events(export["run_id"]):
                if event["code"] == UPLOADED:
                    return str(event["msg"]).partition(":")[0]
    return ""


def name_model(model: str, cwd: str) -> str:
    """A model as a reader elsewhere may know it. cwd: where the run worked, in which a relative path is one."""
    if ID_PATTERN.fullmatch(model):
        return find_upload(model) or f"the encoder that run {model} trained"
    is_folder = bool(model) and page.is_here(Path(cwd, model))
    return f"a local folder ({short_name(model)})" if is_folder else page.without_folders(model)
