"""A bar for long work: automatic in notebooks, elsewhere on request, never if turned off, and removed at the end."""

import re
import sys
import types

import numpy as np
import pytest

import xaionnx
from models import planted
from xaionnx.runtime import progress


@pytest.fixture
def model():
    return planted.load(planted.linear([[1.0, 2.0, 4.0]]))


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    yield
    xaionnx.show_progress()


@pytest.fixture
def notebook(monkeypatch):
    """A notebook kernel that records what is displayed."""
    pages = []
    handle = types.SimpleNamespace(update=pages.append)
    shell = types.SimpleNamespace(kernel=object())
    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: shell
    display = types.ModuleType("IPython.display")
    display.HTML = str
    display.display = lambda page, display_id: pages.append(page) or handle
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return types.SimpleNamespace(pages=pages, shell=shell)


def explained(model):
    return xaionnx.explain(model, np.ones((2, 3), np.float32), "kernel_shap", 0)


def test_a_notebook_shows_a_bar_and_clears_it(model, at_once, notebook, capsys):
    explained(model)
    *drawn, last = notebook.pages
    pattern = r'<progress value="(\d+)" max="(\d+)"></progress> (\d+) of (\d+) evaluations'
    counts = [re.fullmatch(pattern, page).groups() for page in drawn]
    done = [int(count[0]) for count in counts]
    assert done == sorted(done)
    assert counts[-1][0] == counts[-1][1]  # all expected evaluations
    assert (last, capsys.readouterr().err) == ("", "")


def test_a_short_work_shows_none(model, notebook):
    explained(model)
    assert notebook.pages == []


def test_it_can_be_refused(model, at_once, notebook):
    xaionnx.show_progress(False)
    explained(model)
    assert notebook.pages == []


def test_elsewhere_it_is_off_and_can_be_asked_for(model, at_once, notebook, capsys):
    notebook.shell.kernel = None  # IPython in a terminal
    explained(model)
    assert (notebook.pages, capsys.readouterr().err) == ([], "")
    xaionnx.show_progress(True)
    explained(model)
    said = capsys.readouterr().err
    assert " evaluations" in said
    assert said.endswith(f"\r{'':<79}\r")


def test_whoever_listens_already_is_told_alone(model, at_once, notebook):
    done = []
    listener = types.SimpleNamespace(expect=lambda count: None, advance=done.append)
    with progress.listening(listener):
        explained(model)
    assert sum(done) > 0
    assert notebook.pages == []


def test_it_is_cleared_where_the_work_fails(at_once, notebook):
    def work():
        with progress.bar():
            progress.expect(2)
            progress.advance(1)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        work()
    assert notebook.pages == ['<progress value="1" max="2"></progress> 1 of 2 evaluations', ""]
