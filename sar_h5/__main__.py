"""``python -m sar_h5`` is ``sar-h5``."""

from sar_h5.cli import main

if __name__ == "__main__":
    main()
