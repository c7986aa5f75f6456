"""Record: the explanation built from an attribution, with all that is needed to repeat it."""

from xaionnx.record.building import record
from xaionnx.record.hashes import sample_sha256s
from xaionnx.record.inputs import without_row
from xaionnx.record.values import recorded_parameters, recorded_value, recorded_versions

__all__ = ["record", "recorded_parameters", "recorded_value", "recorded_versions", "sample_sha256s", "without_row"]
