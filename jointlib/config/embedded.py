"""The size of the corpus that is synthesised where there is none."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from jointlib import SPLITS
from jointlib.config.values import NoiseSeconds, Seed, Utterances, Width, WordsPerMinute, up_to

__all__ = ["EmbeddedCorpus"]
VOICES = {"train": 240, "valid": 80, "test": 80}  # of the embedded speakers: accents times shapes
Split = Literal[SPLITS]
_ALL_SPLITS, _BOTH_NOISES = Field(min_length=3), Field(min_length=2)


class EmbeddedCorpus(BaseModel):
    """How large an embedded corpus is. The defaults are the size of Fluent Speech Commands."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    utterances: Annotated[dict[Split, Utterances], _ALL_SPLITS] = {"train": 23_132, "valid": 3_118, "test": 3_793}
    speakers: Annotated[dict[Split, Width], _ALL_SPLITS] = {"train": 77, "valid": 10, "test": 10}
    phrasings: up_to(8) = 8  # wordings of each of the 31 intents, of eight
    phrasings_of_test_only: up_to(7, least=0) = 0  # and some that are in no other split
    words_per_minute: tuple[WordsPerMinute, WordsPerMinute] = (150, 220)  # range of the speakers' rates
    noise_files: Annotated[dict[Literal["train", "test"], Width], _BOTH_NOISES] = {"train": 12, "test": 5}  # of a type
    noise_seconds: NoiseSeconds = 20.0  # length of each
    seed: Seed = 0

    @model_validator(mode="after")
    def _there_are_eight_phrasings(self) -> "EmbeddedCorpus":
        if (wanted := self.phrasings + self.phrasings_of_test_only) > 8:
            raise ValueError(f"phrasings and phrasings_of_test_only: {wanted} wordings asked for, there are 8")
        return self

    @model_validator(mode="after")
    def _there_are_such_voices(self) -> "EmbeddedCorpus":
        for split, wanted in self.speakers.items():
            if wanted > VOICES[split]:
                raise ValueError(f"speakers: {wanted} wanted for {split}, there are {VOICES[split]} voices")
        if self.words_per_minute[0] > self.words_per_minute[1]:
            raise ValueError(f"words_per_minute={self.words_per_minute}: the lower rate comes first")
        return self
