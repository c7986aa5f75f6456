"""Every test here runs with the numpy version and with the compiled loops."""

import pytest
from xaionnx_kernels import _tier


@pytest.fixture(params=["numpy", "compiled"])
def tier(request, monkeypatch):
    monkeypatch.setattr(_tier, "_elements_so_far", 0)
    monkeypatch.setattr(_tier, "ELEMENTS_BEFORE_LOADING", -1 if request.param == "compiled" else 2**62)
    return request.param
