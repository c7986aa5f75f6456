"""The page of every method is complete."""

import re

import pytest

from xaionnx import discovery, parameters

NAMES = discovery.methods()


@pytest.fixture(scope="module")
def methods(hook):
    return hook("methods")


@pytest.mark.parametrize("name", NAMES)
def test_a_method_says_when_to_use_it(hook, name):
    notes = hook("docstrings").sections(discovery.method(name).__doc__)["Notes"]
    assert re.fullmatch(r"When to use: [A-Z][^\n]+.*\.\n\nWhen not to use: [A-Z][^\n]+.*\.", notes, re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_equation_parameters_and_source(methods, name):
    page, kind = methods.page(name), discovery.method(name)
    lead = page.partition("| | |")[0]
    assert "```text\n" in lead
    assert re.search(r"\]\(https://(arxiv\.org/abs|doi\.org)/", page) or name == "eigen_grad_cam"
    for field, (parameter, _) in parameters.declared(kind).items():
        assert re.search(rf"^\| `{field}` \| .* \|$", page, re.MULTILINE)
        assert parameter.help
    for heading in ("When to use it", "When not to use it", "Parameters", "References", "Example"):
        assert f"\n## {heading}\n\n" in page
    assert "::\n" not in page
    assert ":class:" not in page


@pytest.mark.slow  # fast, but the picture of a new method is drawn last
@pytest.mark.parametrize("name", NAMES)
def test_every_method_was_drawn_and_its_cost_measured(methods, name):
    assert f"../pictures/methods/{name}.jpg" in methods.page(name)
    assert (methods.PICTURES / f"{name}-small.jpg").exists()
    assert re.fullmatch(r"[\d,]+ evaluations?(, [\d,]+ gradients?)?", methods.cost(name))


def test_a_method_is_in_the_family_of_its_kind(methods):
    found = methods.families()
    assert sorted(name for names in found.values() for name in names) == NAMES
    for name, family in {
        "rise": "Removal",
        "integrated_gradients": "Gradients",
        "lrp": "Propagation rules",
        "pattern_net": "Propagation rules",
        "grad_cam": "Class activation maps",
        "attention_rollout": "Attention of transformers",
        "conductance": "Inside the model",
        "layer_activation": "Inside the model",
    }.items():
        assert name in found[family]


def test_the_gallery_shows_every_method(methods):
    gallery = methods.gallery()
    for name in NAMES:
        assert f'href="methods/{name}.html"' in gallery


def test_a_docstring_becomes_markdown(hook):
    docstrings = hook("docstrings")
    whole = docstrings.sections("""What comes out::

        y = 2 x

    More, by :class:`~xaionnx.Model`.

    ``gap``
        what is missing

    References
    ----------
    One, 2001, arXiv:0101.00001.
    Two, 2002, doi:10.1000/x_1.
    """)
    assert docstrings.prose(whole[""]) == (
        "What comes out:\n\n```text\ny = 2 x\n```\n\nMore, by `xaionnx.Model`.\n\n``gap``\n:   what is missing"
    )
    assert docstrings.references(whole["References"]) == (
        "- One, 2001, [arXiv:0101.00001](https://arxiv.org/abs/0101.00001).\n"
        "- Two, 2002, [doi:10.1000/x_1](https://doi.org/10.1000/x_1)."
    )
    assert docstrings.cell("one [of]\n`a|b` < c") == "one \\[of\\] `a\\|b` \\< c"


def test_names_of_methods_become_links_in_prose_alone(hook):
    text = "# `rise`\n\n`rise`, [`rise`](x.md), `other`\n\n```python\n`rise`\n```\n"
    assert hook("docstrings").with_links(text, {"rise": "rise.md"}) == (
        "# `rise`\n\n[`rise`](rise.md), [`rise`](x.md), `other`\n\n```python\n`rise`\n```\n"
    )
