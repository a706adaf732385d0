"""byoci, Build Your Own CI: the exact commit that was tested, sealed off, is the commit that lands."""

from typing import Final

__version__: Final = "2.0.0.dev0"
