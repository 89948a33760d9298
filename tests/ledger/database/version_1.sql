-- A ledger of version 1, frozen: every later version must open it. Never edit.
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE artifacts (run_id TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('in', 'out')), kind TEXT NOT NULL, path TEXT NOT NULL, size INTEGER, sha256 TEXT, mtime_ns INTEGER, n_rows INTEGER, dim INTEGER, format TEXT);
INSERT INTO "artifacts" VALUES('20260101-120000000-aaaa','out','model','/runs/m',10,'ab12',1,NULL,384,NULL);
INSERT INTO "artifacts" VALUES('20260101-130000000-bbbb','in','model','/runs/m',10,'ab12',1,NULL,384,NULL);
CREATE TABLE env (run_id TEXT PRIMARY KEY, packages_json TEXT, gpus_json TEXT, cpu TEXT, ram_gib REAL, driver TEXT, cuda TEXT, env_json TEXT);
INSERT INTO "env" VALUES('20260101-120000000-aaaa','{"torch": "2.13.0"}','[]','cpu',16.0,NULL,NULL,'{}');
CREATE TABLE events (run_id TEXT NOT NULL, at TEXT, level TEXT, code TEXT, msg TEXT);
INSERT INTO "events" VALUES('20260101-120000000-aaaa','2026-01-01T12:00:00.000Z','info','running','train');
CREATE TABLE links (src_run TEXT NOT NULL, dst_run TEXT NOT NULL, relation TEXT NOT NULL, PRIMARY KEY (src_run, dst_run)) WITHOUT ROWID;
INSERT INTO "links" VALUES('20260101-120000000-aaaa','20260101-130000000-bbbb','train>eval');
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO "meta" VALUES('format','irctl-ledger');
CREATE TABLE metrics (run_id TEXT NOT NULL, dataset TEXT NOT NULL, split TEXT NOT NULL, name TEXT NOT NULL, step INTEGER, epoch REAL, value REAL, at TEXT);
INSERT INTO "metrics" VALUES('20260101-130000000-bbbb','cranfield','test','RR@10',NULL,NULL,0.25,'2026-01-01T13:01:00.000Z');
CREATE TABLE params (run_id TEXT NOT NULL, key TEXT NOT NULL, value_text TEXT, value_num REAL, PRIMARY KEY (run_id, key)) WITHOUT ROWID;
INSERT INTO "params" VALUES('20260101-120000000-aaaa','train.lr','2e-05',2.0e-05);
CREATE TABLE runs (
        id TEXT PRIMARY KEY, name TEXT, command TEXT NOT NULL, method TEXT, argv_json TEXT,
        status TEXT NOT NULL CHECK (status IN
            ('queued', 'running', 'completed', 'failed', 'killed', 'preempted', 'interrupted', 'lost')),
        exit_code INTEGER, signal INTEGER, error_kind TEXT, error_msg TEXT,
        created_at TEXT NOT NULL, started_at TEXT, heartbeat_at TEXT, ended_at TEXT,
        duration_s REAL, cpu_s REAL, gpu_s REAL,
        host TEXT, pid INTEGER, pid_start_ticks INTEGER, boot_id TEXT, user TEXT, cwd TEXT, run_dir TEXT NOT NULL,
        runner TEXT, profile TEXT, world_size INTEGER, nnodes INTEGER,
        global_batch INTEGER, negatives_per_query INTEGER,
        slurm_job_id TEXT, slurm_array_task_id TEXT, slurm_restart_count INTEGER,
        git_commit TEXT, git_branch TEXT, git_dirty INTEGER, git_diff_sha256 TEXT, irctl_version TEXT, python TEXT,
        config_json TEXT, config_sha256 TEXT, dataset TEXT, dataset_fingerprint TEXT,
        model TEXT, model_fingerprint TEXT, seed INTEGER, selected_on_eval INTEGER,
        parent_id TEXT, group_id TEXT, retry_of TEXT, notes TEXT);
INSERT INTO "runs" VALUES('20260101-120000000-aaaa','teacher','train','sycl','["irctl", "train"]','completed',0,NULL,NULL,NULL,'2026-01-01T12:00:00.000Z','2026-01-01T12:00:00.000Z',NULL,'2026-01-01T12:10:00.000Z',600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'/runs/20260101-120000000-aaaa',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'cranfield',NULL,NULL,NULL,42,NULL,NULL,NULL,NULL,'kept');
INSERT INTO "runs" VALUES('20260101-130000000-bbbb',NULL,'eval',NULL,NULL,'lost',NULL,NULL,NULL,NULL,'2026-01-01T13:00:00.000Z',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'/runs/20260101-130000000-bbbb',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'msmarco-streaming',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE tags (run_id TEXT NOT NULL, tag TEXT NOT NULL, PRIMARY KEY (run_id, tag)) WITHOUT ROWID;
INSERT INTO "tags" VALUES('20260101-120000000-aaaa','paper');
CREATE INDEX runs_dataset_status ON runs (dataset, status);
CREATE INDEX runs_created ON runs (created_at);
CREATE INDEX params_key_num ON params (key, value_num);
CREATE INDEX params_key_text ON params (key, value_text);
CREATE INDEX metrics_name_dataset ON metrics (name, dataset);
CREATE INDEX metrics_run ON metrics (run_id);
CREATE VIEW measures AS SELECT run_id, dataset, split, name, step, epoch, value, at, max(rowid) AS row FROM metrics GROUP BY run_id, dataset, split, name;
CREATE INDEX artifacts_sha256 ON artifacts (sha256, role);
CREATE INDEX artifacts_run ON artifacts (run_id);
CREATE INDEX links_dst ON links (dst_run);
CREATE INDEX tags_tag ON tags (tag);
CREATE INDEX events_run ON events (run_id);
COMMIT;
