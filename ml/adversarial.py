"""Adversarial training on the word embeddings: a second look at a batch from where it hurts most. Called by loop."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ml import parallel
from ml.contract.training_config import Phase


def add_adversarial_gradients(
    embedding: nn.Parameter, loss_again: Callable[[], Tensor], plain_loss: Callable[[], Tensor], phase: Phase
) -> None:
    """Add to the gradients of the plain loss those of the loss with moved embeddings; the weights end as they were.

    fgm (Miyato et al. 2017): one move of size epsilon along the gradient. pgd (Madry et al. 2018): several moves, each
    followed by a projection onto the ball of radius epsilon; only the last place's gradients count.
    Called after the plain backward pass. `plain_loss`: the same loss for a look at the embeddings' gradient alone.
    """
    if embedding.grad is None:
        raise ValueError("the embeddings have no gradient to follow: call this after backward")
    before = embedding.detach().clone()
    if phase.adversarial == "fgm":
        _move(embedding, embedding.grad, phase.adversarial_epsilon)
        loss_again().backward()
    else:
        _pgd(embedding, before, loss_again, plain_loss, phase)
    with torch.no_grad():
        embedding.copy_(before)


def _pgd(
    embedding: nn.Parameter,
    before: Tensor,
    loss_again: Callable[[], Tensor],
    plain_loss: Callable[[], Tensor],
    phase: Phase,
) -> None:
    gradient = embedding.grad
    for step in range(phase.adversarial_steps):
        _move(embedding, gradient, phase.adversarial_step_size)
        _project(embedding, before, phase.adversarial_epsilon)
        if step < phase.adversarial_steps - 1:
            # only to know where to go on: adding to every parameter's gradient would count the batch many times
            (own,) = torch.autograd.grad(plain_loss(), embedding)
            gradient = parallel.over_all(own)
    loss_again().backward()


def _project(embedding: nn.Parameter, before: Tensor, radius: float) -> None:
    with torch.no_grad():
        away = embedding - before
        norm = away.norm()
        if norm > radius:
            embedding.copy_(before + away * (radius / norm))


def _move(embedding: nn.Parameter, gradient: Tensor, size: float) -> None:
    norm = gradient.norm()
    if torch.isfinite(norm) and norm > 0:
        with torch.no_grad():
            embedding.add_(gradient, alpha=float(size / norm))
