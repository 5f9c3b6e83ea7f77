"""Entry points that have the name of a function: `import dogcat.train` puts a module where `dogcat.train` was one."""

from __future__ import annotations

import importlib
import sys
import types
from typing import Any


def make_callable(module: str, home: str) -> None:
    """Lets a module be called like the function that has its name.

    Args:
        module: Its full name, like `dogcat.train`.
        home: The module of the function, which is imported with the first call.
    """
    name = module.rpartition(".")[2]

    class Callable(types.ModuleType):
        def __call__(self, *given: Any, **more: Any) -> Any:
            return getattr(importlib.import_module(home), name)(*given, **more)

    sys.modules[module].__class__ = Callable
