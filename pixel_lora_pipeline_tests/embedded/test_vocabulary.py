"""The embedded model's tokenizer."""

from pathlib import Path

from transformers import CLIPTokenizer

from pixel_lora_pipeline.embedded.vocabulary import MAX_LENGTH, WORDS, build_tokenizer


def test_every_word_is_one_token() -> None:
    tokenizer = build_tokenizer()
    split = {word: tokenizer.tokenize(word) for word in WORDS if len(tokenizer.tokenize(word)) != 1}
    assert split == {}


def test_every_hex_digit_is_one_token() -> None:
    tokenizer = build_tokenizer()
    for code in ("#ff69b4", "#abcdef", "#bedfad", "#000000", "#c0ffee"):
        assert len(tokenizer.tokenize(code)) == 7, tokenizer.tokenize(code)


def test_unknown_words_are_spelt_in_bytes_and_come_back() -> None:
    tokenizer = build_tokenizer()
    ids = tokenizer("xyzzy über").input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).split() == ["xyzzy", "über"]


def test_the_saved_tokenizer_reads_the_same(tmp_path: Path) -> None:
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    text = "pixchar, pixel art portrait, pink hair #ff69b4, gold crown"
    again = CLIPTokenizer.from_pretrained(tmp_path)
    padded = again(text, padding="max_length", truncation=True).input_ids
    assert again(text).input_ids == tokenizer(text).input_ids
    assert len(padded) == MAX_LENGTH
