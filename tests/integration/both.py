"""Both version control systems, as parameters of tests that a landing in each has to pass."""

from __future__ import annotations

import pytest

VCS = [pytest.param("git", marks=pytest.mark.git), pytest.param("bzr", marks=pytest.mark.bzr)]
