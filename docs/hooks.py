"""What is added to the documentation when it is built: the page of a timeline, for readers to try."""

from __future__ import annotations

import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from docs.example import example_page

#: Where ``docs/timeline.md`` links to.
EXAMPLE = "timeline-example.html"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of the recording whose pictures the documentation shows."""
    files.append(File.generated(config, EXAMPLE, content=example_page()))
    return files
