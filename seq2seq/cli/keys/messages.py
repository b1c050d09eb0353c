"""An exception in one line that a user can act on."""

import re
from contextlib import suppress

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import (
    GrammarParseError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    UnsupportedInterpolationType,
)

from seq2seq.build_options import no_option, strange_options
from seq2seq.cli.keys.own_files import place_in, with_place
from seq2seq.cli.keys.quoting import quote
from seq2seq.cli.keys.shorthand import expand, no_such_part, part_of_side
from seq2seq.cli.keys.unknown_keys import choices_without, known_keys, no_key_of, no_such_key
from seq2seq.config_files import choices_of
from seq2seq.errors import UserError, is_full, nearest
from seq2seq.options import compose_defaults

KEY = r"[+~]*\w+([./@-]\w+)*"

INTERPOLATION = (GrammarParseError, InterpolationResolutionError, UnsupportedInterpolationType)
TRACE = "(HYDRA_FULL_ERROR=1 shows where)"
STACK = r"Exception raised from |frame #|Traceback |C\+\+ |\s+File "
"""How a line begins behind which a message is a stack of calls."""

LONGEST = 700
"""Characters of a library's message that are shown."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Characters that can stand in a file, of which a message may show a part."""

SAYING_NOTHING = ("MisconfigurationException", "ValueError", "UserWarning", "Exception")
"""Kinds of errors whose names add nothing to their messages."""

FROM_WORKER = re.compile(r"(?s)^Caught \w+ in DataLoader worker process.*\n[\w.]+Error: ")
"""What PyTorch puts before the message of an error in a loader's worker."""


def explain(error: BaseException, command: str, overrides: list[str]) -> str:
    """Return one line: what was wrong, where, and the remedy as far as it is known."""
    return with_place(_one_line(_explain(error, command, overrides)), command, overrides)


def _explain(error: BaseException, command: str, overrides: list[str]) -> str:
    known = _find(error, UserError)
    if known is not None:
        return _one_line(re.sub(FROM_WORKER, "", str(known)))
    if isinstance(error, InstantiationException):
        cause = error.__cause__ or error
        place = re.search(r"full_key: (\S+)", str(error))
        found = re.search(r"(\w+)(?:\.__init__)?\(\) got an unexpected keyword argument '(\w+)'", str(cause))
        if place and found:  # an experiment's option of one choice, and another choice
            return no_option(f"{place[1]}.{found[2]}", found[1], _strange(command, overrides))
        return _one_line(f"{_reason(cause, overrides, place[1] if place else '')} {TRACE}")
    if isinstance(error.__cause__, OSError):  # what Lightning's logger cannot write it calls unsupported
        error = error.__cause__
    if isinstance(error, OSError) and error.filename and error.strerror:
        remedy = "make some" if is_full(error) else f"give another file or folder {TRACE}"
        return _one_line(f"{error.filename}: {error.strerror}; {remedy}")
    if is_full(error):
        output = next((override for override in overrides if override.startswith("output=")), command)
        return _one_line(f"{output}: {getattr(error, 'strerror', None) or error}; make some")
    if isinstance(error, TypeError) and (wrong := _wrong_option(str(error), command, overrides)):
        return wrong
    if isinstance(error, MissingConfigException):
        return _missing_option(str(error), overrides)
    if isinstance(error, MissingMandatoryValue):
        key = re.search(r"Missing mandatory value: (\S+)", str(error))
        return f"{key[1] if key else 'a key'} is not given; say {key[1] if key else 'KEY'}=..."
    interpolated = next((override for override in overrides if "${" in override), None)
    unresolved = _find(error, INTERPOLATION)
    if interpolated and unresolved:
        reason = _one_line(str(unresolved).partition("\n")[0])
        return f"{interpolated}: {reason}; ${{...}} stands for the value of a key: give a file with it another name"
    if absent := re.match(r"Interpolation key '(\S+)' not found\s+full_key: (\S+)", str(unresolved)):
        return (
            f"{absent[2]}: ${{{absent[1]}}}: there is no such key; {nearest(absent[1], known_keys(command, overrides))}"
        )
    if isinstance(error, ConfigCompositionException | OmegaConfBaseException | HydraException):
        return _unknown_key(error, command, overrides)
    return _one_line(f"{_reason(error, overrides)} {TRACE}")


def _find(
    error: BaseException | None, kind: type[BaseException] | tuple[type[BaseException], ...]
) -> BaseException | None:
    """Return the first error of a kind in the chain of causes."""
    seen: list[BaseException] = []
    while error is not None and not isinstance(error, kind):
        if error in seen:  # an error can be its own cause
            return None
        seen.append(error)
        error = error.__cause__ or error.__context__
    return error


def _strange(command: str, overrides: list[str]) -> dict[str, str]:
    """Return the keys of a command's configuration that no part takes; none where that cannot be known."""
    with suppress(Exception):  # what is wrong is known already; this only says more
        return strange_options(compose_defaults(command, expand(quote(overrides))[0]))
    return {}


def _wrong_option(message: str, command: str, overrides: list[str]) -> str | None:
    """Say which option a part has not, or which it needs; None where a message is about something else."""
    unknown = re.search(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", message)
    if unknown:
        typed = next((f"{o}: " for o in overrides if _last_part(o) == unknown[2] and o[0] != "~"), "")
        strange = _strange(command, overrides)
        key = next((name for name in strange if name.endswith(f".{unknown[2]}")), None)
        if key and not typed:  # an experiment's option of one choice, and another choice
            return no_option(key, unknown[1], strange)
        return f"{typed}{unknown[1]} has no option {unknown[2]}; leave it out, or take it away with '~KEY.{unknown[2]}'"
    missing = re.search(r"(\w+)\.__init__\(\) missing .*?: '(\w+)'", message)
    if missing:
        typed = next((f"{o}: " for o in overrides if _last_part(o) == missing[2]), "")
        return f"{typed}{missing[1]} needs {missing[2]}; leave it as it is, or say {missing[2]}=..."
    return None


def _missing_option(message: str, overrides: list[str]) -> str:
    """Say which options a group has, and which of them was meant."""
    found = re.search(r"Could not find '([^']*)/([^'/]*)'", message)
    if not found:
        return _one_line(message)
    group, name = found[1], found[2]
    options = choices_of(group)
    if group.startswith("hydra/"):
        return f"{group}={name} does not exist here; launchers and sweepers are installed, as hydra-joblib-launcher is"
    typed = (o for o in overrides if o.endswith(f"{group}={name}"))  # such as cross_pattern
    meant = nearest(name, options)
    others = f" (options: {', '.join(options)})" if meant.endswith("?") else ""
    return f"{next(typed, f'{group}={name}')} does not exist; {meant}{others}"


def _unknown_key(error: BaseException, command: str, overrides: list[str]) -> str:
    """Name the key that does not exist, and the nearest that does."""
    message = str(error)
    strange = [key for key in (o.partition("=")[0] for o in overrides) if not re.fullmatch(KEY, key)]
    if strange and isinstance(error, OverrideParseException):
        return no_such_key(strange[0], command, [])
    strange_in = re.search(r"In '([^'/]+)/([^']+)': (?s:.*)Key '[^']*' not in '\w+'\s+full_key: (\S+)", message)
    if strange_in:  # Hydra's own keys are those of a class, and a file has another
        group, choice, key = strange_in.groups()
        return f"{place_in(group, choice, key)}: {no_such_key(key, command, [])}"
    found = re.search(r"Could not override '([^']*)'|Key '([^']*)' is not in struct", message)
    if not found:
        return _one_line(message)
    key = next(group for group in found.groups() if group)
    key = next((o.split("=")[0].lstrip("+~") for o in overrides if o.split("=")[0].lstrip("+~").endswith(key)), key)
    if key.startswith("hydra."):
        return no_such_key(key, command, [])
    known = known_keys(command, choices_without(key, overrides))
    side, part = part_of_side(key)
    if command == "train" and part and f"{side}.{part}" not in known:
        return no_such_part(key, side, part)
    inner = re.search(r"full_key: (\S+)", str(error.__cause__))
    if key in known and inner:  # of a value in braces
        key = inner[1]
    if key in known and any(override.partition("=")[0] == f"~{key}" for override in overrides):
        return f"~{key}: a run needs this key; leave it as it is, or say {key}=..."
    if key in known and (parent := _left_out(key, overrides)):
        return f"{key}: {parent} leaves out what this is a key of; leave out one of the two"
    if key in known:
        return f"{key} is not a key of all these runs; start those that have it by themselves"
    return no_key_of(known, key, command)


def _left_out(key: str, overrides: list[str]) -> str | None:
    """Return the override by which what a key is of is null."""
    nulls = (o for o in overrides if o.endswith("=null"))
    return next((o for o in nulls if key.startswith(f"{o.removesuffix('=null').lstrip('+')}.")), None)


def _reason(error: BaseException, overrides: list[str], place: str = "") -> str:
    """Return a library's message, whole, as its remedy often stands last; before it the override it speaks of.

    Where it speaks of none, the place stands there.
    """
    lines: list[str] = []
    for line in str(error).strip().splitlines():
        if re.match(STACK, line):
            break
        lines.append(line)
    text = _one_line(" ".join(lines))
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."
    kind = type(error).__name__
    named = [o for o in overrides if "=" in o and re.search(rf"\b{_last_part(o)}\b", text)]
    where = named[0] if named else place
    kinds = [] if kind in SAYING_NOTHING and text else [kind]
    return ": ".join(filter(None, [where, *kinds, text]))


def _last_part(override: str) -> str:
    return re.escape(re.split(r"[./@+~]", override.partition("=")[0])[-1])


def _one_line(text: str) -> str:
    """Return the text as one line, without what a terminal would take for a command."""
    return CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", " ".join(text.split()))
