#!/usr/bin/env python3
"""How fast the registry answers when it is large: 100,000 versions of 2,000 models, and what hashing 4 GB costs.

    python benches/large_registry.py --retune PATH --project DIR [--models 2000] [--versions 50] [--rounds 7] [--gigabytes 4] [--verify]

PATH: retune, built for release. DIR: a project with one registered version, such as `retune pipeline run pipelines/quickstart.yaml` leaves
in `quickstart/`; it is copied, and the copy's registry grows by commits like those that the tool makes: one per run, one per version, one per
promotion, in the order of time, models taking turns, over three years. They are written by `git fast-import` in one pack; every document has its
canonical bytes and its own identity, so that `model verify` (--verify) accepts all of it. What versions have in common is one adapter's bytes.

Then it times whole processes: `model show` by alias and by version, `model list` and `model log` of one model, `run show`, and `model register` (one
version more, its bytes re-read, written and flushed); and `store verify` of a store with one large object beside `sha256sum` and `openssl dgst -sha256`
of the same file. Medians and the slowest of the rounds are printed.
"""
import argparse
import copy
import datetime
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BY = "Ana <ana@example.org>"
YEARS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--retune", type=Path, required=True)
    parser.add_argument("--project", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="where the copy is made and kept; a temporary folder otherwise")
    parser.add_argument("--models", type=int, default=2000)
    parser.add_argument("--versions", type=int, default=50, help="of each model")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--gigabytes", type=float, default=4)
    parser.add_argument("--verify", action="store_true", help="also re-read all of it")
    args = parser.parse_args()
    args.retune = args.retune.resolve()
    os.environ |= {f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in (("NAME", "Ana"), ("EMAIL", "ana@example.org"))}
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        project = work / "project"
        if not project.exists():
            shutil.copytree(args.project, project)
            grow(project, args.models, args.versions)
        if args.verify:
            once(args.retune, project, "model", "verify", "--records-only")
        acts(args, project)
        if args.gigabytes:
            hashing(args, work)


# ---- growing the registry

def canonical(value) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stamp(seconds: int) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)


def rfc(seconds: int) -> str:
    return stamp(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def grow(project: Path, models: int, versions: int) -> None:
    registry = project / ".retune/registry"
    git = lambda *argv: subprocess.run(["git", "-C", registry, *argv], check=True, capture_output=True, text=True).stdout
    paths = git("ls-tree", "-r", "--name-only", "main").split()
    read = lambda *parts: git("show", "main:" + next(path for path in paths if all(part in path for part in parts)))
    manifest, run, event = (json.loads(read(*parts)) for parts in (("/models/", "/versions/"), ("/runs/",), ("/events/",)))
    assert canonical(manifest).decode() == read("/models/", "/versions/"), "this script's canonical form is not the tool's"
    tenant = manifest["tenant"]
    root = f"tenants/{tenant}"
    end = int(time.time()) - 3600
    begin = end - YEARS * 365 * 86400
    total = models * versions
    started = time.time()
    importer = subprocess.Popen(["git", "-C", registry, "fast-import", "--quiet", "--force"], stdin=subprocess.PIPE)
    out = importer.stdin
    tip = git("rev-parse", "main").strip()

    def commit(at: int, message: str, files: dict) -> None:
        nonlocal tip
        text = message.encode()
        out.write(b"commit refs/heads/main\ncommitter %s %d +0000\ndata %d\n%s\n" % (BY.encode(), at, len(text), text))
        if tip:
            out.write(b"from %s\n" % tip.encode())
            tip = None
        for path, data in files.items():
            out.write(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(data), data))

    chains = {}
    for number in range(total):
        model = f"m{number % models:04}"
        at = begin + (end - begin) * number // total
        run_id = sha(b"run %d" % number)
        record = copy.copy(run)
        record |= {"run": f"sha256:{run_id}", "finished_at": rfc(at)}
        month = stamp(at).strftime("%Y/%m")
        commit(at, f"record run {run_id[:12]} ({tenant})\n\nRetune-Id: sha256:{run_id}\n", {f"{root}/runs/{month}/{run_id[:12]}.json": canonical(record)})
        version = copy.copy(manifest)
        version |= {"model": model, "created": rfc(at), "run": manifest["run"] | {"id": f"sha256:{run_id}", "seed": number}}
        data = canonical(version)
        identity = sha(b"retune.version/1\n" + data)
        label = f"{stamp(at):%Y%m%d}-{identity[:12]}"
        commit(at, f"register {model}@{label} ({tenant})\n\nRetune-Id: sha256:{identity}\nRetune-Run: sha256:{run_id}\n",
               {f"{root}/models/{model}/versions/{label}.json": data})
        turn = number // models
        if turn % 10 == 9 or turn == versions - 1:
            target = {"manifest": f"sha256:{identity}", "version": label}
            move = {key: event[key] for key in ("actor", "alias", "evidence", "kind", "schema", "tenant")}
            before = chains.get(model)
            move |= {"model": model, "at": rfc(at), "seq": 1, "to": target}
            if before:
                move |= {"seq": before[0] + 1, "prev": f"sha256:{before[1]}", "from": before[2]}
            data = canonical(move)
            name = sha(data)
            pointer = ("# Moved by `retune model promote` and `retune model rollback`; an edit by hand is refused.\n"
                       f"schema: retune.alias/1\nversion: {label}\nmanifest: sha256:{identity}\nseq: {move['seq']}\nevent: sha256:{name}\n").encode()
            commit(at, f"promote {model}@{label} to {move['alias']} ({tenant})\n\nRetune-Event: sha256:{name}\n",
                   {f"{root}/models/{model}/events/{stamp(at):%Y}/{stamp(at):%Y%m%dT%H%M%SZ}-{name[:16]}.json": data,
                    f"{root}/models/{model}/aliases/{move['alias']}.yaml": pointer})
            chains[model] = (move["seq"], name, target)
    out.close()
    assert importer.wait() == 0
    size = sum(file.stat().st_size for file in registry.rglob("*") if file.is_file())
    print(f"{total:,} versions of {models:,} models written in {time.time() - started:.0f} s; the registry has {size / 1e6:.0f} MB", flush=True)


# ---- timing

def once(retune: Path, project: Path, *argv: str) -> float:
    started = time.perf_counter()
    done = subprocess.run([retune, *argv], cwd=project, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"retune {' '.join(argv)} exited with {done.returncode}\n{done.stdout}{done.stderr}")
    if argv[1] == "verify":
        print(f"model verify, {seconds:.0f} s: {done.stdout.strip()}", flush=True)
    return seconds * 1000


def acts(args, project: Path) -> None:
    registry = project / ".retune/registry"
    mid = f"m{args.models // 3:04}"
    path = subprocess.run(["git", "-C", registry, "ls-tree", "--name-only", "main", f"tenants/default/models/{mid}/versions/"],
                          check=True, capture_output=True, text=True).stdout.split()[0]
    oldest = Path(path).stem
    run = subprocess.run(["ls", project / ".retune/runs"], check=True, capture_output=True, text=True).stdout.split()[0]
    fresh = iter(range(args.models // 2, args.models))
    # Models that an earlier use of --work has not had.
    done = int((project / "registered").read_text()) if (project / "registered").exists() else 0
    for _ in range(done):
        next(fresh)
    rows = {
        "model show MODEL:production": lambda: ("model", "show", f"{mid}:production"),
        "model show MODEL@VERSION": lambda: ("model", "show", f"{mid}@{oldest}"),
        "model show MODEL:production --lineage": lambda: ("model", "show", f"{mid}:production", "--lineage"),
        "model list MODEL": lambda: ("model", "list", mid),
        "model log MODEL:production": lambda: ("model", "log", f"{mid}:production"),
        "run show RUN": lambda: ("run", "show", run),
        "model register MODEL": lambda: ("model", "register", f"m{next(fresh):04}", "--run", run),
    }
    for name, argv in rows.items():
        times = [once(args.retune, project, *argv()) for _ in range(args.rounds)]
        print(f"{name:40} median {statistics.median(times):8.1f} ms, slowest {max(times):8.1f} ms", flush=True)
    (project / "registered").write_text(str(done + args.rounds))


def hashing(args, work: Path) -> None:
    project = work / "hashing"
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    subprocess.run([args.retune, "init"], cwd=project, check=True, capture_output=True)
    rows = project / "rows.jsonl"
    size = int(args.gigabytes * 1e9)
    line = b'{"text": "%s"}\n' % (b"how do I change the address of my account " * 24)
    with rows.open("wb") as out:
        for _ in range(size // len(line)):
            out.write(line)
    size = rows.stat().st_size
    stored = project / ".retune/store/objects/sha256"
    digest = subprocess.run(["sha256sum", rows], check=True, capture_output=True, text=True).stdout.split()[0]
    (stored / digest[:2]).mkdir(parents=True, exist_ok=True)
    os.link(rows, stored / digest[:2] / digest[2:])
    os.chmod(rows, 0o444)
    commands = {
        "sha256sum": ["sha256sum", rows],
        "openssl dgst -sha256": ["openssl", "dgst", "-sha256", rows],
        "retune store verify": [args.retune, "store", "verify"],
    }
    for _ in range(2):
        for name, argv in commands.items():
            started = time.perf_counter()
            subprocess.run(argv, cwd=project, check=True, capture_output=True)
            seconds = time.perf_counter() - started
            print(f"{name:40} {size / 1e6 / seconds:8.0f} MB/s ({seconds:.2f} s for {size / 1e9:.1f} GB)", flush=True)
    shutil.rmtree(project)


if __name__ == "__main__":
    main()
