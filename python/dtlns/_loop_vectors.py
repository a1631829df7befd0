"""The vectors that a loop of one's own gives: checked, and as samplers read them."""

from __future__ import annotations

import torch
from torch import Tensor

from dtlns.embeddings import Layers
from dtlns.errors import InputError


def loop_layers(
    sampler: str, users: Tensor, items: Tensor, *, n_users: int, n_items: int
) -> tuple[Layers, Tensor]:
    """Return all items' layers, and those of the batch's users.

    Args:
        sampler: Its name, for messages.
        users: Floating [B, D] or [B, L, D].
        items: Floating [I, D] or [I, L, D]; float32 is not copied.
        n_users: B.
        n_items: I.

    Returns:
        Layers, whose items are float32 [I, L, D], and float32 [B, L, D]; both with their gradients.

    Raises:
        InputError: They are no such vectors.
    """
    for name, vectors in (("user_vectors", users), ("item_vectors", items)):
        if (
            not isinstance(vectors, Tensor)
            or vectors.layout != torch.strided
            or not vectors.is_floating_point()
        ):
            found = (
                f"{vectors.dtype}, {vectors.layout}"
                if isinstance(vectors, Tensor)
                else type(vectors).__name__
            )
            raise InputError(
                f"{name} are {found}",
                allowed="a dense tensor of floating-point numbers",
                hint="torch.from_numpy takes an array; of an embedding module, give the weight",
            )
    if users.shape[1:] != items.shape[1:] or users.ndim not in (2, 3) or users.device != items.device:
        raise InputError(
            f"user_vectors are {tuple(users.shape)} on {users.device}, item_vectors {tuple(items.shape)} "
            f"on {items.device}",
            allowed="[B, D] and [I, D], or [B, L, D] and [I, L, D], on one device",
        )
    for name, vectors, rows in (("user_vectors", users, n_users), ("item_vectors", items, n_items)):
        if len(vectors) != rows:
            raise InputError(f"{name} have {len(vectors)} rows", allowed=f"{rows}")
        if not vectors[0].numel():
            raise InputError(f"{name} are {tuple(vectors.shape)}", allowed="one dimension and layer at least")
    users, items = users.float(), items.float()  # scores in half precision would tie
    if users.ndim == 2:
        users, items = users.unsqueeze(1), items.unsqueeze(1)
    return ItemLayers(sampler, items), users


def check_finite(name: str, vectors: Tensor, ids: Tensor) -> None:
    """Refuse rows of a batch that are not finite; elsewhere than on the CPU a look would wait for the device.

    Args:
        name: What they are.
        vectors: float32 [B, L, D].
        ids: int64 [B], whose they are.

    Raises:
        InputError: A number is infinite or NaN.
    """
    if vectors.device.type != "cpu":
        return
    finite = vectors.detach().isfinite().flatten(1).all(dim=1)
    if not bool(finite.all()):
        raise InputError(
            f"{name} {int(ids[~finite][0])} has a vector with a number that is not finite",
            allowed="finite numbers",
            hint="the model has diverged, or the vector was never computed",
        )


def mean_layer(layered: Tensor) -> Tensor:
    """Average layers, float32 [..., L, D] -> [..., D]; a single one, of all items, is not copied."""
    return layered.squeeze(-2) if layered.shape[-2] == 1 else layered.mean(dim=-2)


class ItemLayers(Layers):
    """The layers of all items, or of none: users are those of a batch.

    Args:
        sampler: Its name, for messages.
        items: float32 [I, L, D], or None where no vectors were given.
    """

    def __init__(self, sampler: str, items: Tensor | None) -> None:
        super().__init__(torch.empty(0, 0, 0), torch.empty(0, 0, 0) if items is None else items)
        self._sampler, self._given = sampler, items is not None

    @property
    def users(self) -> Tensor:
        """Nothing: raises."""
        raise InputError(
            f"sampler {self._sampler!r} asks for the vectors of all users", hint="train it with `dtlns train`"
        )

    @property
    def items(self) -> Tensor:
        """float32 [I, L, D]."""
        if not self._given:
            raise InputError(
                f"sampler {self._sampler!r} needs vectors", hint="give user_vectors and item_vectors"
            )
        return self._items
