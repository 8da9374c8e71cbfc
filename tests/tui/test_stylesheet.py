"""Style sheets are parsed once, and again when a theme changes their variables."""

import pytest
from textual.css.stylesheet import Stylesheet, StylesheetParseError

from slm_tui.tui import theme
from slm_tui.tui.app import SlmTuiApp
from slm_tui.tui.stylesheet import KeptStylesheet
from tests import css_cache
from tests.tui.made_runs import until


def test_variables_are_applied_when_they_change() -> None:
    sheet = KeptStylesheet(variables={"front": "#112233"})
    sheet.add_source("Label { color: $front; }", read_from=("here", ""))
    sheet.reparse()
    first = list(sheet.rules)
    sheet.set_variables({"front": "#112233"})
    sheet.reparse()
    assert [one is other for one, other in zip(first, sheet.rules, strict=True)] == [True]
    sheet.set_variables({"front": "#445566"})
    sheet.reparse()
    (rule,) = sheet.rules
    assert rule is not first[0]
    assert rule.styles.get_rule("color").hex == "#445566"
    assert sheet.rules_map["Label"] == [rule]


def test_an_invalid_sheet_is_reported_and_keeps_the_rules() -> None:
    sheet = KeptStylesheet(variables={})
    sheet.add_source("Label { color: red; }", read_from=("here", ""))
    sheet.reparse()
    sheet.add_source("Label { color: nothing; }", read_from=("there", ""))
    with pytest.raises(StylesheetParseError):
        sheet.reparse()
    assert len(sheet.rules) == 1


async def test_a_new_screen_parses_only_its_own_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    # Tests share what they parse; here it is the real one.
    parse = css_cache._parse

    def counting(self: Stylesheet, css: str, *arguments: object, **options: object) -> object:
        before = len(self._parse_cache)
        rules = parse(self, css, *arguments, **options)  # type: ignore[arg-type]
        if len(self._parse_cache) > before:
            parsed.append(css)
        return rules

    monkeypatch.setattr(Stylesheet, "_parse_rules", counting)
    app = SlmTuiApp(load_torch=False)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        first = set(parsed)
        parsed.clear()
        await pilot.press("5")
        await until(pilot, lambda: app.current_mode == "data")
        await pilot.pause()
        assert any("DataScreen" in css for css in parsed)
        # Those of base classes whose place in the order of all sheets changes.
        assert len(first & set(parsed)) < len(first) / 4
        parsed.clear()
        await pilot.press("1", "5")
        await pilot.pause()
        assert parsed == []
        # A theme has other variables: everything is parsed with them.
        app.theme = theme.LIGHT.name if app.theme == theme.DARK.name else theme.DARK.name
        await until(pilot, lambda: len(parsed) > 10)
