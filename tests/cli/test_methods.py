"""``xaionnx methods`` lists each method with the facts of its class."""

from __future__ import annotations

import json
import re

from xaionnx_cli._parameters import summary

from xaionnx import discovery


def test_three_forms_of_one_table(run):
    names = discovery.methods()
    rows = json.loads(run("methods", "--json").stdout)
    text, markdown = run("methods").stdout, run("methods", "--markdown").stdout.splitlines()
    assert [row["name"] for row in rows] == names
    assert [line.split("`")[1] for line in markdown[2:]] == names
    assert [line for line in text.splitlines() if line and not line.startswith(" ")] == names
    for row, line in zip(rows, markdown[2:], strict=True):
        method = discovery.method(row["name"])
        assert (row["needs"], row["axioms"]) == (method.needs, list(method.axioms))
        assert row["reference"] == method.reference
        assert row["reference"] in line
        assert row["summary"] in line


def test_a_summary_is_one_sentence_of_the_docstring():
    class Method:
        """The drop of the target when a window is
        covered. It costs much::

            a formula
        """

    assert summary(Method) == "The drop of the target when a window is covered."
    for name in discovery.methods():
        text = summary(discovery.method(name))
        assert re.search(r"[^.]\.\s", text) is None
        assert re.search(r"[^.]\.$", text) is not None
