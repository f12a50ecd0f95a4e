"""Shell completion: `ebb completion SHELL` prints a script that asks `ebb __complete WORDS…`.

The words come from the parser itself and from the images that are there, so nothing is listed
twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

# zsh runs bash's completions; fish hands its own words over.
_BASH = """\
_ebb() {
    local IFS=$'\\n'
    COMPREPLY=($(ebb __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _ebb ebb
"""
SCRIPTS = {
    "bash": _BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH,
    "fish": "complete -c ebb -a '(ebb __complete (commandline -opc)[2..] (commandline -ct))'\n",
}


def candidates(top: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """Give what the last word, which may be empty, can become."""
    *before, last = words or [""]
    if "--" in before:
        return []
    if before[:1] == ["image"]:
        from .image.__main__ import parser as image_parser

        top, before = image_parser(), before[1:]
    elif before[:1] == ["serve"]:
        from .serve import parser as serve_parser

        top, before = serve_parser(), before[1:]
    parser = _at(top, before)
    action = parser._option_string_actions.get(before[-1]) if before else None
    if action and action.nargs != 0:
        found = _images() if action.dest == "image" else [str(one) for one in action.choices or ()]
    else:
        found = [word for action in parser._actions for word in _offers(action)]
        if any(action.dest == "name" and not action.choices for action in parser._actions):
            found += _images()
    return sorted(word for word in found if word.startswith(last))


def _at(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.ArgumentParser:
    """Follow the commands that were typed."""
    for word in words:
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction) and word in action.choices:
                parser = action.choices[word]
                break
    return parser


def _offers(action: argparse.Action) -> list[str]:
    if action.option_strings:
        return [option for option in action.option_strings if option.startswith("--")]
    return [str(choice) for choice in action.choices or ()]


def _images() -> list[str]:
    from .assets import images_folder
    from .image.__main__ import listing

    return [row["name"] for row in listing(images_folder())]
