"""Template files: the wording of the question, versioned by its hash and replaceable by a file of one's own.

A file has the sections `[system]`, `[user]`, `[left out]`, `[history]` and `[labels]`, each on a line of its
own, and lines that begin with `#` before the first. Texts hold the placeholders of `string.Template`; those
of a pair and a user are allowed in `[user]` alone, and the candidate comes after the history, so that what
prompts share comes first.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template as Text
from typing import Literal, cast, get_args

from dtlns.errors import ConfigError
from dtlns.judges.llm.base import Labels

Form = Literal["grouped", "itemised", "described"]
SECTIONS = ("system", "user", "left out", "history", "labels")
SHARED = frozenset({"views", "levels", "positive", "negative"})
PLACEHOLDERS = {
    "system": SHARED,
    "user": SHARED | {"items", "history", "candidate"},
    "left out": frozenset({"left_out"}),
}


@dataclass(frozen=True)
class Template:
    """The wording of a question.

    Attributes:
        name: The shipped template's name, or the file's.
        sha256: Of the whole file, hexadecimal.
        system: The rules, with `$views`, `$levels`, `$positive` and `$negative`.
        user: The pair, with `$history` and then `$candidate`, and `$items`, the number of history items.
        left_out: What says that `$left_out` items are not shown.
        form: `grouped`, by the beginning of the code, equal codes counted; `itemised`, a line each; or
            `described`, a line each with the item's text.
        labels: The two answers.
    """

    name: str
    sha256: str
    system: str
    user: str
    left_out: str
    form: Form
    labels: Labels


def template_names() -> list[str]:
    """Return the names of the shipped templates.

    Example:
        >>> template_names()
        ['compact-1', 'described-1', 'full-1']
    """
    return sorted(file.name.removesuffix(".txt") for file in _shipped().iterdir())


def load_template(name: str | Path, *, sha256: str | None = None) -> Template:
    """Read a template.

    Args:
        name: Of a shipped template, or the path of a file.
        sha256: What the file's hash must be; None takes any.

    Returns:
        The template.

    Raises:
        ConfigError: It cannot be read, is no template, or has another hash.

    Example:
        >>> load_template("compact-1").labels
        Labels(positive='positive', negative='negative')
    """
    shipped = str(name) in template_names()
    file = _shipped() / f"{name}.txt" if shipped else Path(name)
    try:
        content = file.read_bytes()
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the template {str(name)!r} cannot be read ({error})",
            allowed=f"{', '.join(template_names())}, or a text file in UTF-8",
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, found):
        raise ConfigError(
            f"the template {str(name)!r} has the SHA-256 {found}",
            allowed=str(sha256),
            hint="its text is not the one that was asked for",
        )
    return parse_template(text, str(name) if shipped else Path(name).name, found)


def parse_template(text: str, name: str, sha256: str) -> Template:
    """Take a template's text apart and check it.

    Args:
        text: What the file holds.
        name: What to call it.
        sha256: The file's hash.

    Returns:
        The template.

    Raises:
        ConfigError: A section is missing, double or unknown, a placeholder is unknown or misplaced, or labels
            are empty or equal.
    """
    parts = _sections(text, name)
    for section, allowed in PLACEHOLDERS.items():
        body = Text(parts[section])
        unknown = sorted(set(body.get_identifiers()) - allowed)
        if unknown or not body.is_valid():
            what = f"the placeholder ${unknown[0]}" if unknown else "a $ that names no placeholder"
            raise ConfigError(
                f"[{section}] of the template {name!r} has {what}",
                allowed=", ".join(f"${known}" for known in sorted(allowed)),
                hint="write $$ for a dollar sign",
            )
    order = [placeholder for placeholder in _named(parts["user"]) if placeholder in ("history", "candidate")]
    if order != ["history", "candidate"]:
        raise ConfigError(
            f"[user] of the template {name!r} has {' '.join(f'${one}' for one in order) or 'neither'}",
            allowed="$history and then $candidate, each once: what a user's prompts share comes first",
        )
    form = parts["history"]
    if form not in get_args(Form):
        raise ConfigError(
            f"[history] of the template {name!r} is {form!r}", allowed=", ".join(get_args(Form))
        )
    labels = _labels(parts["labels"], name)
    return Template(name, sha256, parts["system"], parts["user"], parts["left out"], cast(Form, form), labels)


def _shipped() -> Traversable:
    return files("dtlns.judges.llm") / "templates"


def _sections(text: str, name: str) -> dict[str, str]:
    parts: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        header = re.fullmatch(r"\[(.+)\]", line)
        if header is not None:
            section = header[1]
            if section not in SECTIONS or section in parts:
                kind = "twice" if section in parts else "which is unknown"
                raise ConfigError(
                    f"the template {name!r} has the section [{section}], {kind}",
                    allowed=", ".join(f"[{known}]" for known in SECTIONS),
                )
            current = parts[section] = []
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            raise ConfigError(
                f"the template {name!r} begins with {line!r}", allowed="a section, or a comment after #"
            )
    joined = {section: "\n".join(lines).strip() for section, lines in parts.items()}
    lacking = [section for section in SECTIONS if not joined.get(section)]
    if lacking:
        raise ConfigError(
            f"the template {name!r} has nothing in [{lacking[0]}]",
            allowed=", ".join(f"[{known}]" for known in SECTIONS),
        )
    return joined


def _named(text: str) -> list[str]:
    """Return the placeholders in their order, each as often as it stands there."""
    return [found["named"] or found["braced"] or "" for found in Text.pattern.finditer(text)]


def _labels(text: str, name: str) -> Labels:
    pairs = [line.partition("=") for line in text.splitlines() if line.strip()]
    given = {key.strip(): value.strip() for key, _, value in pairs}
    positive, negative = given.get("positive", ""), given.get("negative", "")
    if len(pairs) != 2 or not positive or not negative or positive == negative:
        raise ConfigError(
            f"[labels] of the template {name!r} is {text!r}",
            allowed="two lines, `positive = WORD` and `negative = ANOTHER`",
        )
    return Labels(positive, negative)
