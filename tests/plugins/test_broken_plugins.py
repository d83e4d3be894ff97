"""A plugin that is broken is reported once, with its fault, and keeps none of the others out."""

from __future__ import annotations

import sys
import warnings

import pytest
from installed_plugins import STRICT, VOTE, Site, fresh, site

import deem_crowd
from deem_crowd.exceptions import PluginError, PluginWarning
from deem_crowd.plugins import registry

__all__ = ["fresh", "site"]

# One broken plugin each: its source, and what the report has to say about it.
BROKEN = {
    "raises at import": ("raise RuntimeError('no licence')", r"RuntimeError: no licence"),
    "exits at import": ("import sys; sys.exit('bye')", r"SystemExit: bye"),
    "missing dependency": (
        "import surely_not_installed",
        r"No module named 'surely_not_installed'",
    ),
    "syntax error": ("def (", r"SyntaxError"),
    "asks the registry while loading": (
        "import deem_crowd; deem_crowd.aggregators()",
        r"PluginError: the registry was asked while it was loading",
    ),
    "no hooks at all": ("x = 1", r"implements none of the hooks deem_crowd_adapters, "),
    "forgotten marker": (
        "def deem_crowd_samplers(): return {}",
        r"deem_crowd_samplers lacks the decorator @deem_crowd.hookimpl",
    ),
    "misspelt hook": (
        """
        from deem_crowd import hookimpl
        @hookimpl
        def deem_crowd_sampler(): return {}
        """,
        r"unknown hook deem_crowd_sampler \(did you mean 'deem_crowd_samplers'\?\)",
    ),
    "wrong signature": (
        """
        from deem_crowd import hookimpl
        @hookimpl
        def deem_crowd_samplers(energy): return {}
        """,
        r"wrong signature: .*deem_crowd_samplers.*energy",
    ),
    "hook raises": (
        """
        from deem_crowd import hookimpl
        @hookimpl
        def deem_crowd_adapters(): raise OSError("disk on fire")
        """,
        r"hook deem_crowd_adapters raised OSError: disk on fire",
    ),
}
RUBBISH = {
    "None": r"returned None, not a mapping",
    "['vote']": r"returned \['vote'\], not a mapping",
    "{1: print}": r"returned a name that is no text: 1",
    "{'': print}": r"returned a name that is no text: ''",
    "{'my vote': print}": r"returned the name 'my vote', which some commands could not read: names are letters",
    "{'a,b': print}": r"returned the name 'a,b', which some commands could not read",
    "{'vote': 3}": r"returned under 'vote' neither a callable nor .*: 3",
    "{'vote': 'a.module.without.attribute'}": r"returned under 'vote' neither a callable nor",
    "{'vote': ('a:b',)}": r"returned under 'vote' neither a callable nor .*: \('a:b',\)",
    "{'vote': ('a:b', 3)}": r"returned under 'vote' neither a callable nor",
}
BROKEN |= {
    f"returns {result}": (
        f"""
        from deem_crowd import hookimpl
        @hookimpl
        def deem_crowd_aggregators(): return {result}
        """,
        "hook deem_crowd_aggregators " + message,
    )
    for result, message in RUBBISH.items()
}


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_reported_once_and_skipped(
    site: Site, source: str, message: str
) -> None:
    site.install("good", VOTE)
    site.install("acme-bad", source, version="0.7")
    with pytest.warns(PluginWarning, match=message) as caught:
        assert list(deem_crowd.aggregators()) == ["vote"]
    assert len(caught) == 1
    assert "plugin 'acme-bad' of acme-bad 0.7 is skipped" in str(caught[0].message)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(deem_crowd.aggregators()) == ["vote"]
        assert list(deem_crowd.samplers()) == ["walk"]
        (bad,) = registry.broken()
    assert (bad.name, bad.distribution, bad.version) == ("acme-bad", "acme-bad", "0.7")
    assert str(caught[0].message).endswith(bad.problem)


@pytest.mark.parametrize(("source", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_fatal_in_strict_mode(
    site: Site, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.setenv(STRICT, "1")
    site.install("acme-bad", source)
    for _ in range(2):  # and it stays so: nothing half-loaded is kept
        with pytest.raises(PluginError, match=message) as caught:
            deem_crowd.aggregators()
        assert "plugin 'acme-bad' of acme-bad 1.0 is broken" in str(caught.value)
        assert STRICT in str(caught.value)
        sys.modules.pop("acme_bad", None)


@pytest.mark.parametrize("value", ["", "0", "no"])
def test_strict_mode_can_be_spelt_off(
    site: Site, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(STRICT, value)
    site.install("acme-bad", "x = 1")
    with pytest.warns(PluginWarning):
        deem_crowd.aggregators()


def test_one_bad_hook_keeps_the_whole_plugin_out(site: Site) -> None:
    site.install("acme", VOTE.replace('{"walk": sample}', "None"))
    with pytest.warns(PluginWarning, match="deem_crowd_samplers returned None"):
        assert not deem_crowd.aggregators()


def test_warnings_as_errors_do_not_undo_the_discovery(site: Site) -> None:
    site.install("good", VOTE)
    site.install("acme-bad", "x = 1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(PluginWarning, match="acme-bad"):
            deem_crowd.aggregators()
        assert "vote" in deem_crowd.aggregators()


def test_the_warning_points_at_the_caller(site: Site) -> None:
    site.install("acme-bad", "x = 1")
    with pytest.warns(PluginWarning) as caught:
        deem_crowd.aggregators()
    assert caught[0].filename == __file__


def test_an_import_that_does_not_end_is_ended_and_named(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEM_CROWD_PLUGINS_SECONDS", "0.5")
    site.install("sleepy", "import time\nwhile True:\n    time.sleep(60)\n")
    site.install("acme", VOTE)
    with pytest.warns(
        PluginWarning, match=r"'sleepy' of sleepy 1\.0 is skipped: .*not done after 0\.5 s"
    ):
        assert "vote" in deem_crowd.aggregators()
