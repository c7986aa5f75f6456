"""Notebooks: run their cells, keep what they show, and turn them into pages of the site.

    python docs/hooks/notebooks.py docs/notebooks/photo.ipynb      run the notebook and keep its outputs

A notebook is JSON, and its cells are plain Python: neither running nor showing one needs Jupyter.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]  # the JSON of a notebook, format 4.5
Output = dict[str, Any]


def read(path: Path) -> Notebook:
    """The JSON of a notebook."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def run(notebook: Notebook) -> list[list[Output]]:
    """Run the code cells in turn, in one namespace; the outputs of each."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    return [_outputs("".join(cell["source"]), namespace) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def _outputs(source: str, namespace: dict[str, Any]) -> list[Output]:
    """What a cell prints, and its last expression."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "cell", "exec"), namespace)
        value = eval(compile(ast.Expression(last.value), "cell", "eval"), namespace) if last else None
    outputs: list[Output] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        outputs.append({"output_type": "display_data", "metadata": {}, "data": _shown(value)})
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    """A value as Jupyter would show it: HTML, a picture, or its repr."""
    if hasattr(value, "_repr_html_"):
        return {"text/html": value._repr_html_().splitlines(keepends=True), "text/plain": [repr(value)]}
    if hasattr(value, "_repr_jpeg_"):
        jpeg = base64.b64encode(value._repr_jpeg_()).decode()
        return {"image/jpeg": jpeg, "text/plain": ["a picture"]}
    return {"text/plain": repr(value).splitlines(keepends=True)}


def texts(outputs: list[Output]) -> list[str]:
    """The outputs of a cell as text, to compare."""
    return ["".join(output["text"] if "text" in output else output["data"]["text/plain"]) for output in outputs]


def page(notebook: Notebook, name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, and its pictures by file name."""
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "text/html" in data:
                parts.append(f'<div class="output">\n{"".join(data["text/html"])}\n</div>')
            elif "image/jpeg" in data:
                file = f"{name}-{len(pictures) + 1}.jpg"
                pictures[file] = base64.b64decode(data["image/jpeg"])
                parts.append(f"![What the cell above shows]({file})")
            else:
                parts.append(f"```text\n{''.join(texts([output])).rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def main(paths: list[str]) -> None:
    """Run notebooks and keep their outputs."""
    for path in map(Path, paths):
        notebook = read(path)
        cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        for count, (cell, outputs) in enumerate(zip(cells, run(notebook), strict=True), start=1):
            cell["execution_count"], cell["outputs"] = count, outputs
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
