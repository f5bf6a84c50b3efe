from pixel_lora_pipeline.train.parameter_difference import RunParameters, differing_parameters

A = RunParameters(
    values={"network_dim": 32, "keep_tokens": "3", "learning_rate": 1e-4, "alpha_per_rank": 0.5, "session_id": 1,
            "own_note": "x", "conv_dim": None, "flip_aug": "True", "resolution": [512, 512]},
    sources={"network_dim": "header", "session_id": "header", "own_note": "observations"},
    missing={"caption_extension": "Kohya does not record it"},
)  # fmt: skip
B = RunParameters(
    values={"network_dim": 64.0, "keep_tokens": 3, "learning_rate": 0.0001, "alpha_per_rank": 0.25, "session_id": 2,
            "caption_extension": ".txt", "conv_dim": 0, "flip_aug": True, "resolution": [512, 512]},
    sources={"network_dim": "sidecar", "caption_extension": "sidecar"},
    missing={},
)  # fmt: skip


def test_parameters_differ_by_value_and_not_by_how_it_is_written() -> None:
    differences = differing_parameters(A, B)
    names = [difference.name for difference in differences]
    assert names == ["network_dim", "conv_dim", "alpha_per_rank", "caption_extension", "session_id", "own_note"]
    assert [difference.category for difference in differences[:2]] == ["architecture"] * 2


def test_a_difference_says_where_the_values_are_from_and_what_is_not_known() -> None:
    found = {difference.name: difference for difference in differing_parameters(A, B)}
    assert (found["network_dim"].a.source, found["network_dim"].b.source) == ("header", "sidecar")
    assert found["network_dim"].is_known_of_both
    one_sided = found["caption_extension"]
    assert (one_sided.is_known_of_both, one_sided.a.why_missing) == (False, "Kohya does not record it")
    assert found["conv_dim"].is_known_of_both, "unset is known, and is not 0"


def test_a_run_does_not_differ_from_itself() -> None:
    assert differing_parameters(A, A) == []
