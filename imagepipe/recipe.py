"""Read a recipe back: the stages that a ledger wrote down as the text of a pipeline."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from imagepipe.asset import Asset
from imagepipe.errors import ConfigurationError
from imagepipe.pipeline import Pipeline

#: Whatever prepares a picture.
Prepare = Callable[[Asset], Asset]


def pipeline_of(recipe: str) -> Pipeline | None:
    """Return the pipeline whose `repr` is `recipe`; None where it holds a caller's stage, or settings of another time.

    Nothing is run to find out: only our own preparing stages are made, of plain values.

    >>> pipeline_of("Pipeline(stages=(Strip(), Fit(max_bytes=1000)))").stages[1].max_bytes
    1000
    >>> pipeline_of("__import__('os').system('true')")
    """
    try:
        made = _made(ast.parse(recipe, mode="eval").body)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError, ConfigurationError):
        return None
    return made if isinstance(made, Pipeline) else None


def _made(node: ast.expr) -> Any:
    """Return what an expression stands for; raise `ValueError` for one that no recipe has."""
    if not isinstance(node, ast.Call):
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(_made(item) for item in node.elts)
        if isinstance(node, ast.Set):
            return frozenset(_made(item) for item in node.elts)
        return ast.literal_eval(node)
    from imagepipe import stages

    makers: dict[str, Callable[..., Any]] = {
        "Pipeline": Pipeline, "frozenset": frozenset,
        **{name: getattr(stages, name) for name in ("Read", "Decode", "Convert", "Strip", "Fit", "Comply")}}
    if not isinstance(node.func, ast.Name) or node.func.id not in makers:
        raise ValueError("not a stage of ours")
    if any(word.arg is None for word in node.keywords):
        raise ValueError("not a plain value")
    return makers[node.func.id](*map(_made, node.args), **{str(word.arg): _made(word.value) for word in node.keywords})


def as_recorded(recipe: str) -> tuple[Prepare, str]:
    """Return what prepares a picture as `recipe` says, and its recipe: with the defaults where it cannot be read."""
    from imagepipe.shaping import Shaping

    pipeline = pipeline_of(recipe)
    if pipeline is not None:
        return pipeline, recipe
    pipeline = Shaping().pipeline()
    return pipeline, repr(pipeline)
