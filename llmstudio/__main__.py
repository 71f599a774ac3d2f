"""`python -m llmstudio run`: start everything on this machine."""

import argparse
import os
import sys

if sys.version_info < (3, 11):  # noqa: UP036 - whoever starts it by hand should get a sentence
    sys.exit("LLM Studio needs Python 3.11 or newer. Install one, then: make run PYTHON=python3.11")

from llmstudio.supervisor import Supervisor

parser = argparse.ArgumentParser(prog="python -m llmstudio", description="LLM Studio on this machine.")
commands = parser.add_subparsers(required=True, metavar="run")
run = commands.add_parser("run", help="start everything in this terminal; Ctrl-C stops it")
run.add_argument("--with-parent", action="store_true", help="stop when the process that started this one ends")
sys.exit(Supervisor(os.environ, with_parent=parser.parse_args().with_parent).run())
