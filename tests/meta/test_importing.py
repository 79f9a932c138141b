"""What libraries load at import stays out of the processes that stay small."""

import os
import ssl
import subprocess
import sys

import pytest

from podpass.importing import without_rich, without_system_roots


def loaded(code: str) -> list[str]:
    script = f"import sys\n{code}\nprint(*sorted(sys.modules))"
    return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()


def test_the_webhook_does_without_rich_and_the_labs_modules() -> None:
    modules = loaded("import podpass.webhook.process")
    assert "structlog" in modules
    assert "rich" not in modules
    assert not [name for name in modules if name.startswith("podpass.lab")]


def test_rich_is_there_for_those_who_import_it_later() -> None:
    assert "rich.table" in loaded("import podpass.telemetry.logging\nimport rich.table")


def test_rich_stays_when_it_is_loaded_already() -> None:
    import rich

    with without_rich():
        assert sys.modules["rich"] is rich
    assert sys.modules["rich"] is rich


@pytest.mark.parametrize("before", [None, "/nowhere/roots.pem"])
def test_system_roots_are_missing_inside_only(monkeypatch: pytest.MonkeyPatch, before: str | None) -> None:
    if before is None:
        monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    else:
        monkeypatch.setenv("SSL_CERT_FILE", before)
    with without_system_roots():
        assert ssl.create_default_context().cert_store_stats()["x509_ca"] == 0
    assert os.environ.get("SSL_CERT_FILE") == before


def test_what_is_imported_for_good_is_not_collected_again() -> None:
    code = "import gc\nfrom podpass.importing import for_good\nwith for_good():\n    import podpass.serving.server\n"
    code += "assert gc.isenabled() and gc.get_freeze_count() > 1000"
    assert "podpass.serving.server" in loaded(code)
