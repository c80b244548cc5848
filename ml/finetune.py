"""The objective of finetuning: is the label 1? Called by run."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import BertForSequenceClassification

from ml.batches import make_batch, training_plan
from ml.contract.events import Evaluated
from ml.contract.experiment import FinetuneConfig
from ml.encoder import inputs
from ml.loop import Course, Objective, train
from ml.machine import Machine
from ml.metrics import Labels, scores
from ml.pairs import Rows
from ml.predict import predict
from ml.teller import Tell
from ml.tokens import EncodedPairs


def finetune(
    model: BertForSequenceClassification,
    encoded: EncodedPairs,
    labels_N: Labels,
    valid: tuple[EncodedPairs, Labels],
    phase: FinetuneConfig,
    seed: int,
    machine: Machine,
    tell: Tell,
) -> None:
    """Train `model` in place on the training part; tell the scores of `valid` after each pass."""

    def evaluate(epoch: float) -> None:
        tell(Evaluated(epoch=epoch, scores=scores(valid[1], predict(model, valid[0], machine.device))))

    course = Course("finetune", len(encoded), training_plan(encoded.lengths_N, phase.batch_size, seed), phase)
    train(model, label_objective(model, encoded, labels_N, machine.device), course, machine, tell, evaluate)


def label_objective(
    model: BertForSequenceClassification, encoded: EncodedPairs, labels_N: Labels, device: torch.device
) -> Objective:
    """Mean cross-entropy of the labels of a batch."""
    all_labels_N = torch.from_numpy(labels_N.astype("int64")).to(device)

    def objective(rows: Rows) -> Tensor:
        batch = make_batch(encoded, rows, model.config.pad_token_id).to(device)
        logits_BC = model(**inputs(batch)).logits
        return cross_entropy(logits_BC.float(), all_labels_N[torch.from_numpy(rows).to(device)])

    return objective
