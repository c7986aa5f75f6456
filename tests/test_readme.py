"""The README's Python runs, in one go, as a reader would type it."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_python_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    exec(compile("\n".join(blocks), str(README), "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "espresso (967)" in printed
    assert "(4, 1, 3, 224, 224)" in printed
