"""Every field of the recipe does something: changed alone, it changes what a tiny run leaves behind."""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from ml.contract.applies import failing, rules, value_in
from ml.contract.encoder_config import SIZES
from ml.contract.experiment import ExperimentConfig, merge
from ml.contract.pair_file import PairFileLayout
from ml.run import run
from tests.ml.recipes import public_weights

#: field: (what it needs to count, its other value)
ELECTRA = {"encoder": {"model_type": "electra"}}
NGRAM = {"pretrain": {"masking": "ngram"}}
MINED = {"masking": "whole_word", "word_min_count": 2, "word_min_pmi": 0.0, "word_min_entropy": 0.0}
CLOSE = {"augment": {"closure_positives": True, "closure_negatives": True, "keep_class_ratio": False}}
PLATEAU = {"lr_scheduler_type": "reduce_lr_on_plateau"}
FIELDS: dict[str, tuple[dict[str, Any], Any]] = {
    "data.split_by": ({}, "row"),
    "data.valid_fraction": ({}, 0.4),
    "pretrain.precision": ({"pretrain": {"precision": "float32"}}, "bfloat16"),
    "finetune.precision": ({"finetune": {"precision": "float32"}}, "bfloat16"),
    "finetune.scoring_precision": ({}, "bfloat16"),
    "data.folds": ({}, 3),
    "data.full_data": ({"finetune": {"max_steps": 3}}, True),
    "data.split_seed": ({}, 1),
    "data.max_length": ({}, 10),
    "tokens.unit": ({"tokens": {"min_count": 1}}, "characters"),
    "tokens.min_count": ({}, 30),
    "tokens.max_vocab_size": ({"many": True, "tokens": {"min_count": 1}}, 100),
    "tokens.lowercase": ({"text": True}, False),
    "tokens.distinct_unknowns": ({"tokens": {"min_count": 4}}, 2),
    "augment.swap": ({}, "random"),
    "augment.closure_positives": ({}, True),
    "augment.closure_negatives": ({"augment": {"closure_positives": True, "keep_class_ratio": False}}, True),
    "augment.max_per_component": (CLOSE, 1),
    "augment.keep_class_ratio": (CLOSE, True),
    "augment.augment_before_split": ({"augment": {"swap": "copies"}, "data": {"split_by": "row"}}, True),
    "encoder.model_type": ({}, "nezha"),
    "encoder.size": ({"encoder": SIZES["tiny"]._asdict()}, "mini"),
    "encoder.num_hidden_layers": ({}, 2),
    "encoder.hidden_size": ({}, 48),
    "encoder.num_attention_heads": ({}, 4),
    "encoder.intermediate_size": ({}, 48),
    "encoder.embedding_size": (ELECTRA, 24),
    "encoder.hidden_dropout_prob": ({}, 0.3),
    "encoder.weights": ({"text": True}, "PUBLIC"),
    "encoder.embeddings": ({"encoder": {"weights": "PUBLIC"}, "text": True}, "frequency"),
    **{
        f"{phase}.{name}": (context, value)
        for phase in ("pretrain", "finetune")
        for name, context, value in (
            ("num_train_epochs", {}, 2.0),
            ("max_steps", {}, 2),
            ("max_minutes", {phase: {"num_train_epochs": 100}}, 0.0001),
            ("batch_size", {}, 5),
            ("learning_rate", {}, 1e-2),
            ("lr_scheduler_type", {}, "cosine"),
            ("warmup_ratio", {}, 0.6),
            ("plateau_factor", {phase: {**PLATEAU, "num_train_epochs": 6, "learning_rate": 0.3}}, 0.1),
            ("plateau_patience", {phase: {**PLATEAU, "num_train_epochs": 6, "learning_rate": 0.3}}, 5),
            ("weight_decay", {}, 0.9),
            ("max_grad_norm", {}, 0.01),
            ("layer_decay", {}, 0.5),
            ("lookahead_steps", {}, 2),
            ("lookahead_alpha", {phase: {"lookahead_steps": 2}}, 0.9),
            ("adversarial", {}, "fgm"),
            ("adversarial_epsilon", {phase: {"adversarial": "fgm"}}, 0.1),
            ("adversarial_steps", {phase: {"adversarial": "pgd"}}, 1),
            ("adversarial_step_size", {phase: {"adversarial": "pgd"}}, 0.1),
        )
    },
    "pretrain.examples": ({}, "both"),
    "pretrain.swap": ({}, True),
    "pretrain.positives_only": ({}, True),
    "pretrain.augmented": (CLOSE, True),
    "pretrain.unlabelled": ({}, True),
    "pretrain.test_texts": ({}, True),
    "pretrain.masking": ({}, "ngram"),
    "pretrain.mlm_probability": ({}, 0.4),
    "pretrain.mask_token_share": ({}, 0.3),
    "pretrain.random_token_share": ({}, 0.0),
    "pretrain.dynamic": ({"pretrain": {"num_train_epochs": 2}}, False),
    "pretrain.ngram_probabilities": (NGRAM, (0.0, 0.5, 0.5)),
    "pretrain.ngram_divisor": (NGRAM, 0),
    "pretrain.gap_after_span": ({"pretrain": {"mlm_probability": 0.4}}, True),
    "pretrain.words": ({"pretrain": MINED, "text": True}, "mined"),
    "pretrain.word_min_count": ({"pretrain": MINED}, 50),
    "pretrain.word_min_pmi": ({"pretrain": MINED}, 9.0),
    "pretrain.word_min_entropy": ({"pretrain": MINED}, 9.0),
    "pretrain.word_max_length": ({"pretrain": MINED}, 2),
    "pretrain.sentence_order": ({"encoder": {"model_type": "albert"}}, False),
    "pretrain.generator_fraction": (ELECTRA, 0.5),
    "pretrain.rtd_weight": (ELECTRA, 1.0),
    "finetune.head": ({}, "mean"),
    "finetune.classifier_dropout": ({}, 0.5),
    "finetune.multi_sample_dropout": ({}, 4),
    "finetune.class_weight": ({}, "train_prior"),
    "finetune.positive_weight": ({"finetune": {"class_weight": "explicit"}}, 1.3),
    "finetune.test_prior": ({"finetune": {"class_weight": "test_prior"}}, 0.7),
    "finetune.label_smoothing_factor": ({}, 0.2),
    "finetune.r_drop_alpha": ({}, 4.0),
    "finetune.mlm_weight": ({}, 1.0),
    "finetune.soft_labels_from": ({"teacher": True}, 7),
    "finetune.soft_label_weight": ({"teacher": True, "finetune": {"soft_labels_from": 7}}, 0.9),
    "finetune.evaluations_per_epoch": ({}, 2),
    "finetune.early_stopping_patience": ({"finetune": {"num_train_epochs": 20}}, 1),
    "finetune.averaging": ({}, "ema"),
    "finetune.ema_decay": ({"finetune": {"averaging": "ema"}}, 0.5),
    "finetune.swa_start": ({"finetune": {"averaging": "swa"}}, 0.9),
    "finetune.averaging_checkpoints": (
        {"finetune": {"averaging": "last_weights", "evaluations_per_epoch": 4, "num_train_epochs": 2}},
        1,
    ),
    "finetune.swap_at_test": ({}, True),
    "seed": ({}, 3),
}
#: what these do is counted in runs, not in weights: see test_members and test_blend
COUNTED = {"data.repeats", "fusion.members", "fusion.method", "fusion.bags", "version"}
#: changes who does it and, but for dropout, not what comes out: test_parallel
SHARED = {"pretrain.num_processes", "finetune.num_processes"}
TINY = {
    "data": {"max_length": 16, "valid_fraction": 0.3},
    "encoder": {
        "num_hidden_layers": 1,
        "hidden_size": 32,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "embedding_size": 16,
    },
    "pretrain": {"num_train_epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "warmup_ratio": 0.0},
    "finetune": {"num_train_epochs": 1, "batch_size": 16, "learning_rate": 3e-3, "warmup_ratio": 0.0},
}


def names_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Every dotted field."""
    found = set()
    for name, info in model.model_fields.items():
        options = getattr(info.annotation, "__args__", (info.annotation,))
        below = [item for item in options if isinstance(item, type) and issubclass(item, BaseModel)]
        found |= names_of(below[0], f"{name}.") if below else {prefix + name}
    return found


def test_no_field_is_forgotten() -> None:
    assert set(FIELDS) | COUNTED | SHARED == names_of(ExperimentConfig)


def rows_of(*, text: bool, many: bool) -> list[tuple[str, str, int]]:
    """Pairs that share sentences, with words that come again; ids, or Chinese with some Latin in two cases."""
    random = np.random.default_rng(3)
    ids = [str(n) for n in range(1, 160 if many else 14)]
    units = list("的一是我不在人有了这他们中国") if text else ids
    joined = "" if text else " "
    words = [joined.join(random.choice(units, 2)) for _ in range(5)]
    sentences = []
    for _ in range(80):
        parts = [
            str(random.choice(words)) if random.random() < 0.5 and not many else str(random.choice(units))
            for _ in range(4)
        ]
        sentences.append(joined.join(parts) + ("OPPO" if text and random.random() < 0.3 else ""))
    if text:
        sentences = [s.replace("OPPO", "oppo") if n % 2 else s for n, s in enumerate(sentences)]
    rows = []
    for number in range(100):
        one, other = random.permutation(4)[:2].tolist()
        alike = number % 3 > 0  # positives inside a group of four, negatives between two groups: ten components
        group = number % 20
        a, b = sentences[4 * group + one], sentences[4 * (group if alike else group ^ 1) + other]
        rows.append((a, b, int(alike)))
    return rows


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """JSON of changes -> a digest of all that a pretrain and a finetune leave behind. Asked twice, run once."""
    folder = tmp_path_factory.mktemp("outcomes")
    weights = public_weights(folder / "weights", "的一是我不在人有了这他们中国")
    number = iter(range(10**6))

    def put(place: Path, role: str, name: str, content: bytes, **more: Any) -> dict[str, Any]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
        size = len(content)
        plain = {"role": role, "path": name, "name": Path(name).name, "size": size, **more}
        return {**plain, "sha256": hashlib.sha256(content).hexdigest()}

    @cache
    def of(asked: str) -> str:
        changes = json.loads(asked.replace("PUBLIC", str(weights)))
        rows = rows_of(text=changes.pop("text", False), many=changes.pop("many", False))
        teacher = changes.pop("teacher", False)
        base = merge(ExperimentConfig().model_dump(mode="json"), TINY)
        config = ExperimentConfig.model_validate(merge(base, changes))
        place = folder / str(next(number))
        place.mkdir()
        tables = {"train": rows, "test": [r[:2] for r in rows[:9]], "unlabelled": [r[:2] for r in rows[5:25]]}
        inputs = []
        for role, table in tables.items():
            content = "".join("\t".join(map(str, row)) + "\n" for row in table).encode()
            layout = PairFileLayout(columns=len(table[0]), label_column=2 if role == "train" else None).model_dump()
            inputs.append(put(place, role, f"{role}.tsv", content, layout=layout, rows=len(table)))
        job = {"run_id": 1, "attempt": 1, "config": config.model_dump(mode="json"), "device": "cpu", "threads": 1}
        told: list[Any] = []
        if config.pretrain:
            (place / "pretrain.json").write_text(json.dumps({**job, "kind": "pretrain", "inputs": inputs}))
            run(place / "pretrain.json", place / "p", told.append)
            for path in sorted((place / "p").iterdir()):
                inputs.append(put(place, "pretrained", f"p/{path.name}", path.read_bytes()))
        if teacher:
            lines = "".join(f"{n}\t{row[2]}\t{0.1 + 0.01 * n}\n" for n, row in enumerate(rows))
            inputs.append(put(place, "teacher", "teacher/valid_predictions.tsv", lines.encode()))
        job["fold"] = 0 if config.data.folds else None
        (place / "finetune.json").write_text(json.dumps({**job, "kind": "finetune", "inputs": inputs}))
        run(place / "finetune.json", place / "f", told.append)
        digest = hashlib.sha256()
        for path in sorted([*place.glob("p/model*"), *place.glob("f/model*"), *place.glob("f/*predictions.tsv")]):
            digest.update(path.read_bytes())
        digest.update(str([event.epoch for event in told if event.type == "evaluated"]).encode())
        return digest.hexdigest()

    return of


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("field", list(FIELDS))
def test_it_changes_what_comes_out(field: str, outcome: Callable[[str], str]) -> None:
    context, value = FIELDS[field]
    group, _, name = field.rpartition(".")
    change: dict[str, Any] = {group: {name: value}} if group else {name: value}
    assert outcome(json.dumps(context)) != outcome(json.dumps(merge(context, change)))


#: field: values of others with which it does not apply; those that are missing do not apply by themselves
WEIGHTS = {"encoder": {"weights": "PUBLIC"}, "text": True}
OWN = {"encoder": {**SIZES["tiny"]._asdict(), "weights": "PUBLIC"}, "text": True}
IDLE: dict[str, dict[str, Any]] = {
    "data.valid_fraction": {"data": {"folds": 3}},
    "tokens.min_count": WEIGHTS,
    "tokens.max_vocab_size": WEIGHTS,
    "tokens.lowercase": {"tokens": {"unit": "ids"}},
    "encoder.size": OWN,
    "encoder.num_hidden_layers": WEIGHTS,
    "encoder.hidden_size": WEIGHTS,
    "encoder.num_attention_heads": WEIGHTS,
    "encoder.intermediate_size": WEIGHTS,
    "pretrain.num_train_epochs": {"pretrain": {"max_steps": 3}},
    "finetune.num_train_epochs": {"finetune": {"max_steps": 3}},
    "pretrain.swap": {"encoder": {"model_type": "albert"}},
    "pretrain.word_min_pmi": {"pretrain": {"masking": "whole_word", "words": "jieba"}, "text": True},
}


@pytest.mark.usefixtures("unverified")
@pytest.mark.parametrize("field", [name for name, rule in rules().items() if "." in name and rule.applies])
def test_what_does_not_apply_changes_nothing(field: str, outcome: Callable[[str], str]) -> None:
    """The form disables it and the fingerprint leaves it out, so nothing may read it; where it counts, above, it
    applies."""
    if field in COUNTED | SHARED:
        pytest.skip("not told by weights")
    group, _, name = field.rpartition(".")
    context, value = IDLE.get(field, {}), FIELDS[field][1]
    changed = merge(context, {group: {name: value}})
    for given, applies in ((changed, False), (merge(FIELDS[field][0], {group: {name: value}}), True)):
        plain = merge(merge(ExperimentConfig().model_dump(), TINY), given)
        assert (failing(rules()[field].applies, lambda other, of=plain: value_in(of, other)) is None) is applies
    assert outcome(json.dumps(context)) == outcome(json.dumps(changed))


@pytest.mark.usefixtures("unverified")
def test_nothing_changed_changes_nothing(outcome: Callable[[str], str]) -> None:
    """The digest is of what the config decides and of nothing else, or the tests above would prove nothing."""
    assert outcome("{}") == outcome("{} ") == outcome('{"finetune": {"adversarial_epsilon": 9.0}}')


def test_members() -> None:
    data = {"folds": 2, "repeats": 3}
    config = ExperimentConfig.model_validate({"data": data})
    assert config.members == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    assert ExperimentConfig().members == [(None, 0)]


def test_repeats_and_folds_have_seeds_of_their_own() -> None:
    from ml.seeds import member_seed

    seeds = {member_seed(42, fold, repeat) for fold in range(5) for repeat in range(4)}
    assert len(seeds) == 20
    assert member_seed(42, None, 0) == member_seed(42, 0, 0) == 42
