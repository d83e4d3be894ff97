"""Methods, samplers and adapters are built by name; an unknown name or parameter is answered with the nearest."""

from __future__ import annotations

import importlib
import os

import pytest
from installed_plugins import VOTE, Site, fresh, site

import deem_crowd
from deem_crowd.exceptions import DeemCrowdError, ParameterError, PluginError, PluginWarning
from deem_crowd.plugins import registry

__all__ = ["fresh", "site"]


def test_create_passes_parameters_through(site: Site) -> None:
    site.install("acme", VOTE)
    vote = deem_crowd.create("vote", n_iter=7, tol=0.5)
    assert (vote.n_iter, vote.tol) == (7, 0.5)


def test_an_unknown_name_is_answered_with_the_nearest(site: Site) -> None:
    site.install("acme", VOTE)
    site.install("acme-bad", "x = 1")
    with pytest.warns(PluginWarning):
        deem_crowd.aggregators()
    with pytest.raises(
        ParameterError, match=r"no aggregator is called 'Votes'.*mean 'vote'"
    ) as caught:
        deem_crowd.create("Votes")
    assert "skipped as broken: plugin 'acme-bad' of acme-bad 1.0" in str(caught.value)
    with pytest.raises(ParameterError, match=r"no sampler is called 'gwg'; there are: walk"):
        registry.get_sampler("gwg")
    with pytest.raises(ParameterError, match=r"no adapter is called 'csv'.*mean 'csvish'"):
        registry.get_adapter("csv")


def test_an_unknown_parameter_is_answered_with_the_nearest(site: Site) -> None:
    site.install("acme", VOTE)
    with pytest.raises(
        ParameterError,
        match=r"'vote' has no parameter 'n_itr' \(did you mean 'n_iter'\?\), 'xyz'; ",
    ) as caught:
        deem_crowd.create("vote", n_itr=7, tol=1, xyz=0)
    assert str(caught.value).endswith("it takes: n_iter, tol")


def test_a_missing_parameter_is_named(site: Site) -> None:
    site.install("acme", VOTE.replace("n_iter=100", "n_iter"))
    with pytest.raises(ParameterError, match=r"'vote': missing a required argument: 'n_iter'"):
        deem_crowd.create("vote")


def test_a_parameter_may_be_called_name(site: Site) -> None:
    source = """
        from deem_crowd import hookimpl

        @hookimpl
        def deem_crowd_aggregators():
            return {"dictionary": dict}
    """
    site.install("acme", source)
    assert deem_crowd.create("dictionary", name="x") == {"name": "x"}


def test_get_sampler_and_get_adapter_return_the_thing_itself(site: Site) -> None:
    site.install("acme", VOTE.replace("somewhere.else:read", "os.path:join"))
    assert registry.get_sampler("walk") is importlib.import_module("acme").sample
    assert registry.get_adapter("csvish") is os.path.join


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("surely.not:there", r"cannot be imported from 'surely.not:there': ModuleNotFoundError"),
        ("os.path:surely_not", r"cannot be imported from 'os.path:surely_not': AttributeError"),
        ("os:sep", r"cannot be called: 'os:sep' is a str"),
    ],
)
def test_an_address_that_leads_nowhere_is_an_error_on_use(
    site: Site, target: str, message: str
) -> None:
    site.install("acme", VOTE.replace("somewhere.else:read", target))
    assert "csvish" in deem_crowd.adapters()
    with pytest.raises(PluginError, match=f"adapter 'csvish' of acme 1.0 {message}"):
        registry.get_adapter("csvish")


def test_errors_are_of_the_project() -> None:
    assert issubclass(PluginError, DeemCrowdError)
    assert issubclass(ParameterError, DeemCrowdError)


def test_deem_is_built_by_name() -> None:
    assert type(deem_crowd.create("deem")) is deem_crowd.DEEMAggregator
