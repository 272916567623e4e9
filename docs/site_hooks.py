"""What MkDocs does for our pages besides its own: links that leave docs/, and help that the program prints.

Pages link to files of the repository as they lie there, so that they can be read without a site. On the site
such a file is a page of its own under source/: Markdown as it is, anything else as code. A line
`<!-- edgetl train --help -->` becomes what that command prints.
"""

import contextlib
import io
import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")
_HELP = re.compile(r"^<!-- edgetl ([a-z]+) --help -->$", re.MULTILINE)
_LANGUAGES = {".py": "python", ".cpp": "cpp", ".yml": "yaml", ".toml": "toml"}


def on_files(files: Files, *, config: Any) -> Files:
    """Add every file outside docs/ that a page links to, and what those link to in turn."""
    homes = [f"docs/{file.src_uri}" for file in files if file.src_uri.endswith(".md")]
    for home in homes:  # grows while it is read
        for target in _targets(home):
            if not target.startswith("docs/") and target not in homes:
                homes.append(target)
                files.append(File.generated(config, place(target), content=_content(target)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Lead links to where the site has the files, and print help."""
    here = page.file.src_uri
    home = here.removeprefix("source/") if here.startswith("source/") else f"docs/{here}"

    def moved(match: re.Match[str]) -> str:
        return posixpath.relpath(place(_resolved(home, match[1])), posixpath.dirname(here) or ".")

    linked = _LINK.sub(moved, markdown) if (ROOT / home).suffix == ".md" else markdown
    return _HELP.sub(lambda match: f"```text\n{help_of(match[1])}```", linked)


def place(home: str) -> str:
    """Return where a file of the repository lies on the site."""
    if home.startswith("docs/"):
        return home.removeprefix("docs/")
    return f"source/{home}" if home.endswith(".md") else f"source/{home}.md"


def help_of(command: str) -> str:
    """Return what `edgetl COMMAND --help` prints."""
    from edgetl.cli import main  # loaded when a page asks for it

    printed = io.StringIO()
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(printed):
        if code := main([command, "--help"]):
            raise ValueError(f"`edgetl {command} --help` must exit with 0, got {code}.")
    return printed.getvalue().strip() + "\n"


def _targets(home: str) -> list[str]:
    if not home.endswith(".md"):
        return []
    text = (ROOT / home).read_text(encoding="utf-8")
    return [_resolved(home, match[1]) for match in _LINK.finditer(text)]


def _resolved(home: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(home), target))


def _content(home: str) -> str:
    text = (ROOT / home).read_text(encoding="utf-8")
    if home.endswith(".md"):
        return text
    return f"# {home}\n\n~~~~{_LANGUAGES.get(Path(home).suffix, 'text')}\n{text}~~~~\n"
