"""Parameters as both classes declare them."""

import pytest

from deem_crowd import DEEM, DEEMAggregator
from deem_crowd.estimators.settings.declaration import declared


@pytest.mark.parametrize("cls", [DEEM, DEEMAggregator])
def test_defaults_keep_the_rules_so_that_they_need_no_look(cls) -> None:
    for name, field in declared(cls).items():
        rules = field.metadata["rules"]
        assert not rules or any(rule.allows(field.default) for rule in rules), name
