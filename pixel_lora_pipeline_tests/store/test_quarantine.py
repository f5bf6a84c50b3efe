from pathlib import Path

from pixel_lora_pipeline.store import Store


def test_a_refused_file_is_listed_with_fault_and_remedy(store: Store) -> None:
    store.quarantine.add(Path("/watched/a.safetensors"), "sig-a", "is a pickle", "Save it as safetensors.")
    store.quarantine.add(Path("/watched/b.safetensors"), "sig-b", "holds NaN", "Lower the learning rate.")
    refused = [(row.path, row.fault, row.remedy) for row in store.quarantine.list()]
    assert refused == [
        ("/watched/b.safetensors", "holds NaN", "Lower the learning rate."),
        ("/watched/a.safetensors", "is a pickle", "Save it as safetensors."),
    ]


def test_the_same_refusal_is_kept_once_and_other_content_or_place_is_another(store: Store) -> None:
    path = Path("/watched/a.safetensors")
    for fault in ("is cut short", "is cut short", "is damaged"):
        store.quarantine.add(path, "sig", fault, "Copy it again.")
    assert [row.fault for row in store.quarantine.list()] == ["is damaged"]
    store.quarantine.add(path, "sig-2", "is damaged", "Copy it again.")
    store.quarantine.add(Path("/copy/a.safetensors"), "sig", "is damaged", "Copy it again.")
    assert len(store.quarantine.list()) == 3


def test_names_that_no_database_likes_are_kept_as_far_as_they_can_be(store: Store) -> None:
    # A name in another encoding than UTF-8, one with a NUL in the reason, and a path of the greatest length.
    store.quarantine.add(Path("/watched/caf\udce9.safetensors"), "1", "says \x00", "Rename it.")
    store.quarantine.add(Path("/watched" + "/very-long-folder-name" * 180), "2", "is long", "Shorten it.")
    long, odd = store.quarantine.list()
    assert (odd.path, odd.fault) == ("/watched/caf?.safetensors", "says \N{REPLACEMENT CHARACTER}")
    assert len(long.path) > 3900
