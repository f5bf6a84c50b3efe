"""The written beliefs are complete, have a source each, and are about parameters that there are."""

import pytest

from pixel_lora_pipeline.learn.derived_features import PRODUCTS
from pixel_lora_pipeline.learn.domain_priors import UNNAMED, domain_prior, domain_rules, usable_prior
from pixel_lora_pipeline.train import parameter_table

# Not options of the trainer: read from the files, derived from others, or kept by the project itself.
OF_OUR_OWN = {
    *("alpha_per_rank", "conv_alpha_per_rank", "lr_times_alpha_per_rank", "images_times_repeats"),
    *("effective_batch_size", "measured_linear_rank", "measured_linear_alpha", "measured_conv_rank"),
    *("keep_tokens_min", "keep_tokens_max", "keep_tokens_weighted"),
    *("caption_version", "caption_complexity", "prompt_complexity", "num_images", "starting_checkpoint"),
    "gradient_clipping",
}


def test_every_rule_has_a_reason_a_source_and_a_cautious_probability() -> None:
    for rule in domain_rules():
        assert rule.reason, rule
        assert rule.source, rule
        assert 0.0 < rule.probability <= 0.5, rule


def test_rules_and_products_are_about_known_parameters() -> None:
    known = set(parameter_table()) | OF_OUR_OWN
    assert {rule.parameter for rule in domain_rules()} - known == set()
    assert {name for product in PRODUCTS for name in product.factors} - known == set()


@pytest.mark.parametrize(
    ("metric", "parameter", "probability"),
    [
        ("background_accuracy", "keep_tokens", 0.5),
        ("color_accuracy.hair_accuracy", "caption_dropout_rate", 0.3),
        ("style_quality.photorealism_score", "network_dim", 0.5),
        ("style_quality.photorealism_score", "keep_tokens", UNNAMED),
        ("quality_score", "keep_tokens", 0.5),
        ("quality_score", "mixed_precision", 0.01),
        ("anything else", "resize_interpolation", 0.3),
        ("quality_score", "a parameter of tomorrow", UNNAMED),
    ],
)
def test_a_rule_counts_for_the_metrics_it_is_about(metric: str, parameter: str, probability: float) -> None:
    assert domain_prior([parameter], metric) == {parameter: probability}


def test_no_belief_is_beyond_what_the_data_could_overrule() -> None:
    assert usable_prior({"a": 0.0, "b": 1.0}, ["a", "b", "c"]) == {"a": 0.001, "b": 0.95, "c": UNNAMED}
