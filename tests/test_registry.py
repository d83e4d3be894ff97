"""The registry, on packages that are really installed: a module and its metadata in a folder on sys.path."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import deem_crowd
from deem_crowd.exceptions import DeemCrowdError, ParameterError, PluginError, PluginWarning
from deem_crowd.plugins import registry

DENY = "DEEM_CROWD_PLUGINS_DENY"
STRICT = "DEEM_CROWD_PLUGINS_STRICT"


class Site:
    """A folder on sys.path into which a test installs plugins."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self, name: str, source: str, *, version: str = "1.0", target: str = "") -> None:
        """Install a distribution whose one entry point, of the same name, is a module with ``source``."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(source))
        info = self.folder / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[deem_crowd]\n{name} = {target or module}\n")
        registry.reload()

    def uninstall(self, name: str) -> None:
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").unlink()
        (info,) = self.folder.glob(f"{module}-*.dist-info")
        shutil.rmtree(info)
        sys.modules.pop(module, None)
        registry.reload()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An empty folder on sys.path, with the built-in plugins out of the way."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(DENY, "deem-crowd")
    monkeypatch.delenv(STRICT, raising=False)
    before = set(sys.modules)
    registry.reload()
    yield Site(tmp_path)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    registry.reload()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Leave no catalogue of one test's environment variables to the next test."""
    yield
    registry.reload()


VOTE = """
    from deem_crowd import hookimpl

    class Vote:
        '''A vote.

        More about it.
        '''
        def __init__(self, n_iter=100, *, tol=1e-5):
            self.n_iter, self.tol = n_iter, tol

    def sample(energy):
        '''A sampler.'''

    @hookimpl
    def deem_crowd_aggregators():
        return {"vote": Vote}

    @hookimpl
    def deem_crowd_samplers():
        return {"walk": sample}

    @hookimpl
    def deem_crowd_adapters():
        return {"csvish": ("somewhere.else:read", "reads it")}
"""

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


# What is broken


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
    assert DENY in str(caught.value)
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
    ):
        deem_crowd.create("deem")


def test_denying_one_of_two_rivals_settles_the_matter(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.install("acme", VOTE)
    site.install("bolt", VOTE)
    monkeypatch.setenv(DENY, "deem-crowd,bolt")
    registry.reload()
    assert deem_crowd.aggregators()["vote"].distribution == "acme"


# Building


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


def test_deem_is_built_by_name() -> None:
    assert type(deem_crowd.create("deem")) is deem_crowd.DEEMAggregator


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


# Commands, and imports that do not end

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
