"""`python -m worker`: see main.py."""

import sys

from worker.main import main

sys.exit(main())
