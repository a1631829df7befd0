"""The border of the Rust core: threads, forks, signals, stubs."""

from __future__ import annotations

import ast
import hashlib
import inspect
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import dtlns
from dtlns import TrainView, _core, build_tree, deepest_prefix, jaccard_graph, sample_negatives
from dtlns.ranking import top_k


def everything() -> str:
    """Digest of what all kernels answer on inputs that span several chunks."""
    random = np.random.default_rng(0)
    train = TrainView.from_csr(sp.random_array((3000, 900), density=0.01, rng=random) > 0)
    vectors = random.normal(size=(9000, 12)).astype(np.float32)
    vectors[:500] = 0
    tree = build_tree(vectors, seed=3)
    users = np.arange(3000)
    graph = jaccard_graph(train)
    parts = [
        *tree.to_arrays().values(),
        tree.encode(vectors).packed,
        graph.indices,
        graph.data,
        sample_negatives(train, users, 9, rows=users, seed=1, epoch=2),
        deepest_prefix(tree.codes, train, users[:50]),
        *top_k(random.integers(0, 99, (200, 900)).astype(np.float32), 20, mask=train, users=users[:200]),
        tree.codes.similarity(users[:, None], users[:100]),
    ]
    sha = hashlib.sha256()
    for part in parts:
        sha.update(np.ascontiguousarray(part).tobytes())
    return sha.hexdigest()


def test_any_number_of_threads_gives_the_same_bytes():
    here = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_core"
    digests = set()
    for threads in ("1", "2", "8"):
        done = subprocess.run(
            [sys.executable, "-c", f"{here}; print(test_core.everything())"],
            env=os.environ | {"RAYON_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout.strip())
    assert digests == {everything()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    expected = everything()  # the parent's threads are up now, and the child inherits none of them
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(everything).get(timeout=60) == expected


def test_calls_from_many_threads():
    expected, answers = everything(), []
    threads = [threading.Thread(target=lambda: answers.append(everything())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [expected] * 4


def test_ctrl_c_stops_long_work():
    script = (
        "import numpy as np, dtlns\n"
        "vectors = np.random.default_rng(0).normal(size=(400_000, 64)).astype(np.float32)\n"
        "print('ready', flush=True)\n"
        "dtlns.build_tree(vectors, max_leaf_size=2)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert stderr.rstrip().endswith("KeyboardInterrupt")


def test_the_gil_is_released():
    ticks = []
    done = threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    build_tree(np.random.default_rng(0).normal(size=(40_000, 32)), seed=1)
    end = time.monotonic()
    done.set()
    thread.join()
    assert sum(start < at < end for at in ticks) > 10


def test_errors_are_those_of_the_package_and_keep_their_parts():
    with pytest.raises(dtlns.DtlnsError) as caught:
        _core.jaccard(np.array([0, 1]), np.array([7], dtype=np.uint32), 3)
    assert caught.value.what == "item 7 at position 0 is out of range"
    assert caught.value.allowed == "0 to 2"
    assert isinstance(caught.value, ValueError)


def test_stubs_name_what_the_module_has():
    tree = ast.parse((Path(dtlns.__file__).parent / "_core.pyi").read_text())
    stubs = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    values = {
        n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)
    }
    there = {name for name in dir(_core) if not name.startswith("__") or name == "__version__"}
    assert {*stubs, *values} - {
        name for name in values if name.startswith("_") and name[1].isupper()
    } == there
    for name, stub in stubs.items():
        if isinstance(stub, ast.FunctionDef):
            assert parameters_of(stub) == parameters(getattr(_core, name)), name
            continue
        kind = getattr(_core, name)
        methods = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
        assert parameters_of(methods.pop("__new__"))[1:] == parameters(kind), name
        assert methods.keys() == {m for m in dir(kind) if not m.startswith("__")}
        for member, method in methods.items():
            if not method.decorator_list:  # no property
                assert parameters_of(method) == parameters(getattr(kind, member)), member


def parameters_of(stub: ast.FunctionDef) -> list[tuple[str, object]]:
    """Names and defaults that a stub declares."""
    names = [a.arg for a in stub.args.args]
    defaults = [ast.literal_eval(d) for d in stub.args.defaults]
    missing = [inspect.Parameter.empty] * (len(names) - len(defaults))
    return list(zip(names, [*missing, *defaults], strict=True))


def parameters(function: object) -> list[tuple[str, object]]:
    """Names and defaults that the module has."""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    return [(p.name, p.default) for p in signature.parameters.values()]
