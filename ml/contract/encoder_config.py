"""Which encoder reads a pair, how large it is, and which weights it starts from."""

from typing import Any, Literal, NamedTuple, Self

from pydantic import model_validator

from ml.contract.knob import both, knob, unless, when
from ml.contract.strict import Strict
from ml.contract.words import text

ModelType = Literal["bert", "roberta", "electra", "albert", "nezha"]
SizeName = Literal["explicit", "tiny", "mini", "small", "base", "large"]


class Size(NamedTuple):
    """Layers, width, heads and feed-forward width of an encoder."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int


#: Turc et al. 2019 (tiny, mini, small) and Devlin et al. 2019 (base, large)
SIZES: dict[str, Size] = {
    "tiny": Size(2, 128, 2, 512),
    "mini": Size(4, 256, 4, 1024),
    "small": Size(4, 512, 8, 2048),
    "base": Size(12, 768, 12, 3072),
    "large": Size(24, 1024, 16, 4096),
}

_OWN_SIZE = both(when("size", "explicit"), when("weights", ""))


class EncoderConfig(Strict):
    """The encoder: from scratch with a size, or from a folder of weights."""

    model_type: ModelType = knob(
        "bert",
        "Encoder",
        "编码器类型",
        "bert (Devlin et al. 2019). roberta (Liu et al. 2019): no segment ids. electra (Clark et al. 2020): a small "
        "generator replaces tokens, the encoder finds them. albert (Lan et al. 2020): factorised embedding, one layer "
        "shared by all, sentence order. nezha (Wei et al. 2019): functional relative positions in every layer.",
    )
    size: SizeName = knob(
        "explicit",
        "Size",
        "规模",
        "tiny 2x128, mini 4x256, small 4x512, base 12x768, large 24x1024 (layers x width); explicit: the four fields "
        "below.",
        applies=when("weights", ""),
    )
    num_hidden_layers: int = knob(
        4, "Layers", "层数", "Transformer layers (size explicit).", ge=1, le=48, applies=_OWN_SIZE
    )
    hidden_size: int = knob(
        256,
        "Hidden size",
        "隐藏维度",
        "Width of every layer; a multiple of the heads (size explicit).",
        ge=16,
        le=4096,
        applies=_OWN_SIZE,
    )
    num_attention_heads: int = knob(
        4, "Attention heads", "注意力头数", "Heads a layer (size explicit).", ge=1, le=64, applies=_OWN_SIZE
    )
    intermediate_size: int = knob(
        1024,
        "Feed-forward size",
        "前馈维度",
        "Width inside a layer (size explicit).",
        ge=16,
        le=16384,
        applies=_OWN_SIZE,
    )
    embedding_size: int = knob(
        128,
        "Embedding size",
        "词向量维度",
        "albert and electra only: width of the word embeddings.",
        ge=16,
        le=4096,
        applies=both(when("model_type", "albert", "electra"), when("weights", "")),
    )
    hidden_dropout_prob: float = knob(
        0.1, "Dropout", "随机失活", "Dropout of hidden states and of attention weights.", ge=0.0, le=0.9
    )
    weights: str = knob(
        "",
        "Folder of weights",
        "预训练权重目录",
        "A folder in Hugging Face layout (config.json, model.safetensors, vocabulary) on the worker's machine. "
        "Empty: from scratch. With a folder, its own sizes are used and the size above is ignored.",
        max_length=500,
    )
    embeddings: Literal["own", "frequency"] = knob(
        "own",
        "Embeddings of the weights",
        "词向量对齐",
        "own: the vocabulary that lies with the weights. frequency: for anonymised ids; the vocabulary is built here, "
        "its i-th most frequent token gets the row of the i-th most frequent token of the weights, special tokens "
        "keep their rows. Frequencies come from token_frequencies.tsv (token, tab, count) in the folder, else from "
        "jieba's dictionary.",
        fits=unless("weights", ""),
    )

    @model_validator(mode="before")
    @classmethod
    def _named_size_fills_in(cls, given: Any) -> Any:
        """A named size writes its four numbers; numbers that are of no named size were typed, and are not ignored."""
        if not isinstance(given, dict) or not isinstance(given.get("size"), str) or given["size"] not in SIZES:
            return given
        own = SIZES[given["size"]]._asdict()
        typed = {name: str(given[name]).strip() for name in own if name in given}
        if not any(typed.items() <= {n: str(v) for n, v in size._asdict().items()}.items() for size in SIZES.values()):
            told = ", ".join(f"{name} {value[:20]}" for name, value in typed.items() if value != str(own[name]))
            raise ValueError(
                text(
                    "size %(size)s has numbers of its own, and %(told)s is given: set size to explicit",
                    size=given["size"],
                    told=told,
                )
            )
        return {**given, **own}

    @property
    def sizes(self) -> Size:
        """The four sizes."""
        return Size(self.num_hidden_layers, self.hidden_size, self.num_attention_heads, self.intermediate_size)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        size = self.sizes
        if not self.weights and size.hidden_size % size.num_attention_heads:
            raise ValueError(
                text(
                    "hidden_size %(width)s is not a multiple of num_attention_heads %(heads)s: choose a width that the "
                    "heads divide",
                    width=size.hidden_size,
                    heads=size.num_attention_heads,
                )
            )
        if self.embeddings == "frequency" and not self.weights:
            raise ValueError(
                text("embeddings frequency aligns the rows of public weights: name their folder in weights")
            )
        return self
