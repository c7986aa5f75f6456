"""What the site says about the methods, read from their classes: families, facts, and a page each."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
for _folder in (ROOT, ROOT / "kernels", ROOT / "cli", ROOT / "docs" / "hooks"):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import docstrings  # noqa: E402  # found by the lines above

from xaionnx import discovery, parameters  # noqa: E402
from xaionnx.explainer import Explainer  # noqa: E402

PICTURES = ROOT / "docs" / "pictures" / "methods"
NEEDS = {
    "output": "the outputs of the model alone",
    "gradient": "a gradient of the target",
    "activation": "tensors inside the model, no gradient",
}
# By the names of `xaionnx.explanation.ValueKind`.
MEANINGS = {
    "contribution": "how much a part raises or lowers the target",
    "hindrance": "how much a part lowers the target",
    "contrast": "how much a part supports the class rather than those it is compared with",
    "core": "how much a part contributes to the class rather than to its context",
    "importance": "how much a part matters, in order",
    "slope": "how the target changes with an element, with its sign",
    "sensitivity": "how much the target changes with an element, whichever way",
    "spread": "how much noise changes the map",
    "alone": "the target of a part without the rest",
    "signal": "a pattern in the input that the target rests on",
    "activation": "what a layer holds",
    "component": "the main pattern of what a layer holds",
    "attention": "the share of attention that a token gets",
}
_ORDER = (
    "Removal",
    "Gradients",
    "Propagation rules",
    "Class activation maps",
    "Attention of transformers",
    "Inside the model",
)


def family(name: str) -> str:
    """The family that a method is listed in, from its name, what it needs and what it builds on."""
    kind = discovery.method(name)
    bases = {base.__name__ for base in kind.__mro__}
    if "cam" in name.split("_"):
        return "Class activation maps"
    if "attention" in name:
        return "Attention of transformers"
    if kind.needs == "output":
        return "Removal"
    if "AlongInputPath" in bases or kind.needs == "activation" or name.startswith("neuron_"):
        return "Inside the model"
    return "Propagation rules" if "Propagation" in bases else "Gradients"


@cache
def families() -> dict[str, list[str]]:
    """The names of all methods by family."""
    found: dict[str, list[str]] = {title: [] for title in _ORDER}
    for name in discovery.methods():
        found[family(name)].append(name)
    return found


def title(kind: type[Explainer]) -> str:
    """A method's name in words: what the docstring of its module begins with."""
    return (sys.modules[kind.__module__].__doc__ or kind.name()).partition(":")[0].strip()


def summary(kind: type[Explainer]) -> str:
    """The first sentence of a method's docstring."""
    first = docstrings.sections(kind.__doc__ or "")[""].partition("\n\n")[0]
    return " ".join(first.split()).rstrip(":")


def meaning(kind: type[Explainer]) -> str:
    """What the values of a method mean with its default parameters."""
    return MEANINGS[kind().value_kind]


@cache
def measured() -> dict[str, Any]:
    """What each method cost on the photo of the gallery, as the script of the pictures wrote it down."""
    path = PICTURES / "costs.json"
    costs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return costs


def cost(name: str) -> str:
    """The cost of a method in words: evaluations and gradients for one photo with the settings of its picture."""
    found = measured().get(name)
    if found is None:
        return "not measured"
    words = [
        f"{found[key]:,} {key if found[key] != 1 else key[:-1]}" for key in ("evaluations", "gradients") if found[key]
    ]
    return ", ".join(words)


def table() -> str:
    """A table for choosing a method: what it asks of a model, what its values mean, its cost and its axioms."""
    rows = ["| method | needs | its values say | cost | axioms |", "| --- | --- | --- | --- | --- |"]
    for names in families().values():
        for name in names:
            kind = discovery.method(name)
            cells = (f"`{name}`", kind.needs, meaning(kind), cost(name), ", ".join(kind.axioms) or "none")
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def index() -> str:
    """The page that lists the methods by family."""
    parts = [
        "# Methods",
        f"{len(discovery.methods())} methods, each with a page of its own. "
        "[Choosing a method](../choosing.md) compares them; the [gallery](../gallery.md) shows them on one photo.",
    ]
    for heading, names in families().items():
        kinds = [discovery.method(name) for name in names]
        rows = [
            f"| [{title(kind)}]({name}.md) | `{name}` | {docstrings.cell(summary(kind))} |"
            for name, kind in zip(names, kinds, strict=True)
        ]
        parts += [f"## {heading}", "| method | name | what comes out |\n| --- | --- | --- |\n" + "\n".join(rows)]
    return "\n\n".join(parts)


def gallery() -> str:
    """The page that shows one photo by every method."""
    parts = [
        "# Gallery",
        "One photo of a cup of espresso, explained by every method on EfficientNet-Lite0, a loan by the method for "
        "trees, and a digit by the methods that need a transformer. Red raises the target or matters most, blue lowers "
        "it; each map has a scale of its own, which the picture on the method's page shows. "
        "`models/scripts/explained.py` draws the pictures.",
    ]
    for heading, names in families().items():
        cards = "\n".join(_card(name) for name in names)
        parts += [f"## {heading}", f'<div class="gallery" markdown="0">\n{cards}\n</div>']
    parts += [
        "## A segmentation",
        "What the sum of a mask rests on, where the model is right and where it takes a cat for a person.",
        "![An astronaut: her face, hair and suit are hot.](pictures/astronaut.jpg)",
        "![A cat, nearly all of which is hot, and some of the wall too.](pictures/mistaken.jpg)",
    ]
    return "\n\n".join(parts) + "\n"


def _card(name: str) -> str:
    words = title(discovery.method(name))
    picture = f'<img src="pictures/methods/{name}-small.jpg" alt="{words}" loading="lazy">'
    return f'<a href="methods/{name}.html">{picture}<span>{words}</span></a>'


def page(name: str) -> str:
    """The page of one method."""
    kind = discovery.method(name)
    whole = docstrings.sections(kind.__doc__ or "")
    lead, rest = _split(docstrings.prose(whole[""]))
    when, _, when_not = docstrings.prose(whole["Notes"]).partition("When not to use:")
    raised = "\n".join(
        line if line.startswith(" ") or not line else f"``{line}``" for line in whole.get("Raises", "").splitlines()
    )
    parts = [
        f"# {title(kind)}",
        lead,
        _picture(name),
        _facts(kind),
        f"## When to use it\n\n{when.removeprefix('When to use:').strip()}",
        f"## When not to use it\n\n{when_not.strip()}",
        f"## Calls\n\n{_calls(name)}",
        f"## Parameters\n\n{_parameters(kind)}",
        f"## Details\n\n{rest}" if rest else "",
        f"## Errors\n\n{docstrings.prose(raised)}" if raised else "",
        f"## References\n\n{docstrings.references(whole['References'])}",
        f"## Example\n\n```pycon\n{whole['Examples']}\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _split(text: str) -> tuple[str, str]:
    """The summary with the equation that follows it, and the rest of a description."""
    lead, _, rest = text.partition("\n\n")
    if rest.startswith("```text\n"):
        equation, _, rest = rest.partition("\n```")
        lead = f"{lead}\n\n{equation}\n```"
    return lead, rest.strip()


def _picture(name: str) -> str:
    if not (PICTURES / f"{name}.jpg").exists():
        return ""
    return f"![A photo as {name} explains it](../pictures/methods/{name}.jpg){{ .method }}"


def _facts(kind: type[Explainer]) -> str:
    file = Path(sys.modules[kind.__module__].__file__ or "").relative_to(ROOT)
    rows = (
        ("name", f"`{kind.name()}`, class `{kind.__module__}.{kind.__name__}`"),
        ("family", family(kind.name())),
        ("needs", NEEDS[kind.needs]),
        ("its values say", meaning(kind)),
        ("cost of the picture", cost(kind.name())),
        ("axioms that hold exactly", ", ".join(kind.axioms) or "none"),
        ("published in", docstrings.linked(kind.reference)),
        ("code", f"`{file}`"),
    )
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {label} | {text} |" for label, text in rows)


def _calls(name: str) -> str:
    return (
        f'```python\nxaionnx.explain(model, x, "{name}")\n'
        f"xaionnx.methods.{name}(model, x)  # the same; editors complete its settings\n```\n\n"
        f"```bash\nxaionnx explain {name} MODEL.onnx INPUT -o OUT.png\n```"
    )


def _parameters(kind: type[Explainer]) -> str:
    rows, options = ["| parameter | accepts | default | meaning |", "| --- | --- | --- | --- |"], []
    for name, (parameter, default) in parameters.declared(kind).items():
        accepted = f"{parameter.domain} or None" if parameter.optional else parameter.domain
        cells = (f"`{name}`", docstrings.cell(accepted), f"`{default!r}`", docstrings.cell(parameter.help))
        rows.append("| " + " | ".join(cells) + " |")
        option = name.replace("_", "-")
        options += [f"`--{option}`", *([f"`--no-{option}`"] if isinstance(default, bool) else [])]
    if not options:
        return "None."
    return "\n".join(rows) + f"\n\nOn the command line: {', '.join(options)}."
