"""The registry: which plugins are found, which are denied, and what becomes of names that are claimed twice."""

from __future__ import annotations

import importlib
import subprocess
import sys
import textwrap
import threading
import warnings
from pathlib import Path

import pytest
from installed_plugins import DENY, VOTE, Site, fresh, site

import deem_crowd
from deem_crowd.exceptions import PluginError, PluginWarning
from deem_crowd.plugins import registry

__all__ = ["fresh", "site"]


# What is found


def test_offers_are_listed_with_their_origin(site: Site) -> None:
    site.install("acme-crowd", VOTE, version="2.3")
    (vote,) = deem_crowd.aggregators().values()
    assert (vote.name, vote.kind, vote.description) == ("vote", "aggregator", "A vote.")
    assert (vote.distribution, vote.version, vote.module) == ("acme-crowd", "2.3", "acme_crowd")
    (walk,) = deem_crowd.samplers().values()
    assert (walk.name, walk.kind, walk.description) == ("walk", "sampler", "A sampler.")
    (csvish,) = deem_crowd.adapters().values()
    assert (csvish.name, csvish.kind, csvish.description) == ("csvish", "adapter", "reads it")
    assert csvish.module == "somewhere.else"
    assert registry.broken() == ()


def test_names_come_sorted_whatever_the_order_of_installation(site: Site) -> None:
    for name in ("zeta", "alpha", "mid"):
        site.install(
            f"p-{name}",
            VOTE.replace('"vote"', f'"{name}"').replace("walk", name).replace("csvish", name),
        )
    assert list(deem_crowd.aggregators()) == ["alpha", "mid", "zeta"]


def test_a_listing_cannot_be_changed_by_its_reader(site: Site) -> None:
    site.install("acme", VOTE)
    with pytest.raises(TypeError):
        deem_crowd.aggregators()["mine"] = None  # type: ignore[index]


def test_a_plugin_may_be_an_object(site: Site) -> None:
    source = """
        from deem_crowd import hookimpl

        class Acme:
            @hookimpl
            def deem_crowd_aggregators(self):
                return {"dictionary": dict}

        acme = Acme()
    """
    site.install("acme", source, target="acme:acme")
    assert deem_crowd.create("dictionary", size=3) == {"size": 3}


def test_one_package_may_register_several_plugins(site: Site) -> None:
    site.install("acme", VOTE)
    (site.folder / "acme_more.py").write_text(
        textwrap.dedent(VOTE)
        .replace('"vote"', '"vote2"')
        .replace("walk", "w2")
        .replace("csvish", "c2")
    )
    with (site.folder / "acme-1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write("more = acme_more\n")
    assert list(deem_crowd.aggregators()) == ["vote", "vote2"]


def test_uninstalling_a_plugin_removes_it(site: Site) -> None:
    site.install("acme", VOTE)
    assert "vote" in deem_crowd.aggregators()
    site.uninstall("acme")
    assert "vote" not in deem_crowd.aggregators()
    assert [plugin.name for plugin in registry.plugins() if not plugin.denied] == []


@pytest.mark.parametrize("finder", ["importlib.metadata", "importlib_metadata"])
def test_a_damaged_installation_does_not_hide_the_others(site: Site, finder: str) -> None:
    """Also where a package has imported the backport, whose distributions then stand in for Python's own."""
    pytest.importorskip(finder)
    site.install("acme", VOTE)
    info = site.folder / "damaged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("")
    (info / "entry_points.txt").write_text("[deem_crowd]\ndamaged = !!\n")
    with pytest.warns(PluginWarning, match="plugin 'damaged' of an unknown distribution"):
        assert "vote" in deem_crowd.aggregators()


def test_plugins_are_loaded_once_however_many_threads_ask(site: Site) -> None:
    source = """
        import time
        from deem_crowd import hookimpl
        calls = []

        @hookimpl
        def deem_crowd_aggregators():
            calls.append(1)
            time.sleep(0.05)
            return {"dictionary": dict}
    """
    site.install("acme", source)
    seen: list[list[str]] = []
    threads = [
        threading.Thread(target=lambda: seen.append(list(deem_crowd.aggregators())))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [["dictionary"]] * 8
    assert len(importlib.import_module("acme").calls) == 1


# What is denied


@pytest.mark.parametrize("denied", ["acme-crowd", "Acme_Crowd", " other , acme.crowd "])
def test_a_denied_plugin_is_not_even_imported(
    site: Site, monkeypatch: pytest.MonkeyPatch, denied: str
) -> None:
    monkeypatch.setenv(DENY, f"deem-crowd,{denied}")
    site.install("acme-crowd", "raise RuntimeError('imported')")
    site.install("good", VOTE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(deem_crowd.aggregators()) == ["vote"]
    assert "acme_crowd" not in sys.modules
    (plugin,) = [plugin for plugin in registry.plugins() if plugin.name == "acme-crowd"]
    assert plugin.denied
    assert not plugin.problem


def test_one_entry_point_of_a_distribution_can_be_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DENY, "crowdkit")
    registry.reload()
    names = list(deem_crowd.aggregators())
    assert "deem" in names
    assert "ds" not in names


# Names claimed twice


def test_a_name_claimed_twice_is_an_error_that_names_both(site: Site) -> None:
    site.install("acme", VOTE, version="1.1")
    site.install(
        "bolt", VOTE.replace('"walk"', '"jump"').replace("csvish", "jsonish"), version="2.2"
    )
    both = r"'vote' comes from plugin 'acme' of acme 1\.1 and from plugin 'bolt' of bolt 2\.2"
    with pytest.raises(PluginError, match=both) as caught:
        deem_crowd.create("vote")
    remedy = f"Uninstall acme or bolt, or set {DENY}=acme or {DENY}=bolt."
    assert str(caught.value).endswith(f"none of them gets the name. {remedy}")
    assert registry.clashes() == (str(caught.value),)
    # Nobody gets the name, and what does not clash goes on working.
    assert "vote" not in deem_crowd.aggregators()
    assert list(deem_crowd.samplers()) == ["jump", "walk"]
    assert [plugin.name for plugin in registry.plugins() if plugin.entries] == ["acme", "bolt"]


def test_a_built_in_name_cannot_be_taken(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DENY)
    site.install("acme", VOTE.replace('"vote"', '"deem"'))
    with pytest.raises(
        PluginError, match=r"'deem' comes from .* of acme 1\.0 and .* of deem-crowd "
    ) as caught:
        deem_crowd.create("deem")
    # not "one of them": without deem-crowd nothing would be left
    assert str(caught.value).endswith(f". Uninstall acme, or set {DENY}=acme.")


def test_a_remedy_that_works_where_three_claim_a_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one of three there still are two."""
    for name in ("acme", "bolt", "crow"):
        site.install(name, VOTE)
    registry.reload()
    settings = f"{DENY}=acme,bolt or {DENY}=acme,crow or {DENY}=bolt,crow"
    with pytest.raises(PluginError) as caught:
        deem_crowd.create("vote")
    assert str(caught.value).endswith(
        f" Uninstall all but one of acme, bolt, crow, or set {settings}."
    )
    monkeypatch.setenv(DENY, "deem-crowd,acme,crow")
    registry.reload()
    assert deem_crowd.aggregators()["vote"].distribution == "bolt"


def test_a_remedy_that_works_where_two_claim_a_built_in_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme", "bolt"):
        site.install(name, VOTE.replace('"vote"', '"deem"'))
    monkeypatch.delenv(DENY)
    registry.reload()
    with pytest.raises(PluginError) as caught:
        deem_crowd.create("deem")
    assert str(caught.value).endswith(f" Uninstall acme and bolt, or set {DENY}=acme,bolt.")


def test_a_remedy_that_works_where_one_package_claims_a_name_twice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", VOTE)
    (info,) = site.folder.glob("acme-*.dist-info")
    (info / "entry_points.txt").write_text("[deem_crowd]\nfirst = acme\nsecond = acme\n")
    registry.reload()
    with pytest.raises(PluginError, match=f"Set {DENY}=first or {DENY}=second") as caught:
        deem_crowd.create("vote")
    assert "ninstall" not in str(caught.value)
    monkeypatch.setenv(DENY, "deem-crowd,second")
    registry.reload()
    assert "vote" in deem_crowd.aggregators()


def test_denying_one_of_two_rivals_settles_the_matter(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", VOTE)
    site.install("bolt", VOTE)
    monkeypatch.setenv(DENY, "deem-crowd,bolt")
    registry.reload()
    assert deem_crowd.aggregators()["vote"].distribution == "acme"


# The built-ins


def test_the_built_ins_are_there_and_whole() -> None:
    assert registry.broken() == ()
    plugins = {plugin.name: plugin for plugin in registry.plugins()}
    for name in ("adapters", "crowdkit", "deem"):
        assert plugins[name].distribution == "deem-crowd"
        assert plugins[name].version == deem_crowd.__version__
        assert plugins[name].entries
    for entry in [*deem_crowd.aggregators().values(), *deem_crowd.adapters().values()]:
        assert entry.description, f"{entry.name} has no description"
        assert callable(entry.load())


def test_importing_and_listing_import_nothing_heavy(tmp_path: Path) -> None:
    script = """
        import sys
        def heavy():
            return sorted({"torch", "crowdkit", "nltk", "transformers", "sklearn", "scipy"} & set(sys.modules))
        import deem_crowd
        assert not heavy() and "pandas" not in sys.modules, heavy()
        assert "ds" in deem_crowd.aggregators()
        assert deem_crowd.adapters()
        deem_crowd.samplers()
        assert not heavy(), heavy()
        deem_crowd.create("mv")
        assert "crowdkit" in heavy()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Commands


COMMAND = """
from deem_crowd import hookimpl

@hookimpl
def deem_crowd_commands(cli):
    @cli.command()
    def greet(name: str = "you") -> None:
        \'\'\'Say hello.\'\'\'
        print("hello", name)

    @cli.command()
    def aggregate() -> None:
        \'\'\'Take the place of ours.\'\'\'
""".replace("\\'", "'")


def test_a_plugin_brings_commands(site: Site) -> None:
    from typer.testing import CliRunner

    from deem_crowd.cli.app import app

    site.install("acme", COMMAND)
    result = CliRunner().invoke(app, ["greet", "--name", "them"])
    assert (result.exit_code, result.stdout) == (0, "hello them\n")
    assert "command 'aggregate'" in " ".join(result.stderr.split())
    shown = CliRunner().invoke(app, ["--help"])
    assert "greet" in shown.stdout
    assert "Take the place of ours" not in shown.stdout
