"""Every public name explains itself, with an example that runs. That the examples are right, the doctests show."""

import doctest
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import vi_toolkit as vi


def public_names(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """The public classes and functions of a module and of the modules that are public in it, by dotted name."""
    for name in getattr(module, "__all__", None) or own_names(module):
        thing = getattr(module, name)
        if inspect.ismodule(thing):
            if thing.__name__.startswith("vi_toolkit."):
                yield from ((f"{name}.{inner}", value) for inner, value in public_names(thing))
        elif callable(thing) and str(getattr(thing, "__module__", "")).startswith("vi_toolkit"):
            yield name, thing


def own_names(module: ModuleType) -> list[str]:
    """The public names that a module without __all__ defines itself, or its own files do."""
    homes = {name: str(getattr(thing, "__module__", "")) for name, thing in vars(module).items()}
    return [name for name, home in homes.items() if home.startswith(module.__name__) and not name.startswith("_")]


def lacks(thing: Any) -> str | None:
    """What is missing in the docstring of a class or function; None where nothing is."""
    text = vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    if not text:
        return "has no docstring"
    examples = doctest.DocTestParser().get_examples(text)
    if all(doctest.SKIP in example.options for example in examples):
        return "has no example that runs (>>>)"
    return None


def test_all_is_complete():
    """What the package exports and what it says that it exports are the same, in order, without repeats."""
    assert len(set(vi.__all__)) == len(vi.__all__)
    assert [name for name in vi.__all__ if not hasattr(vi, name)] == []


@pytest.mark.parametrize(("name", "thing"), [pytest.param(*pair, id=pair[0]) for pair in public_names(vi)])
def test_public_name_has_an_example(name, thing):
    assert lacks(thing) is None, f"vi.{name} {lacks(thing)}"


def documented(text: str | None) -> Any:
    def function(): ...

    function.__doc__ = text
    return function


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "has no docstring"),
        ("Returns nothing.", "has no example that runs (>>>)"),
        (">>> f()  # doctest: +SKIP", "has no example that runs (>>>)"),
        ("Returns nothing.\n\n>>> f()", None),
    ],
)
def test_what_is_missing_is_seen(text, expected):
    assert lacks(documented(text)) == expected


def test_a_docstring_is_not_inherited():
    class Child(doctest.DocTestParser):
        pass

    assert lacks(Child) == "has no docstring"
