"""The objective of finetuning: is the label 1? Called by run."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import one_hot
from transformers import PreTrainedModel

from ml import parallel
from ml.averaging import Keeper, Weights
from ml.batches import Batch, make_batch
from ml.contract.events import Evaluated
from ml.contract.experiment import ExperimentConfig, FinetuneConfig, PretrainConfig
from ml.encoded import EncodedPairs
from ml.loop import Course, Training, train
from ml.machine import Machine
from ml.metrics import Labels, scores
from ml.pair_model import PairClassifier
from ml.pairs import Rows
from ml.predict import PairsToScore, predict, scoring_on
from ml.pretrain import Corpus, Drawn, Holed, MaskedLanguage
from ml.resume import Saves
from ml.seeds import torch_stream
from ml.teller import Tell
from ml.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Lessons:
    """Labelled pairs to learn from. `turned`: the same pairs with their sides exchanged, when they are turned at
    random; `soft_N`: an earlier experiment's probability of label 1 (NaN where it has none), or None."""

    encoded: EncodedPairs
    labels_N: Labels
    turned: EncodedPairs | None = None
    soft_N: npt.NDArray[np.float64] | None = None


def finetune(
    model: PairClassifier,
    language_model: PreTrainedModel | None,
    lessons: Lessons,
    valid: tuple[PairsToScore, Labels] | None,
    tokens: Tokens,
    config: ExperimentConfig,
    seed: int,
    machine: Machine,
    tell: Tell,
    saves: Saves,
) -> list[Weights]:
    """Train `model` on `lessons`, tell the scores of `valid` on the way, and return the weights to predict with:
    one set, or several whose predictions are to be averaged; none in another process than the first. Weights that
    are kept on the way lie in the folder of `saves`."""
    phase = config.finetune

    def evaluate(epoch: float) -> float | None:
        if valid is None:
            return None
        found = scores(valid[1], predict(model, valid[0], scoring_on(machine, phase)))
        tell(Evaluated(epoch=epoch, scores=found))
        return found.roc_auc

    objective: LabelObjective | WithMaskedLanguage = LabelObjective(model, lessons, phase, seed, machine.device)
    if language_model is not None:
        asked = config.pretrain or PretrainConfig()
        objective = WithMaskedLanguage(objective, language_model, tokens, asked, seed)
    course = Course("finetune", lessons.encoded.lengths_N, phase, seed, saves)
    if parallel.rank():
        train(Training(objective.model, objective, course, machine, tell))
        return []
    keeper = Keeper(model, phase, saves.folder / ".checkpoints")
    train(Training(objective.model, objective, course, machine, tell, evaluate, keeper))
    weights = keeper.results()
    keeper.forget()
    return weights


@dataclass(frozen=True, slots=True)
class Labelled:
    """A batch on the device and what is to be learnt: target_BC sums to 1."""

    batch: Batch
    target_BC: Tensor


class LabelObjective:
    """Cross-entropy of the labels, with all that the config adds to it."""

    def __init__(
        self, model: PairClassifier, lessons: Lessons, phase: FinetuneConfig, seed: int, device: torch.device
    ) -> None:
        self.model: PairClassifier = model
        self.lessons, self.phase, self.device = lessons, phase, device
        self.encoded = lessons.encoded if lessons.turned is None else lessons.encoded.joined(lessons.turned)
        self.target_NC = targets(lessons, phase).to(device)
        self.weight_C = class_weights(lessons.labels_N, phase).to(device)
        self.generators = {"swap": torch_stream(seed, "swap")}

    def batch(self, rows: Rows) -> Labelled:
        """Pairs, turned round at random if asked for, and their targets."""
        target_BC = self.target_NC[torch.from_numpy(rows).to(self.device)]
        if self.lessons.turned is not None:
            turned_B = torch.rand(len(rows), generator=self.generators["swap"]) < 0.5
            rows = rows + turned_B.numpy() * len(self.lessons.encoded)
        own = parallel.own_rows(len(rows))
        rows, target_BC = rows[own], target_BC[torch.from_numpy(own).to(self.device)]
        return Labelled(make_batch(self.encoded, rows, self.model.config.pad_token_id).to(self.device), target_BC)

    def loss(self, batch: Labelled) -> Tensor:
        """Weighted mean over the batch and over dropout masks; with R-Drop over two passes."""
        log_KBC = torch.log_softmax(self.model(batch.batch).float(), dim=-1)
        loss = self._cross_entropy(log_KBC, batch.target_BC)
        if not self.phase.r_drop_alpha:
            return loss
        again_KBC = torch.log_softmax(self.model(batch.batch).float(), dim=-1)
        both = (loss + self._cross_entropy(again_KBC, batch.target_BC)) / 2
        # half of Liang et al.'s sum, as the cross-entropy is: the learning rate keeps its meaning
        return both + self.phase.r_drop_alpha * divergence(log_KBC, again_KBC) / 4

    def _cross_entropy(self, log_KBC: Tensor, target_BC: Tensor) -> Tensor:
        weighted_BC = target_BC * self.weight_C
        return parallel.mean(-(weighted_BC * log_KBC).sum() / len(log_KBC), weighted_BC.sum())


class WithMaskedLanguage:
    """The labels, and masked tokens of the same pairs as an auxiliary loss.

    Masks are drawn as the pretraining draws them; words are not marked here, so whole_word falls back to tokens.
    """

    def __init__(
        self, labels: LabelObjective, language_model: PreTrainedModel, tokens: Tokens, asked: PretrainConfig, seed: int
    ) -> None:
        self.labels, self.weight = labels, labels.phase.mlm_weight
        lessons = labels.lessons
        corpus = Corpus(labels.encoded, np.ones(len(lessons.encoded), dtype=bool), turns=lessons.turned is not None)
        masking = "token" if asked.masking == "whole_word" else asked.masking
        phase = asked.model_copy(update={"dynamic": True, "masking": masking})
        self.masked = MaskedLanguage(language_model, Drawn(corpus, tokens, phase, seed, labels.device))
        self.generators = labels.generators | {f"aux_{n}": g for n, g in self.masked.generators.items()}

    @property
    def model(self) -> torch.nn.Module:
        """The classifier and the language-model head; what they share counts once."""
        return _Both(self.labels.model, self.masked.model)

    def batch(self, rows: Rows) -> tuple[Labelled, Holed]:
        """The same rows twice: whole, and with holes."""
        return self.labels.batch(rows), self.masked.batch(rows)

    def loss(self, batch: tuple[Labelled, Holed]) -> Tensor:
        """Both, the second by mlm_weight."""
        return self.labels.loss(batch[0]) + self.weight * self.masked.loss(batch[1])


class _Both(torch.nn.Module):
    def __init__(self, classifier: PairClassifier, language_model: PreTrainedModel) -> None:
        super().__init__()
        self.classifier, self.language_model = classifier, language_model

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.classifier.get_input_embeddings()


def divergence(log_KBC: Tensor, other_KBC: Tensor) -> Tensor:
    """KL(p||q) + KL(q||p), mean over rows and dropout masks; both given as logarithms."""
    difference_KBC = (log_KBC.exp() - other_KBC.exp()) * (log_KBC - other_KBC)
    return parallel.mean(difference_KBC.sum() / len(difference_KBC), difference_KBC.size(1))


def targets(lessons: Lessons, phase: FinetuneConfig) -> Tensor:
    """target_NC: the label, smoothed (Szegedy et al. 2016), mixed with soft labels where there are any."""
    hard_NC = one_hot(torch.from_numpy(lessons.labels_N.astype(np.int64)), 2).float()
    target_NC = hard_NC * (1 - phase.label_smoothing_factor) + phase.label_smoothing_factor / 2
    if lessons.soft_N is None:
        return target_NC
    soft_N = torch.from_numpy(lessons.soft_N).float()
    mixed_NC = (1 - phase.soft_label_weight) * target_NC + phase.soft_label_weight * torch.stack(
        [1 - soft_N, soft_N], 1
    )
    return torch.where(torch.isnan(soft_N)[:, None], target_NC, mixed_NC)


def class_weights(labels_N: Labels, phase: FinetuneConfig) -> Tensor:
    """weight_C, 1 for label 0. With p the share of positives among `labels_N`: train_prior (1 - p) / p;
    test_prior t gives (t / (1 - t)) / (p / (1 - p)), the ratio of the odds (Elkan 2001)."""
    share = float(np.mean(labels_N == 1))
    odds = share / (1 - share)
    positive = {
        "none": 1.0,
        "explicit": phase.positive_weight,
        "train_prior": 1 / odds,
        "test_prior": phase.test_prior / (1 - phase.test_prior) / odds,
    }[phase.class_weight]
    return torch.tensor([1.0, positive])
