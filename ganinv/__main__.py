"""`python -m ganinv` is the same as `ganinv`."""

from ganinv.cli.main import main

if __name__ == "__main__":
    main(prog_name="ganinv")
