"""Inputs of users: pictures, tables and arrays, and the spec that describes how a model reads them."""
