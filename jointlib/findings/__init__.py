"""What finished runs tell: scores read, compared with intervals and with the paper, drawn and reported."""
