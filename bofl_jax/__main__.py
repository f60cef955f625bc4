"""``python -m bofl_jax`` does what ``bofl`` does."""

from bofl_jax.cli.app import main

if __name__ == "__main__":
    main()
