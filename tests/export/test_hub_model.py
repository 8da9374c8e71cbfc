"""A model is downloaded from a hub, once, and imported without a network afterwards."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import limits
from tests.corpus.hub_server import Hub

pytest.importorskip("transformers", reason="pip install transformers")
from tests.export import foreign

pytestmark = pytest.mark.xdist_group("transformers")


IMPORTS = """
import sys
from huggingface_hub.utils import close_session
from slm_tui.cli import main
print([main(["import", name]) for name in sys.argv[1:]], flush=True)
sys.stdin.readline()
close_session()
print([main(["import", name]) for name in sys.argv[1:3]], flush=True)
"""


def test_a_model_is_downloaded_and_kept(tmp_path: Path) -> None:
    root = tmp_path / "hub"
    foreign.saved("GPT2", root / "someone" / "small-model")
    (root / "someone" / "small-model" / "pytorch_model.bin").write_bytes(b"a pickle")
    pickles = root / "someone" / "pickles"
    pickles.mkdir()
    (pickles / "pytorch_model.bin").write_bytes(b"a pickle")
    home = tmp_path / "home"
    plain = {key: one for key, one in os.environ.items() if not key.startswith("HF_")}
    names = ("someone/small-model", "someone/absent", "someone/pickles")
    with Hub(root).running() as hub:
        process = limits.start(
            [sys.executable, "-c", IMPORTS, *names],
            env={**plain, "SLM_TUI_HOME": str(home), "HF_ENDPOINT": hub.address},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            if line == "[0, 1, 1]\n":
                break
            lines.append(line)
        output = "".join(lines)
    assert "downloading model.safetensors" in output
    assert "imported GPT2 as small-model-" in output
    assert "someone/absent cannot be downloaded: the hub has no such model" in output
    assert "someone/pickles cannot be imported: it has no safetensors" in output
    assert not list(home.rglob("*.bin"))
    # The hub is gone now.
    output, _ = process.communicate("\n", timeout=limits.LIMIT)
    assert "imported GPT2 as small-model-" in output
    assert "the Hugging Face hub cannot be reached" in output
    assert output.endswith("[0, 1]\n")
