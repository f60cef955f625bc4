"""Parts that several experiments share: protocols, trainings, result files, contrasts, tables and command lines."""
