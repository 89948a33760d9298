"""What `irctl report` says of options that belong to LaTeX."""

from __future__ import annotations

import pytest

from irctl.commands.report import output
from irctl.errors import ConfigError


def test_wide_and_width_go_with_latex_alone() -> None:
    output.check_lines("latex", is_wide=True, width=469)
    output.check_lines("markdown", is_wide=False, width=None)
    with pytest.raises(ConfigError, match="--wide: with --format latex alone, found markdown"):
        output.check_lines("markdown", is_wide=True, width=None)
    with pytest.raises(ConfigError, match="--width: with --format latex alone, found figure"):
        output.check_lines("figure", is_wide=False, width=300)
    with pytest.raises(ConfigError, match="--width 20: expected points of a column, from 150 up"):
        output.check_lines("latex", is_wide=False, width=20)
