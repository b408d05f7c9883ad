"""Says what to do when pytest runs without this project's plugin."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if not config.pluginmanager.has_plugin("gpt2"):
        raise pytest.UsageError(
            "the project's pytest plugin is not installed in this Python: run `uv run pytest` in the repository"
        )
