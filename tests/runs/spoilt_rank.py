"""``jointlib train`` whose fifth loss is not a number, on one of the processes that torchrun starts; see test_ranks."""

import os
import sys

import torch

from jointlib import train
from jointlib.runs.fit import main

sound, calls = train.loss_terms, []


def spoilt(*arguments):
    calls.append(1)
    terms = sound(*arguments)
    return terms | ({"mse": terms["mse"] * torch.nan} if len(calls) == 5 else {})


if __name__ == "__main__":
    if os.environ.get("RANK", "1") == "1":
        train.loss_terms = spoilt
    main(sys.argv[1:])
