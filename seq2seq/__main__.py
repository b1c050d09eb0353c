"""`python -m seq2seq` is the command `seq2seq`."""

import sys

from seq2seq.cli.main import main

sys.exit(main())
