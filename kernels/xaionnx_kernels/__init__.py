"""Kernels in numpy and Numba, on plain arrays."""
