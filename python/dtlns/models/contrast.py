"""Contrast between noisy views of embeddings that a graph smooths, as SimGCL and XSimGCL have it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from dtlns.embeddings import Layers
from dtlns.models.propagation import BipartiteGraph


@torch.no_grad()
def perturbation(clean: Layers, graph: BipartiteGraph, *, eps: float, generator: torch.Generator) -> Layers:
    """Compute what noise after each hop adds to each layer, E_(l+1) = A E_l + eps · sign(A E_l) ⊙ n / ||n||.

    n ~ U(0, 1)^D is drawn for each node and hop. Propagation is linear and the sign has no gradient: so a
    noisy view is the clean layers plus a constant, and costs no product of its own in the backward pass.

    Source: Yu et al., Are graph augmentations necessary? (SIGIR 2022), section 3.1.

    Args:
        clean: Layers without noise, the input first: float32 [U, L, D] and [I, L, D].
        graph: A, that made them.
        eps: Length of the noise.
        generator: Draws the noise.

    Returns:
        float32 [U, L, D] and [I, L, D], 0 in the input layer.
    """
    n_users, n_layers, _ = clean.users.shape
    added = Layers(torch.zeros_like(clean.users), torch.zeros_like(clean.items))
    carried = torch.zeros_like(torch.cat([clean.users[:, 0], clean.items[:, 0]]))
    with torch.autocast(carried.device.type, enabled=False):
        for layer in range(1, n_layers):
            if layer > 1:
                carried = torch.cat(graph.product(carried[:n_users], carried[n_users:]))
            noisy = torch.cat([clean.users[:, layer], clean.items[:, layer]]) + carried
            noise = torch.rand(noisy.shape, generator=generator, device=noisy.device)
            carried += eps * torch.sign(noisy) * functional.normalize(noise, dim=1)
            added.users[:, layer], added.items[:, layer] = carried[:n_users], carried[n_users:]
    return added


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Tell each row's other view from those of all rows: the mean cross-entropy over cosines.

    Source: van den Oord et al., Representation learning with contrastive predictive coding (2018), eq. 4,
    with cosines divided by a temperature.

    Args:
        first: float32 [R, D], one view.
        second: float32 [R, D], the other view of the same rows.
        temperature: τ.

    Returns:
        A scalar, -mean_r log( exp(cos(a_r, b_r) / τ) / Σ_s exp(cos(a_r, b_s) / τ) ).

    Example:
        >>> rows = torch.eye(2)
        >>> round(float(info_nce(rows, rows, 1.0)), 4)  # log(1 + 1 / e)
        0.3133
    """
    logits = (functional.normalize(first, dim=1) / temperature) @ functional.normalize(second, dim=1).T
    own = torch.arange(len(first), device=first.device)
    return functional.cross_entropy(logits, own)
