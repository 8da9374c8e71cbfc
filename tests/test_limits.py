"""Every wait in a test has a timeout."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# The only place that may call these without a timeout, because it adds one.
_HELPERS = {"limits.py"}
_WAITS = {"join", "wait", "communicate", "result", "acquire"}
_SUBPROCESS = {"run", "call", "check_call", "check_output"}
_FILES = sorted(path for path in TESTS.rglob("test_*.py"))


def unlimited(source: str) -> list[str]:
    """The calls in `source` that may wait forever."""
    result = []
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        owner, name = ast.unparse(call.func.value), call.func.attr
        limited = bool({"timeout", "seconds"} & {word.arg for word in call.keywords})
        waits = name in _WAITS and not call.args and not limited
        waits |= owner == "subprocess" and name in _SUBPROCESS and not limited
        waits |= owner == "os" and name in ("read", "waitpid", "wait")
        waits |= name in ("recv", "accept") and "settimeout" not in source
        # Reading from a process ends with the process: `limits.start` ends it in time.
        waits |= owner == "subprocess" and name == "Popen"
        if waits and not owner.startswith(("limits", "fork", "Fork")):
            result.append(f"line {call.lineno}: {ast.unparse(call)[:80]}")
    return result


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.stem)
def test_no_test_waits_without_a_limit(path: Path) -> None:
    assert unlimited(path.read_text()) == []


def test_unlimited_waits_are_found() -> None:
    never = ["subprocess.Popen(['x'])", "subprocess.run(['x'])", "os.read(0, 1)"]
    for bad in (*never, "thread.join()", "child.wait()"):
        assert unlimited(bad)
    for good in ("thread.join(5)", "subprocess.run(['x'], timeout=3)", "', '.join(words)"):
        assert not unlimited(good)


def test_pytest_stops_a_test_that_hangs(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) == 300
