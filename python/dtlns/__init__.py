"""Better negatives for implicit collaborative filtering.

The names below are the whole surface that most users need; the parts live in `dtlns.data`, `dtlns.graph`,
`dtlns.trees`, `dtlns.judges`, `dtlns.samplers`, `dtlns.models`, `dtlns.training` and `dtlns.evaluation`.
"""

from importlib.metadata import version as _version

from dtlns.data.dataset import Dataset, load_dataset
from dtlns.data.views import TrainView
from dtlns.errors import DtlnsError
from dtlns.graph import jaccard_graph, laplacian_vectors
from dtlns.sampling import sample_negatives
from dtlns.trees import IndexTree, PathCodes, build_tree, deepest_prefix

__version__ = _version("dtlns")

__all__ = [
    "Dataset",
    "DtlnsError",
    "IndexTree",
    "PathCodes",
    "TrainView",
    "__version__",
    "build_tree",
    "deepest_prefix",
    "jaccard_graph",
    "laplacian_vectors",
    "load_dataset",
    "sample_negatives",
]
