"""Texts for property tests of tokenizers."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests import extent
from tests.corpus.helpers import TEXTS

NAMES = ("bytes", "chars", "bpe", "gpt2-257", "gpt2-512", "gpt2-5000", "gpt2-50257")
quick = settings(
    max_examples=extent.of(25, 60), deadline=None, suppress_health_check=list(HealthCheck)
)

# Newer characters are letters in one library and not yet in another.
assigned = st.characters(exclude_categories=["Cs", "Cn", "Co"])
# Runs and repeats of few characters reach more merges than random text does.
knotty = st.text(st.sampled_from("ab c\n'1!é"), max_size=80)
any_text = st.one_of(st.text(max_size=60), knotty, st.lists(st.sampled_from(TEXTS)).map("".join))
