"""Hidden positives: which training interactions calibration hides, and the model pretrained without them.

This is the dear half of a calibration, and no judge has a say in it: judges, trees and controls that are to
be compared share one such artefact, and so look for the same positives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtlns.artifacts import Artifact, IfExists, Spec, load_arrays, make_artifact, save_arrays
from dtlns.candidates import Candidates, make_candidates
from dtlns.config import CalibrationConfig
from dtlns.data.views import TrainView
from dtlns.errors import ConfigError
from dtlns.judges.hiding import check_rule, hide_positives, is_member
from dtlns.models.embedding import EmbeddingScorer
from dtlns.stages.candidates import load_candidates, pretrain_config
from dtlns.stages.pretrain import pretrain
from dtlns.training.progress import Progress

KIND = "hidden"


def write_hidden(
    out: Path,
    candidates: Artifact,
    settings: CalibrationConfig,
    *,
    device: str = "cpu",
    if_exists: IfExists = "error",
    progress: Callable[[Progress], None] | None = None,
) -> Artifact:
    """Hide training positives, pretrain without them, and write the artefact.

    Args:
        out: Where.
        candidates: A candidates artefact; it has the histories and says how its model was pretrained.
        settings: What is hidden.
        device: Where to train.
        if_exists: What to do when something is there.
        progress: Called after each epoch.

    Returns:
        The artefact: `hidden.safetensors` (bool [E] in global interaction order, true where hidden) and the
        scorer that was pretrained on the other interactions.
    """
    by = candidates.config["hide_by"] if settings.by == "auto" else settings.by
    config = settings.model_dump(mode="json", exclude={"users"})  # whom a judge is asked about comes later
    config |= {"by": by, "pretrain": candidates.config["pretrain"]}

    def body(folder: Path) -> None:
        _, train = load_candidates(candidates)
        hidden = hide_positives(train, settings.share, by, settings.seed)
        save_arrays(folder / "hidden.safetensors", {"hidden": hidden})
        pretraining = pretrain_config(candidates)
        pretrain(train.keep(~hidden), pretraining, device=device, progress=progress).save(folder)

    # Histories and settings decide it; how many candidates there are does not.
    return make_artifact(out, Spec(KIND, config, {}, candidates.train_digest), body, if_exists=if_exists)


def check_calibration(train: TrainView, settings: CalibrationConfig) -> None:
    """Refuse settings that this training view cannot meet, before anything is trained.

    Args:
        train: The training view.
        settings: How positives are hidden, and whom the judge is asked about.

    Raises:
        ConfigError: There are no times to tell the latest interactions by, or too few users.
    """
    check_rule(train, settings.by)
    if settings.users is not None:
        check_users(settings.users, train.n_users)


def check_users(users: int, n_users: int) -> None:
    """Refuse to calibrate on more users than there are.

    Args:
        users: So many are wanted.
        n_users: U.

    Raises:
        ConfigError: There are fewer.
    """
    if not 1 <= users <= n_users:
        raise ConfigError(f"calibrating on {users} users, of {n_users}", allowed=f"1 to {n_users}")


def load_hidden(artifact: Artifact) -> tuple[NDArray[np.bool_], EmbeddingScorer]:
    """Return which interactions are hidden, bool [E], and the model that has not seen them."""
    hidden = load_arrays(artifact.path / "hidden.safetensors")["hidden"]
    return hidden, EmbeddingScorer.load(artifact.path)


@dataclass(frozen=True, eq=False)
class Search:
    """Where the hidden positives are looked for.

    Attributes:
        visible: The histories without them.
        scorer: The model that has not seen them.
        candidates: That model's candidates.
        found: bool [N], for each of `candidates.pairs()`, whether it was hidden.
        hidden: Number of interactions that were hidden, found or not; of the chosen users.
        chosen: bool [U], the users that have candidates here.
    """

    visible: TrainView
    scorer: EmbeddingScorer
    candidates: Candidates
    found: NDArray[np.bool_]
    hidden: int
    chosen: NDArray[np.bool_]


def search(candidates: Artifact, hidden: Artifact, users: int | None = None) -> Search:
    """Take candidates again, as many, from the model that has not seen the hidden positives.

    Args:
        candidates: A candidates artefact; its histories and M.
        hidden: What is hidden, and the model pretrained without it.
        users: Take the candidates of so many users alone, drawn among all by the seed that hid; None means
            all of them.

    Raises:
        LeakageError: The two are of different training views.
        ConfigError: The hidden half was pretrained with other settings than the candidates, or there are
            fewer users.
    """
    hidden.check_train(str(candidates.train_digest))
    if hidden.config["pretrain"] != candidates.config["pretrain"]:
        raise ConfigError(
            f"{hidden.path} was pretrained with other settings than {candidates.path}",
            hint="run `dtlns calibrate` with another --hidden folder",
        )
    _, train = load_candidates(candidates)
    is_hidden, scorer = load_hidden(hidden)
    visible, held = train.keep(~is_hidden), train.keep(is_hidden)
    again = make_candidates(scorer, visible, candidates.config["m"])
    chosen = np.ones(train.n_users, dtype=np.bool_)
    if users is not None:
        check_users(users, train.n_users)
        rng = np.random.Generator(np.random.Philox(key=[hidden.config["seed"], 0x75736572]))
        chosen[rng.permutation(train.n_users)[users:]] = False
        again = again.of_users(chosen)
    found = is_member(held.indptr, held.indices, *again.pairs())
    return Search(visible, scorer, again, found, int(held.user_counts[chosen].sum()), chosen)
