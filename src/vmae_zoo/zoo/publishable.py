"""What of a run may be published: settings and numbers, without folders, addresses, credentials and job numbers."""

import re
from collections.abc import Mapping
from typing import Any

SUMMARY = (  # of a run's summary.json
    "recipe", "steps", "epochs", "samples", "seconds", "metrics", "device", "processes", "precision", "versions",
)  # fmt: skip
NAMES = ("classes", "class_path", "monitor", "method")  # settings whose values are names, also with slashes
PRIVATE = re.compile(
    r"token|secret|passw|credential|api_?key|auth|job|^(?:ckpt_path|default_root_dir|logger|plugins|json|config)$", re.I
)  # settings that are left out, unless they are switches or numbers, such as cls_token
PUBLIC_ADDRESSES = re.compile(r"(?:hf://[\w.-]+/[\w./-]+(?:@[\w.-]+)?|timm:[\w./-]+)")


def publishable(value: Any, name: str = "") -> Any:
    """Settings without what belongs to a machine.

    Of a text with slashes the last part is kept: of a folder its name, of a URL neither host, password nor query.
    Settings of loggers, of plugins, and those named like a credential are left out.
    """
    if isinstance(value, Mapping):
        return {
            key: publishable(item, str(key))
            for key, item in value.items()
            if not PRIVATE.search(str(key)) or isinstance(item, bool | int | float | None)
        }
    if isinstance(value, list | tuple):
        return [publishable(item, name) for item in value]
    if not isinstance(value, str) or name in NAMES or PUBLIC_ADDRESSES.fullmatch(value):
        return value
    return last_part(value)


def last_part(text: str) -> str:
    """``"clips"`` of ``/home/me/clips/``, ``../data/clips`` and ``https://me:password@host/clips?key=1#2``."""
    if "://" in text:
        text = re.split(r"[?#]", text.partition("://")[2], maxsplit=1)[0]
        text = text if "/" in text else ""  # a host alone
    parts = [part for part in re.split(r"[/\\]", text) if part not in ("", ".", "..", "~")]
    return parts[-1] if parts else "" if re.search(r"[/\\]", text) else text


def public_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without what belongs to a machine: of a path that training started from, the file name is kept."""
    return {**record, "hparams": publishable(record["hparams"])}


def keep_numbers(results: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of nested results, without texts and lists."""
    found: dict[str, Any] = {}
    for name, value in results.items():
        if isinstance(value, Mapping):
            found[name] = keep_numbers(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found
