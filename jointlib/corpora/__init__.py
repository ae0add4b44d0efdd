"""Speech and noise: folders to validated waveforms, contaminated and mixed into batches."""
