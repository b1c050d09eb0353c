"""Shapes that docstrings tell, held against the tensors that go in and come out: the docstring is the place of truth.

A shape is written `(batch, heads, query, key)`. It is a parameter's where it stands in `Args:` or after its name; the
first after `Return`, or one after a comma, is that of what comes back; in a comment it is that of the field beside it.
Within one call a name has one size; `...` are any axes, `query or 1` is either, `streams · heads` a product, and
`broadcastable to` lets axes be 1, or be missing.
"""

import functools
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

PACKAGES = ("attention", "models", "decoding", "reading")

AXIS = r"(?:\.\.\.|[a-z0-9_·+][a-z0-9_·+ ]*)"
SHAPE = re.compile(rf"\(({AXIS},|{AXIS}(?:, {AXIS})+|\.\.\.)\)")
FIELD = re.compile(rf"^    (\w+): .*Tensor.*# (.*{SHAPE.pattern})", re.MULTILINE)
ARGUMENT = re.compile(r"^    (\w+): (.*(?:\n     .*)*)", re.MULTILINE)
ASIDE = re.compile(r";|\b(of|from|for|after|before|with|over|at|under|like|what|how)\b")
"""After these words, a shape is not that of what comes back."""

EACH = -1
"""The place of a shape that each of several results has."""


class Told(NamedTuple):
    """A shape that a docstring tells, and whose it is."""

    owner: str  # a parameter; "" for what comes back
    place: int  # among several results
    word: str  # before the shape: the name of a field, where the owner is no tensor
    axes: tuple[str, ...]
    broadcastable: bool

    def __str__(self) -> str:
        return f"{'broadcastable to ' * self.broadcastable}({', '.join(self.axes)})"


class Documented(NamedTuple):
    """A function whose docstring tells shapes."""

    home: Any  # the module or class that it stands in
    name: str
    value: Any  # what stands there: the function, or a classmethod around it
    signature: inspect.Signature
    told: list[list[Told]]  # by its docstring, and by those of what it overrides
    unclear: list[str]  # what its docstring says before shapes of nobody

    def __str__(self) -> str:
        return f"{self.home.__name__}.{self.name}"


def told_by(doc: str, parameters: Sequence[str], results: int = 1) -> tuple[list[Told], list[str]]:
    """Return the shapes that a docstring tells, and what it says before those of which nobody knows whose they are.

    Args:
        doc: the docstring.
        parameters: that may have a shape.
        results: how many things come back.
    """
    rest, _, returned = inspect.cleandoc(doc).partition("\n\nReturns:\n")
    head, _, listed = rest.partition("\n\nArgs:\n")
    told: list[Told] = []
    unclear: list[str] = []
    places = iter(range(results))
    for of, text in [("", head), ("", f"Returns: {returned}"), *ARGUMENT.findall(listed)]:
        text, first = " ".join(text.split()), True
        for match in SHAPE.finditer(text):
            before = SHAPE.sub("", text[: match.start()]).rstrip()
            broadcastable = before.endswith("broadcastable to")
            before = before.removesuffix("broadcastable to").rstrip()
            words = re.findall(r"[^\W_]\w*", before)[:-3:-1] if before[-1:].isalnum() else [""]
            owners = [(name, 0) for word in words for name in parameters if _means(word, name)][:1]
            if of and (first or not owners):
                owners = [(of, 0)]
            elif not of and words[0] == "tensors":
                owners = [("", EACH)]
            elif text.startswith("Returns:") or (
                not of and text.startswith("Return") and (before.endswith(",") or not ASIDE.search(before))
            ):
                owners += [("", place) for place in [next(places, None)] if place is not None]
            first = False
            axes = tuple(match[1].strip(",").split(", "))
            told += [Told(owner, place, words[0], axes, broadcastable) for owner, place in owners]
            if not owners:
                unclear.append(before)
    return told, unclear


def _means(word: str, name: str) -> bool:
    """Whether a word is a name, its last part, or one or several of it."""
    return word in {name, f"{name}s", f"{name.removesuffix('y')}ies", name.rpartition("_")[2]} or f"{word}s" == name


@functools.cache
def documented() -> list[Documented]:
    """Return every function that takes or returns tensors and tells shapes."""
    found = []
    for module in [module for name in PACKAGES for module in _modules(f"seq2seq.{name}")]:
        own = [value for value in vars(module).values() if getattr(value, "__module__", "") == module.__name__]
        for home in [module, *filter(inspect.isclass, own)]:
            for name, value in vars(home).items():
                function = inspect.unwrap(getattr(value, "__func__", value))
                if inspect.isfunction(function) and function.__module__ == module.__name__:
                    above = [vars(base).get(name) for base in getattr(home, "__mro__", [])[1:]]
                    overridden = [f for f in above if inspect.isfunction(f) and f.__module__.startswith("seq2seq.")]
                    found.append(_documented(home, name, value, [function, *overridden]))
    return [function for function in found if any(function.told) or function.unclear]


def _modules(package: str) -> list[ModuleType]:
    home = importlib.import_module(package)
    return [home, *(importlib.import_module(m.name) for m in pkgutil.walk_packages(home.__path__, f"{package}."))]


def _documented(home: Any, name: str, value: Any, functions: Sequence[Callable[..., Any]]) -> Documented:
    told, unclear = [], []
    for function in functions:
        signature = inspect.signature(function)
        plain = {bool, int, float, str}
        parameters = [name for name, p in signature.parameters.items() if p.annotation not in plain]
        results = max(1, str(signature.return_annotation).count("Tensor"))
        shapes = told_by(function.__doc__ or "", parameters, results)
        if re.search("Tensor|NDArray|ndarray", str(signature)):
            told.append(shapes[0])
            unclear += shapes[1] if function is functions[0] else []
    return Documented(home, name, value, inspect.signature(functions[0]), told, unclear)


@contextmanager
def checked_shapes() -> Iterator[set[tuple[str, Told]]]:
    """Check calls of documented functions meanwhile; yield what was met. A call that raises is not looked at.

    What fitted once is not looked at again where a call has the same shapes: most calls are such.
    """
    met: set[tuple[str, Told]] = set()
    fitting: dict[Any, list[tuple[str, Told]]] = {}

    def checking(function: Callable[..., Any], document: Documented) -> Callable[..., Any]:
        named = str(document)

        @functools.wraps(function)
        def call(*args: Any, **options: Any) -> Any:
            if torch.compiler.is_compiling():  # first of all: what stands below would be traced, calls so far included
                return function(*args, **options)
            result = function(*args, **options)
            seen = named, _seen(args), tuple(options), _seen([*options.values()]), _seen(result), _sizes(args)
            if seen not in fitting:
                given = document.signature.bind(*args, **options).arguments
                fitting[seen] = [(named, told) for told in check_call(document, given, result)]
            met.update(fitting[seen])
            return result

        return call

    with pytest.MonkeyPatch.context() as patch:
        for document in documented():
            home, name, value = document[:3]
            call = checking(getattr(value, "__func__", value), document)
            if inspect.isclass(home):
                patch.setattr(home, name, call if inspect.isfunction(value) else type(value)(call))
                continue
            for module in [m for key, m in sys.modules.items() if key.startswith("seq2seq")]:
                if vars(module).get(name) is value:
                    patch.setattr(module, name, call)
        yield met


def _seen(value: Any) -> Any:
    """Return what `check_call` sees of a value: its shape or number, and of a tuple or a list those of its parts."""
    if isinstance(value, Tensor | np.ndarray):
        return value.shape
    if isinstance(value, tuple | list):
        return type(value), *map(_seen, value)
    return value if type(value) is int else type(value)


def _sizes(args: tuple[Any, ...]) -> tuple[tuple[str, int], ...]:
    """Return the whole numbers that the first argument, mostly a module, keeps."""
    return tuple((k, v) for k, v in getattr(args[0] if args else None, "__dict__", {}).items() if type(v) is int)


def check_call(document: Documented, given: dict[str, Any], result: Any) -> Iterator[Told]:
    """Hold one call against what is told of it, and yield what there was to see.

    Whole numbers that are given, or that the module keeps, are sizes too: of `d_model`, and `num_heads` of `heads`.

    Raises:
        AssertionError: a tensor has another shape.
    """
    known = {k: v for k, v in {**getattr(given.get("self"), "__dict__", {}), **given}.items() if type(v) is int}
    results = result if type(result) is tuple else [result]
    values: list[Any] = [v for v in (*given.values(), *results) if isinstance(v, tuple) and hasattr(v, "_fields")]
    for value in values:
        yield from _check(document, fields_of(value.__class__), {}, value._asdict(), None)
    for shapes in document.told:
        sizes = known | ({"heads": known["num_heads"]} if "num_heads" in known else {})
        yield from _check(document, shapes, sizes, given, result)


@functools.cache
def fields_of(kind: type) -> list[Told]:
    """Return the shapes that comments beside the fields of a NamedTuple tell."""
    if not kind.__module__.startswith("seq2seq."):
        return []
    fields = FIELD.findall(inspect.getsource(kind))
    return [told._replace(owner=name) for name, text, _ in fields for told in told_by(f"Return, {text}", [])[0]]


def _check(
    document: Documented, shapes: list[Told], sizes: dict[str, int], given: dict[str, Any], result: Any
) -> Iterator[Told]:
    for told in shapes:
        for x in _tensors(given.get(told.owner) if told.owner else result, told):
            whose = told.owner or "what comes back"
            assert fits(tuple(x.shape), told, sizes), (
                f"{document}: {whose} is told to be {told}, but is {tuple(x.shape)}; known are {sizes}"
            )
            yield told


def _tensors(value: Any, told: Told) -> list[Any]:
    """Return what has the shape: the value, a field of it, one of several results, or each of them."""
    fields = [name for name in getattr(value, "_fields", ()) if _means(told.word, name)]
    if fields:
        value = getattr(value, fields[0])
    elif isinstance(value, tuple) and not told.owner and told.place != EACH and not hasattr(value, "_fields"):
        value = value[told.place]
    several = value if type(value) in (tuple, list) else [value]
    return [x for x in several if isinstance(x, Tensor | np.ndarray)]


def fits(shape: tuple[int, ...], told: Told, sizes: dict[str, int]) -> bool:
    """Whether a shape is as told; names without a size get theirs."""
    axes = list(told.axes)
    if told.broadcastable:
        axes = axes[max(0, len(axes) - len(shape)) :]
    if "..." in axes:
        place = axes.index("...")
        axes[place : place + 1] = ["..."] * (len(shape) - len(axes) + 1)
    return len(axes) == len(shape) and all(
        axis == "..." or (told.broadcastable and size == 1) or _is(axis, size, sizes)
        for axis, size in zip(axes, shape, strict=True)
    )


def _is(axis: str, size: int, sizes: dict[str, int]) -> bool:
    choices = _choices(axis)
    values = [_value(choice, sizes) for choice in choices]
    if size in values:
        return True
    new = [choice for choice, value in zip(choices, values, strict=True) if value is None]
    if new and not re.search("[·+]", "".join(new)):  # of a product or a sum, not all is known
        sizes[new[0] if len(new) == 1 else axis] = size
    return bool(new)


@functools.cache
def _choices(axis: str) -> list[str]:
    return axis.split(" or ")


@functools.cache
def _terms(choice: str) -> list[list[str]]:
    return [term.split(" · ") for term in choice.split(" + ")]


def _value(choice: str, sizes: dict[str, int]) -> int | None:
    """Return the size of an axis such as `key`, `1`, `streams · heads` or `pieces + 1`; None where it is not known."""
    value = 0
    for term in _terms(choice):
        factors = [int(factor) if factor.isdigit() else sizes.get(factor) for factor in term]
        if None in factors:
            return None
        value += prod(factor for factor in factors if factor is not None)
    return value
