"""Hard and false negatives for a training loop of one's own, in plain PyTorch or any framework around it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from dtlns._border import id_array, integer, seed_value, word
from dtlns._loop_vectors import ItemLayers, check_finite, loop_layers, mean_layer
from dtlns.artifacts import open_artifact
from dtlns.config import SelectionConfig, checked
from dtlns.data.views import TrainView
from dtlns.draws import Draws, draws_on
from dtlns.embeddings import Layers, Similarity
from dtlns.errors import ConfigError, InputError
from dtlns.false_negatives import FalseNegatives
from dtlns.pools import Exclude, NegativePool
from dtlns.samplers.base import Negatives, Sampler, SamplingContext
from dtlns.samplers.depth import TreeDepth
from dtlns.samplers.registry import sampler_class
from dtlns.samplers.scored import ScoreBased
from dtlns.stages.judging import KIND as JUDGED
from dtlns.stages.selection import select_false_negatives
from dtlns.stages.trees import KIND as TREES
from dtlns.stages.trees import load_codes
from dtlns.training.settings import SamplerConfig
from dtlns.trees import PathCodes

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class NegativeSampler:
    """Draws negatives for the batches of a loop that is not ours, by any sampler of `dtlns`.

    Samplers with parameters or a memory, such as `dens` and `srns`, need the loop of `dtlns train`.

    Args:
        train: The training interactions, none of which is ever drawn for its user.
        name: Of the sampler, such as `dns`, `mixgcf` or `uniform`: see docs/concepts/samplers.md.
        negatives: K, for each pair.
        candidates: N uniform items for each negative, among which a sampler that scores them chooses.
        views: Path codes and weight by name. A sampler that scores candidates adds to their scores, scaled to
            [0, 1], the weighted prefix similarity of candidate and positive in each view; `tree-depth` needs
            codes, and reads no weight.
        exclude: SciPy sparse [U, I]; each stored non-zero is another item that is never drawn for the user,
            such as a false negative.
        similarity: How your model compares vectors, `inner` or `cosine`.
        options: Of the sampler, by name.
        seed: Of the draws.

    Raises:
        ConfigError: There is no such sampler, it needs our loop, or the settings do not fit it.
        InputError: `train` or a view is something else, or a view or `exclude` is for other items.

    Example:
        >>> import scipy.sparse as sp
        >>> train = TrainView.from_csr(sp.csr_array([[1, 0, 0, 0], [0, 1, 1, 0]]))
        >>> sampler = NegativeSampler(train, "dns", candidates=20)
        >>> users, items = torch.ones(2, 1), torch.tensor([[0.0], [3.0], [1.0], [2.0]])
        >>> sampler.draw([0, 1], [0, 2], rows=[0, 2], epoch=1, user_vectors=users, item_vectors=items).ids
        tensor([[1],
                [3]])
    """

    def __init__(
        self,
        train: TrainView,
        name: str = "dns",
        *,
        negatives: int = 1,
        candidates: int = 10,
        views: Mapping[str, tuple[PathCodes, float]] | None = None,
        exclude: Exclude = None,
        similarity: Similarity = "inner",
        options: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        if not isinstance(train, TrainView):
            raise InputError(
                f"train is a {type(train).__name__}",
                allowed="a TrainView",
                hint="dtlns.load_dataset(FOLDER).train, or dtlns.TrainView.from_csr(MATRIX)",
            )
        views, options = _views(views), {} if options is None else options
        config = checked(
            SamplerConfig,
            {
                "name": name,
                "negatives": integer("negatives", negatives, 1, 65536),
                "candidates": integer("candidates", candidates, 1, 65536),
                "view_weights": {view: weight for view, (_, weight) in views.items()},
                "options": options,
            },
            "NegativeSampler",
        )
        kind = sampler_class(config)
        if views and not (kind.uses_codes or issubclass(kind, ScoreBased)):
            raise ConfigError(
                f"sampler {name!r} has no scores to which views could be added",
                allowed="views with a sampler that scores candidates, such as dns or mixgcf",
            )
        if kind.uses_codes and not views:
            raise ConfigError(f"sampler {name!r} needs path codes", hint="give views")
        config = config.model_copy(update={"multi_view": bool(views) and not kind.uses_codes})
        if issubclass(kind, TreeDepth) and "over" not in options:
            raise ConfigError(
                f"sampler {name!r} goes from far to near over the epochs, and their number is not known here",
                hint="give options={'over': ...}, in epochs",
            )
        codes = {view: read for view, (read, _) in views.items()}
        self.seed = seed_value(seed)
        self.sampler: Sampler = kind.build(config, train, codes=codes, dimensions=1, seed=self.seed)
        if any(True for _ in self.sampler.parameters()) or kind.begin_epoch is not Sampler.begin_epoch:
            raise ConfigError(
                f"sampler {name!r} learns or has a memory, which needs the loop of `dtlns train`",
                allowed="one that looks at a batch alone, such as dns, dns-mn, mixgcf or ahns",
            )
        self.name = name
        word("similarity", similarity, get_args(Similarity))
        self.similarity: Similarity = similarity
        self.train = train
        self._pool = NegativePool(train, exclude)
        self._draws: dict[torch.device, Draws] = {}

    def draw(
        self,
        users: ArrayLike | Tensor,
        positives: ArrayLike | Tensor,
        *,
        rows: ArrayLike | Tensor,
        epoch: int,
        user_vectors: Tensor | None = None,
        item_vectors: Tensor | None = None,
    ) -> Negatives:
        """Draw for a batch; the same for the same seed, epoch and rows, whatever the rest of the batch is.

        Args:
            users: int [B].
            positives: int [B].
            rows: int [B], the index of each pair in your data, which keys its draws.
            epoch: Number of the pass over the data.
            user_vectors: float32 [B, D], of the batch's users, or [B, L, D] with layers, which are averaged;
                needed by samplers that score candidates. Other floating types become float32.
            item_vectors: float32 [I, D] or [I, L, D], of all items, on the device where the answer is wanted;
                without vectors, it is where `users` are.

        Returns:
            Negatives: `ids` int64 [B, K], or [1, K] where the batch shares them; `log_q` where the sampler
            knows it; `allowed` bool [B, K] where not all count for all; `layers` float32 [B, K, L, D] where
            the sampler mixes embeddings (`mixgcf`), with the gradients of `item_vectors`.

        Raises:
            InputError: Types or shapes do not fit, an id is out of range, a user has nothing left to draw,
                the sampler needs vectors and has none, or, on the CPU, a vector of a pair is not finite.
        """
        batch = {
            name: _ids(name, values)
            for name, values in (("users", users), ("positives", positives), ("rows", rows))
        }
        shapes = [tuple(ids.shape) for ids in batch.values()]
        if len(set(shapes)) > 1 or not len(batch["rows"]):
            raise InputError(
                f"users, positives and rows have the shapes {', '.join(map(str, shapes))}",
                allowed="one number for each pair of a batch, and one pair at least",
            )
        low, high = int(batch["positives"].min()), int(batch["positives"].max())
        if low < 0 or high >= self.train.n_items:
            raise InputError(f"positives are from {low} to {high}", allowed=f"0 to {self.train.n_items - 1}")
        number = int(batch["rows"][0])  # keys what a batch shares: no other batch of the epoch has this row
        layers: Layers
        if user_vectors is not None and item_vectors is not None:
            sizes = {"n_users": len(batch["users"]), "n_items": self.train.n_items}
            layers, user_layers = loop_layers(self.name, user_vectors, item_vectors, **sizes)
        elif user_vectors is None and item_vectors is None:
            layers = ItemLayers(self.name, None)
            user_layers = torch.empty(len(batch["users"]), 1, 0, device=batch["users"].device)
        else:
            raise InputError("one of user_vectors and item_vectors is given", allowed="both, or none")
        device = user_layers.device
        batch = {name: ids.to(device) for name, ids in batch.items()}
        positive_layers = user_layers if item_vectors is None else layers.item_rows(batch["positives"])
        check_finite("user", user_layers, batch["users"])
        check_finite("item", positive_layers, batch["positives"])
        epoch = seed_value(epoch, "epoch")
        return self.sampler.sample(
            SamplingContext(
                users=batch["users"],
                positives=batch["positives"],
                rows=batch["rows"],
                whole_users=batch["users"],
                whole_positives=batch["positives"],
                draws=self._draws_on(device),
                seed=self.seed,
                epoch=epoch,
                epochs=epoch,
                number=number,
                layers=layers,
                user_layers=user_layers,
                positive_layers=positive_layers,
                pooling=mean_layer,
                similarity=self.similarity,
            )
        )

    def _draws_on(self, device: torch.device) -> Draws:
        if device not in self._draws:
            if device.type != "cpu":  # the draws of the CPU say so when they come to that user
                full = np.flatnonzero(self._pool.available(np.arange(self.train.n_users)) == 0)
                if full.size:
                    raise InputError(
                        f"user {full[0]} has no item left to draw as a negative",
                        hint="leave out users who have everything, or exclude less",
                    )
            self._draws[device] = draws_on(self._pool, device)
        return self._draws[device]


def read_codes(trees: Path | str) -> dict[str, PathCodes]:
    """Return the path codes that `dtlns build-trees` left, by view.

    Args:
        trees: The folder, such as RUN/trees.

    Raises:
        ArtifactError: It is missing, damaged, or something else.
    """
    return load_codes(open_artifact(Path(trees), TREES))


def read_false_negatives(judged: Path | str, train: TrainView, *, top: int = 20) -> FalseNegatives:
    """Return the likeliest false negatives that `dtlns judge` or `dtlns find-false-negatives` found.

    Its `csr()` is what `exclude` takes; as positives, its `users`, `indices` and `weights` are pairs and
    their chances.

    Args:
        judged: The folder, such as RUN/judged.
        train: The training interactions that it was made from.
        top: The best of each user.

    Returns:
        Pairs whose weight is p_hidden, the calibrated chance that the pair is a positive one.

    Raises:
        ArtifactError: The folder is missing, damaged, or something else.
        LeakageError: It was made from other training interactions.
    """
    artifact = open_artifact(Path(judged), JUDGED)
    artifact.check_train(train.digest)
    selection = SelectionConfig(top=integer("top", top, 1, 2**31 - 1), scale=1.0)
    return select_false_negatives(artifact, train.n_users, train.n_items, "weighted", selection)


def _views(views: Mapping[str, tuple[PathCodes, float]] | None) -> Mapping[str, tuple[PathCodes, float]]:
    if not isinstance(views, Mapping | None):
        raise InputError(f"views are a {type(views).__name__}", allowed="path codes and a weight, by name")
    for name, view in (views or {}).items():
        if not (isinstance(view, tuple) and len(view) == 2 and isinstance(view[0], PathCodes)):
            raise InputError(
                f"view {name!r} is a {type(view[0] if isinstance(view, tuple) and view else view).__name__}",
                allowed="path codes and a weight",
                hint=f"views={{{name!r}: (tree.codes, 0.3)}}",
            )
    return views or {}


def _ids(name: str, values: ArrayLike | Tensor) -> Tensor:
    """Return int64 [B]."""
    if isinstance(values, Tensor):
        if values.ndim == 1 and values.layout == torch.strided and values.dtype in _INTEGERS:
            return values.long()
        raise InputError(f"{name} are {values.dtype} {tuple(values.shape)}", allowed="integers [B]")
    return torch.from_numpy(np.array(id_array(name, values, 1)))  # a copy: the given one may be read-only
