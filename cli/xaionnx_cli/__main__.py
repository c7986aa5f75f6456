"""Run the command line with ``python -m xaionnx_cli``."""

from xaionnx_cli.app import main

if __name__ == "__main__":
    main(prog_name="xaionnx")
