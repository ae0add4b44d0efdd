"""Joint training of speech enhancement and intent classification on the raw wave (Ali, Falavigna, Brutti 2022)."""
