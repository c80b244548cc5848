"""Names that lead elsewhere, and files that are not what they are called."""

import ast
import hashlib
import io
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from app.experiments import weights
from app.settings import Settings
from ml.contract.experiment import ExperimentConfig
from ml.contract.job import JobInput
from tests.factories import TINY
from tests.security.house import House, refused
from tests.security.table import attack
from worker import child

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..\\x",
    "C:\\x",
    "a\0b",
    "",
    "-rf",
    "a" * 101,
    "x\n",
    ".bashrc",
)


class Bomb:
    """What a pickle of it does when it is loaded."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(Path(os.environ["BOMB"]) / "pairboard-was-unpickled"),)


def bomb(folder: Path) -> bytes:
    """A pickle of one that leaves its mark in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOMB", str(folder))
        return pickle.dumps(Bomb())


def everything_in(house: House) -> set[Path]:
    return {path for path in house.folder.rglob("*") if "storage" not in path.parts}


@attack("path: traversal in an artifact's name as it is uploaded")
def artifact_upload(house: House) -> None:
    run, mine = house.claimed(501)
    for name in NAMES:
        told = {"name": name, "sha256": "0" * 64, "size": 1}
        refused(house.stranger.post(f"/api/v1/runs/{run}/uploads", json=told, headers=mine), 422)


@attack("path: traversal in an artifact's name as it is read")
def artifact_read(house: House) -> None:
    for name in ("..%2f..%2f..%2fpairboard.db", "%2fetc%2fpasswd", "..%5c..%5cx", "%2e%2e%2fpairboard.db", "x%00.txt"):
        refused(house.member.get(f"/api/v1/runs/{house.runs[0]}/artifacts/{name}"), 404, 422)


@attack("path: traversal in the hash of an upload")
def upload_hash(house: House) -> None:
    run, mine = house.claimed(502)
    before = everything_in(house)
    for sha256 in ("..%2f..%2fx", "0" * 63 + "/", "A" * 64, "0" * 65):
        address = f"/api/v1/runs/{run}/uploads/{sha256}?offset=0&size=1"
        refused(house.stranger.patch(address, content=b"x", headers=mine), 307, 404, 422)
    assert everything_in(house) == before


@attack("path: traversal in the name of an uploaded data file")
def data_file(house: House) -> None:
    before = everything_in(house)
    rows = b"1 2\t1 3\t1\n4 5\t6 7\t0\n"
    for number, name in enumerate(
        ("../../../etc/cron.d/x", "/etc/passwd", "..\\..\\x.tsv", "C:\\Windows\\x.tsv", "..")
    ):
        content = rows + b"%d\t9\t1\n" % number
        files = {"file": (name, content)}
        made = house.member.post("/api/v1/contests/other/files", files=files, data={"kind": "train"})
        assert made.status_code == 201, made.text
        assert not set("/\\") & set(made.json()["name"])
        stored = house.app.state.storage.path(hashlib.sha256(content).hexdigest())
        assert stored.read_bytes() == content
    assert everything_in(house) == before


@attack("path: out of the folder of static files")
def static(house: House) -> None:
    for place in ("/static", "/bokeh", "/swagger"):
        for way in ("/../settings.py", "/..%2fsettings.py", "/%2e%2e/settings.py", "/..%5csettings.py", "//etc/passwd"):
            answer = house.stranger.get(f"{place}{way}")
            refused(answer, 303, 307, 404)
            assert "SecretStr" not in answer.text
            assert "root:" not in answer.text


@attack("path: a job that has a worker write outside of its folder")
def job_paths(house: House) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x"):
        with pytest.raises(ValueError, match="leaves the job's folder"):
            JobInput.model_validate(
                {"role": "train", "name": name, "path": name, "sha256": "0" * 64, "size": 1, "rows": 1}
            )


@attack("file: a zip, a gzip and UTF-16 named .tsv")
def disguised(house: House) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil.tsv", b"0" * 10_000_000)
    for content in (
        packed.getvalue(),
        b"\x1f\x8b" + b"0" * 100,
        "a\tb\t1\n".encode("utf-16"),
        b"\0" * 100,
        b"\xff" * 99,
    ):
        files = {"file": ("train.tsv", content)}
        refused(house.member.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"}), 422)


@attack("file: one line without an end")
def endless_line(house: House) -> None:
    files = {"file": ("train.tsv", b"a\tb\t1\nc\td\t0\n" + b"x" * 3_000_000)}
    answer = house.member.post("/api/v1/contests/oppo/files", files=files, data={"kind": "train"})
    assert "longer than" in refused(answer, 422)
    assert len(answer.content) < 100_000


@attack("file: weights that are a device, a pipe or a link to a secret")
def devices(house: House) -> None:
    settings = Settings(data_dir=house.folder / "local")
    fifo = house.folder / "fifo"
    os.mkfifo(fifo)
    for place in ("/dev/zero", "/dev/random", "/proc/self/environ", "/etc/passwd", str(fifo), "\0", "/" * 400):
        config = ExperimentConfig.model_validate(
            {**TINY, "encoder": {**TINY["encoder"], "weights": place}} if "\0" not in place else TINY
        )
        if config.encoder.weights:
            with pytest.raises(Exception, match="weights"):
                weights.require(config, settings)


@attack("pickle: pytorch_model.bin in a folder of weights")
def pickled_weights(house: House) -> None:
    folder = house.folder / "pickled"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "bert", "auto_map": {"AutoModel": "evil.Model"}}')
    (folder / "pytorch_model.bin").write_bytes(bomb(folder))
    config = {**TINY, "encoder": {**TINY["encoder"], "weights": str(folder)}}
    answer = house.local.post("/api/v1/contests/oppo/experiments", json={"name": "x", "config": config})
    assert "never opened" in refused(answer, 422)


@attack("pickle: named model.safetensors")
def disguised_pickle(house: House) -> None:
    folder = house.folder / "disguised"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bomb(folder))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    code = (
        "import sys; from pathlib import Path; from safetensors.torch import load_file\n"
        "from safetensors import SafetensorError\n"
        "try: load_file(Path(sys.argv[1]) / 'model.safetensors')\n"
        "except SafetensorError as error: print('refused', error)\n"
    )
    env = {**os.environ, "BOMB": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=env, check=False
    )
    assert done.stdout.startswith("refused"), done.stderr
    assert not (folder / "pairboard-was-unpickled").exists()


@attack("pickle: anywhere in the code, or code that comes with a model")
def no_pickle(house: House) -> None:
    """Nothing reads a pickle, evaluates a text or starts a shell, and what could is told not to."""
    wrong = []
    for part in ("app", "worker", "ml"):
        for path in sorted((ROOT / part).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                wrong += [f"{path}:{node.lineno} {problem}" for problem in _dangerous(node)]
    assert wrong == []


def _dangerous(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] + ([node.module or ""] if isinstance(node, ast.ImportFrom) else [])
        return [
            name
            for name in names
            if name.split(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
        ]
    if not isinstance(node, ast.Call):
        return []
    given = {item.arg: item.value for item in node.keywords if item.arg}
    said = {name: value.value for name, value in given.items() if isinstance(value, ast.Constant)}
    called = ast.unparse(node.func)
    found = [
        name for name in ("trust_remote_code", "allow_pickle", "shell") if name in given and said.get(name) is not False
    ]
    if called in {"eval", "exec", "os.system", "os.popen", "torch.load", "yaml.load"}:
        found.append(called)
    if called == "np.load" and said.get("allow_pickle") is not False:
        found.append("np.load")
    return found


@attack("child: reads the secrets of the server from its environment")
def childs_environment(house: House) -> None:
    folder = house.folder / "attempt"
    folder.mkdir()
    ours = ("PAIRBOARD_SECRET", "PAIRBOARD_DATABASE_URL", "PAIRBOARD_WORKER_TOKEN", "AWS_SECRET_ACCESS_KEY")
    with pytest.MonkeyPatch.context() as patch:
        for name in ours:
            patch.setenv(name, "secret-of-ours")
        started = child.Child(folder)
        try:
            place = Path(f"/proc/{started._process.pid}")
            environment = place.joinpath("environ").read_bytes()
            assert b"secret-of-ours" not in environment
            assert b"PAIRBOARD" not in environment
            assert place.joinpath("cwd").resolve() == folder.resolve()
        finally:
            started.stop(at_once=True)
            list(started.events())
            started.close()
