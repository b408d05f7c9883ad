"""How a sentence falls into ever fewer pieces as merges are learned."""

from common.pictures.panels import Box, Control, Strips
from common.pictures.picture import Picture
from common.pictures.scenes import sentence

CONTROLS = (
    sentence("the tide was higher than the ledger said"),
    Control("merges", "Most merges", "number", "400", low=1, high=1000, whole=True),
)
PARTS = ("train_bpe", "BPETokenizer")
LONGEST = 48  # characters
LEARNED_FROM = 12_000  # characters of the story


def draw(parts, controls):
    from common.text.texts import read_text

    text = controls["sentence"][:LONGEST] or " "
    most = controls["merges"]
    ranks = parts.train_bpe(read_text()[:LEARNED_FROM], 256 + most)
    rows = []
    for merges in dict.fromkeys((0, most // 16, most // 8, most // 4, most // 2, most)):
        known = {token: rank for token, rank in ranks.items() if rank < 256 + merges}
        tokenizer = parts.BPETokenizer(known)
        boxes = _boxes(tokenizer, tokenizer.encode(text))
        rows.append((f"{merges} merges: {len(boxes)}", tuple(boxes)))
    return Picture(
        "A sentence in pieces, as merges are learned",
        "Rows of boxes over one sentence. With no merge each byte is a piece; with more merges frequent pairs grow "
        "together, until common words are one piece.",
        (Strips("pieces of the sentence", tuple(rows), ("",), "the text, byte by byte"),),
        f"The merges are learned from the first {LEARNED_FROM:,} characters of the story; {len(ranks) - 256} were. "
        "A dot stands for a space.",
        across=1,
    )


def _boxes(tokenizer, ids):
    start, boxes = 0, []
    for number in ids:
        piece = tokenizer.tokens[number] if hasattr(tokenizer, "tokens") else b""
        piece = piece if isinstance(piece, bytes) and piece else tokenizer.decode([number]).encode()
        shown = piece.decode("utf-8", errors="replace").replace(" ", "·")
        boxes.append(Box(start, start + len(piece), shown))
        start += len(piece)
    return boxes
