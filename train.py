"""The same program as the installed command `emoji-lightning`."""

from emoji_lightning.cli import main

if __name__ == "__main__":
    main()
