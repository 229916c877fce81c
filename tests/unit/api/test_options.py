"""RecognitionOptions as text: what is taken, what is refused, and how a refusal reads."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fovea.errors import InvalidOption
from fovea.words import MAX_GFLOPS
from service.api.recognitions.options import OPTIONS, Ceilings, parse_options
from service.engine.budget import RecognitionOptions

ODD = ["", " ", "much", "1,2", "1_000", "٣", "0x10", "9" * 1000]
CEILINGS = Ceilings(top_k=100, deadline_ms=600_000)


def parsed(**pairs: str) -> RecognitionOptions:
    return parse_options(pairs.items(), CEILINGS)


def test_no_option_means_the_defaults() -> None:
    assert parsed() == RecognitionOptions()


def test_every_option_is_taken() -> None:
    assert parsed(
        model="tiny", task="colours", budget_gflops="1.2", max_gflops="2", deadline_ms="5000", top_k="3",
        min_score="0.25", abstain="false", min_budget_gflops="0.5", picture="true",
    ) == RecognitionOptions(
        "tiny", "colours", 1_200_000_000, 2_000_000_000, 5000, 3, 0.25, abstain=False, min_budget_flops=500_000_000,
        picture=True,
    )  # fmt: skip


def test_scientific_notation_is_a_number_too() -> None:
    assert parsed(budget_gflops="1.5e-1").budget_flops == 150_000_000


@given(st.decimals(min_value=Decimal("1e-12"), max_value=MAX_GFLOPS, allow_nan=False, places=12))
@example(Decimal("0." + "9" * 60))
def test_gflops_become_whole_flops_rounded_down(gflops: Decimal) -> None:
    flops = parsed(max_gflops=f"{gflops}").max_flops
    assert flops is not None
    assert flops <= Fraction(gflops) * 10**9 < flops + 1


@pytest.mark.parametrize("name", ["budget_gflops", "max_gflops"])
@pytest.mark.parametrize(
    "text", ["nan", "NaN", "sNaN", "inf", "-inf", "-1", "0", "-0", "1e10", "1e30", "1e999999999", *ODD]
)
def test_what_is_no_sensible_number_of_gflops_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidOption) as refusal:
        parsed(**{name: text})
    assert refusal.value.extra["option"] == name
    assert "above 0 and at most 1e+09" in str(refusal.value)
    assert len(str(refusal.value)) < 250, "a long value is not echoed whole"


@pytest.mark.parametrize("name", ["deadline_ms", "top_k"])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "nan", "inf", "1e30", "five", ""])
def test_what_is_no_sensible_count_is_refused(name: str, text: str) -> None:
    with pytest.raises(InvalidOption, match=rf"{name}=.*must be a whole number from 1 to"):
        parsed(**{name: text})


@pytest.mark.parametrize("text", ["-0.1", "1.0001", "nan", "inf", *ODD[:6]])
def test_what_is_no_share_is_no_min_score(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"min_score=.*must be a number from 0 to 1"):
        parsed(min_score=text)


def test_the_server_s_ceilings_hold() -> None:
    assert parsed(top_k="100").top_k == 100
    with pytest.raises(InvalidOption, match="from 1 to 100"):
        parsed(top_k="101")
    with pytest.raises(InvalidOption, match="from 1 to 600000"):
        parsed(deadline_ms="600001")


def test_an_unknown_option_is_refused_not_ignored_and_the_likely_one_is_named() -> None:
    with pytest.raises(InvalidOption, match="no option 'budget_gflop'; did you mean 'budget_gflops'"):
        parsed(budget_gflop="1")
    with pytest.raises(InvalidOption, match="no option 'priority'; the options are: model, task, budget_gflops"):
        parsed(priority="high")


def test_an_option_given_twice_with_two_values_is_refused_and_both_are_named() -> None:
    with pytest.raises(InvalidOption, match="'top_k' is given more than once, as '1' and as '2'; give it once"):
        parse_options([("top_k", "1"), ("top_k", "2")], CEILINGS)


def test_an_option_given_twice_with_one_value_is_that_value() -> None:
    assert parse_options([("top_k", "3"), ("top_k", "3")], CEILINGS) == parsed(top_k="3")


@pytest.mark.parametrize("text", ["", "x" * 129, "two\nlines", "null\0"])
def test_a_model_s_name_is_short_and_printable(text: str) -> None:
    with pytest.raises(InvalidOption, match="model="):
        parsed(model=text)


@given(st.dictionaries(st.sampled_from([*OPTIONS, "priority"]), st.text()))
def test_whatever_is_written_is_taken_or_refused_never_an_accident(pairs: dict[str, str]) -> None:
    try:
        options = parse_options(pairs.items(), CEILINGS)
    except InvalidOption:
        return
    assert "priority" not in pairs
    assert 1 <= options.top_k <= CEILINGS.top_k
