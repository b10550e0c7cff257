"""Where modules of 0.1 live now, so that imports, pickles and texts written then still work.

Nothing in the packages imports by an old name. This module knows names only: what is asked for by
an old one is imported then.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import MappingProxyType, ModuleType

__all__ = ["MODULES", "VALUES", "install"]

MODULES = MappingProxyType(
    {
        "adafuse.admission": "adafuse.concurrency.admission",
        "adafuse.compare.table": "adafuse.compare.terminal",
        "adafuse.display": "adafuse.cli.display",
        "adafuse.likelihood": "adafuse.local.loglikelihood",
        "adafuse.models": "adafuse.demo.models",
        "adafuse.prompts": "adafuse.prompting.prompt",
        "adafuse.quiet": "adafuse.cli.quiet",
        "adafuse.serve.desk": "adafuse.serve.service",
        "adafuse.threads": "adafuse.concurrency.async_iterator",
        "adafuse_integrations._sharing": "adafuse_integrations._shared.members",
        "adafuse_integrations.langchain.chat": "adafuse_integrations.langchain.chat_models",
        "adafuse_integrations.langchain.chat_chunks": "adafuse_integrations.langchain._chat_chunks",
        "adafuse_integrations.langchain.chunks": (
            "adafuse_integrations.langchain._completion_chunks"
        ),
        "adafuse_integrations.langchain.llm": "adafuse_integrations.langchain.llms",
        "adafuse_integrations.llama_index.llm": "adafuse_integrations.llama_index.base",
    }
)
"""Old names that documentation, examples or pickles hold, and the new ones."""

VALUES = MappingProxyType(
    {
        ("adafuse.config", "MemberSpec"): "adafuse.spec",
        ("adafuse.events", "Answer"): "adafuse.answer",
    }
)
"""Values that pickles name in modules that are still there, and the modules that have them now."""


class _Moved(MetaPathFinder, Loader):
    """Finds modules by their old names; asked after every other finder."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A specification for an old name, or None."""
        return ModuleSpec(fullname, self) if fullname in MODULES else None

    def exec_module(self, module: ModuleType) -> None:
        """Let the module give what the one has that took its place."""
        home = importlib.import_module(MODULES[module.__name__])
        module.__dict__.update(__doc__=home.__doc__, __getattr__=lambda name: getattr(home, name))


def install() -> None:
    """Make the old names known to `import`; once."""
    if any(isinstance(finder, _Moved) for finder in sys.meta_path):
        return
    sys.meta_path.append(_Moved())
    for (module, name), home in VALUES.items():
        setattr(sys.modules[module], name, getattr(sys.modules[home], name))
