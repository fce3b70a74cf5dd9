"""A package for which stubs are made."""

from .blocks import Block as Block
