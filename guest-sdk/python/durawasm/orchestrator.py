"""Orchestrators of apps with a ``function.json`` for each function."""

from __future__ import annotations

from typing import Any, Callable

from .app import FunctionBuilder


class Orchestrator:
    """``main = df.Orchestrator.create(orchestrator_function)``."""

    @staticmethod
    def create(function: Callable[..., Any]) -> FunctionBuilder:
        """Makes an orchestrator of a function that takes the context."""
        return _ByPosition(function)


class _ByPosition(FunctionBuilder):
    """The context is its only parameter, whatever the binding calls it."""

    def check(self) -> Any:
        if self.trigger is None:
            return super().check()
        return self.trigger
