"""Governed synthetic samples on MIT-BIH: generators, doses and quotas."""
