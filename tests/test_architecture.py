"""Holds the rules of who may import whom, and that app and worker never load torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STDLIB = sys.stdlib_module_names
FEATURES = (
    *("accounts", "contests", "webhooks", "experiments", "runs", "submissions", "sealed"),
    *("significance", "leaderboard", "search"),
)
TOP_LEVEL = {
    *("pyproject.toml", "app", "worker", "ml", "templates", "migrations", "tests", "docker-compose.yml"),
    *(".env.example", ".dockerignore"),
    *("README.md", "SECURITY.md", "Makefile", "Dockerfile", "benchmarks", ".ci", "LICENSE", ".gitignore"),
    "constraints.txt",
}
#: what each part may import beside the standard library and itself
ALLOWED = {
    "ml/contract": {"pydantic", "ml.contract"},
    "ml": {
        "ml",
        "pydantic",
        "torch",
        "transformers",
        "tokenizers",
        "safetensors",
        "jieba",
        "numpy",
        "scipy",
        "sklearn",
        "onnxruntime",
    },
    "worker": {
        "worker",
        "ml.contract",
        "pydantic",
        "pydantic_settings",
        "celery",
        "kombu",
        "httpx2",
        "psutil",
        "pythonjsonlogger",
    },
    "app": {
        *(
            "app",
            "ml.contract",
            "pydantic",
            "pydantic_settings",
            "fastapi",
            "starlette",
            "uvicorn",
            "sqlalchemy",
            "alembic",
        ),
        *(
            "jinja2",
            "babel",
            "markdown_it",
            "nh3",
            "h11",
            "markupsafe",
            "tabulate",
            "argon2",
            "authlib",
            "cryptography",
            "numpy",
            "scipy",
            "sklearn",
            "typer",
            "rich",
            "httpx2",
            "fastapi_offline",
        ),
        *("prometheus_client", "pythonjsonlogger", "pydantic_core"),
    },
}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def sources(part: str) -> list[Path]:
    files = sorted((ROOT / part).rglob("*.py"))
    return [path for path in files if not (part == "ml" and "contract" in path.parts)]


@pytest.mark.parametrize("part", ALLOWED)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    wrong = []
    assert sources(part)
    for path in sources(part):
        allowed = ALLOWED[part] | ({"celery", "kombu"} if path == ROOT / "app" / "queue.py" else set())
        for name in imports(path):
            if name.split(".")[0] in STDLIB:
                continue
            if not any(name == item or name.startswith(f"{item}.") for item in allowed):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_features_import_only_those_to_their_left() -> None:
    wrong = []
    for position, feature in enumerate(FEATURES):
        for path in sources(f"app/{feature}"):
            if path.name.endswith(("pages.py", "api.py")):
                continue
            for name in imports(path):
                parts = name.split(".")
                if parts[0] in {"fastapi", "starlette", "jinja2"}:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}: only pages and api may")
                if parts[0] != "app" or len(parts) < 2:
                    continue
                if parts[1] in FEATURES[position + 1 :]:
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}, which is to its right")
                if len(parts) > 2 and parts[2].endswith(("pages", "api")):
                    wrong.append(f"{path.relative_to(ROOT)} imports {name}, a page or api")
    assert not wrong


def test_only_queries_select() -> None:
    wrong = []
    for path in sources("app"):
        if path.name.endswith("queries.py") or path == ROOT / "app" / "db.py":
            continue
        wrong += [f"{path.relative_to(ROOT)}: {name}" for name in imports(path) if name.endswith("sqlalchemy.select")]
    assert not wrong


def test_status_moves_only_in_lifecycle() -> None:
    """No assignment to run.status, and no update() of runs, anywhere else."""
    wrong = []
    for path in sources("app"):
        if path.name == "lifecycle.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            targets = node.targets if isinstance(node, ast.Assign) else []
            wrong += [
                f"{path}:{node.lineno}"
                for target in targets
                if isinstance(target, ast.Attribute) and target.attr == "status"
            ]
        wrong += [f"{path}: {name}" for name in imports(path) if name.endswith("sqlalchemy.update")]
    assert not wrong


def test_ml_reads_no_environment() -> None:
    for path in sources("ml"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not names & {"environ", "getenv", "putenv"}, path


@pytest.mark.parametrize("module", ["app.main", "app.cli", "worker.main"])
def test_web_and_worker_load_no_torch(module: str) -> None:
    code = f"import sys, {module}; print([m for m in ('torch', 'transformers', 'jieba') if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "[]"


def test_worker_knows_no_database() -> None:
    code = "import sys, worker.main; print('sqlalchemy' in sys.modules or 'app' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert answer.stdout.strip() == "False"


def test_top_level() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True, cwd=ROOT).stdout.split(
        "\n"
    )
    found = {line.split("/")[0] for line in listed if line}
    assert found == TOP_LEVEL
