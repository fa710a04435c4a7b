"""What does ``python -m station`` run? The command line."""

from station.cli import main

if __name__ == "__main__":
    main()
