"""Texts: named ones, files, the cache, a fetch that goes wrong."""

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from common import gpt2_tokenizer
from common.errors import CourseError, UsageError
from common.text import texts


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPT2_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A named text whose url is a file: what it holds is the test's business."""
    source = tmp_path / "source.txt"
    source.write_bytes(b"Once upon a time.\n")
    known = texts.NamedText(
        "A test", "a-test.txt", hashlib.sha256(source.read_bytes()).hexdigest(), source.as_uri()
    )
    monkeypatch.setitem(texts.TEXTS, "a-test", known)
    return source


def test_the_story_of_the_course_is_there_without_a_network():
    story = texts.read_text()
    assert 18_000 < len(story.encode()) < 22_000
    assert story.startswith("The Tide Ledger")
    assert "My name is" in story
    assert gpt2_tokenizer().decode(gpt2_tokenizer().encode(story)) == story


def test_every_text_of_the_course_has_the_digest_it_is_listed_with():
    for known in texts.TEXTS.values():
        if not known.url:
            data = (texts.EMBEDDED / known.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == known.sha256


def test_a_fetched_text_is_kept_and_not_fetched_again(served):
    assert texts.read_text("a-test") == "Once upon a time.\n"
    served.unlink()
    assert texts.read_text("a-test") == "Once upon a time.\n"
    assert os.listdir(texts.cache_folder()) == ["a-test.txt"]


def test_a_damaged_copy_in_the_cache_is_fetched_anew(served):
    texts.read_text("a-test")
    (texts.cache_folder() / "a-test.txt").write_text("Once upon")
    assert texts.read_text("a-test") == "Once upon a time.\n"


def test_a_text_put_there_by_hand_is_taken(served):
    texts.cache_folder().mkdir(parents=True)
    shutil.copy(served, texts.cache_folder() / "a-test.txt")
    served.unlink()
    assert texts.read_text("a-test") == "Once upon a time.\n"


def test_a_fetch_that_fails_says_what_to_put_where(served):
    served.unlink()
    with pytest.raises(CourseError) as failure:
        texts.read_text("a-test")
    assert served.as_uri() in str(failure.value)
    assert str(texts.cache_folder() / "a-test.txt") in str(failure.value)
    assert not texts.cache_folder().exists()


def test_what_is_not_the_text_is_not_kept(served):
    served.write_text("<html>Log in to the network of this hotel</html>")
    with pytest.raises(CourseError, match="SHA-256"):
        texts.read_text("a-test")
    assert not texts.cache_folder().exists()


def test_an_interrupted_fetch_leaves_nothing_behind(served, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(texts, "_bar", lambda name: interrupt)
    with pytest.raises(KeyboardInterrupt):
        texts.read_text("a-test")
    assert not texts.cache_folder().exists()


def test_a_cache_that_cannot_be_written_does_not_matter(served, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPT2_CACHE", str(tmp_path / "file" / "cache"))
    assert texts.read_text("a-test") == "Once upon a time.\n"


def test_a_file_is_a_text(tmp_path):
    (tmp_path / "mine.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n")
    assert texts.read_text(str(tmp_path / "mine.txt")) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [(b"", "no text"), (b" \n\t ", "no text"), (b"caf\xe9", "byte 3 of 4 is 0xe9")],
)
def test_a_file_that_is_no_text_is_refused(tmp_path, data, says):
    (tmp_path / "bad.txt").write_bytes(data)
    with pytest.raises(CourseError, match=says):
        texts.read_text(str(tmp_path / "bad.txt"))


def test_a_name_that_nobody_knows_lists_those_that_are_known():
    with pytest.raises(UsageError, match="the-tide-ledger, the-verdict"):
        texts.read_text("the-verdcit")


@pytest.mark.skipif("GPT2_TEST_DATA" not in os.environ, reason="a copy of the text is not here")
def test_the_verdict_is_the_text_that_others_train_on(tmp_path):
    shutil.copytree(Path(os.environ["GPT2_TEST_DATA"]), texts.cache_folder())
    story = texts.read_text("the-verdict")
    assert (len(story), len(gpt2_tokenizer().encode(story))) == (20_479, 5_145)
