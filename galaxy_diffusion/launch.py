"""accelerate's launcher, silent about the defaults that it takes: they are what a command is meant to start with."""

import logging

from accelerate.commands.launch import main

if __name__ == "__main__":
    logging.getLogger("accelerate.commands.launch").setLevel(logging.ERROR)
    main()
